"""Secret parts of a document: a program may print a single field of it, or a line without its indentation.

The parsers know JSON, `key = value` and `key: value` in their usual dialects (dotenv, INI, YAML, TOML, HCL), netrc,
XML, URLs, DSNs and PEM. Values of keys like `name`, `host` or `email` stay readable, and so do dates, numbers, paths
and addresses. Of any other document, each line is secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = 6  # characters; masking shorter secrets would mask half of every log, and protect nothing
LEAF: Final = 8  # the least characters of a field that is a secret by itself
_PEM_LINE: Final = 16
_MEANING: Final = 4  # the least letters and digits of a line that can be secret

PLAIN = re.compile(r"[^0-9A-Z]*")
"""Plain text, which no token looks like and every log has: `warning`, `production`, `codex=debug`, `/usr/local/bin`."""

# Last words of keys whose values are not secret.
_OPEN_WORDS = frozenset(
    (
        *(
            "id",
            "ids",
            "name",
            "names",
            "host",
            "hosts",
            "hostname",
            "server",
            "servers",
            "port",
            "region",
            "zone",
            "type",
        ),
        *(
            "kind",
            "user",
            "users",
            "username",
            "login",
            "owner",
            "email",
            "mail",
            "project",
            "account",
            "accounts",
            "org",
        ),
        *(
            "organization",
            "tenant",
            "subscription",
            "namespace",
            "cluster",
            "context",
            "domain",
            "universe",
            "environment",
        ),
        *(
            "version",
            "protocol",
            "scheme",
            "encryption",
            "algorithm",
            "alg",
            "format",
            "output",
            "method",
            "mode",
            "scope",
        ),
        *("scopes", "issuer", "audience", "database", "db", "dbname", "bucket", "machine", "path", "file", "dir"),
        *("description", "comment", "expiry", "expires", "expiration", "created", "updated", "timestamp", "date"),
        *(
            "issued",
            "suffix",
            "editor",
            "timeout",
            "sslmode",
            "engine",
            "charset",
            "prompt",
            "certificate",
            "env",
            "stage",
            "tier",
            "level",
            "role",
            "arn",
        ),
    )
)
# Words of keys whose values are secret, also if an open word follows: `secret_id`, `session_token_name`.
_CLOSED_WORDS = frozenset(("secret", "token", "password", "passwd", "passphrase", "credential", "auth"))
_CLOSED = (*sorted(_CLOSED_WORDS), "pass", "pwd", "key", "sig", "sas")

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_PEM_BEGINS = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_ENDS = re.compile(r"-----END [A-Z0-9 ]+-----")
_PUBLIC = ("CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST", "X509 CRL", "DH PARAMETERS", "EC PARAMETERS")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>]+")
# The last @ counts: passwords may have an @.
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://([^/?#\s\"'<>]*)@")
_PAIR = re.compile(
    r"^(?:(?:export|set|setenv)\s+)?(?:-\s+)?"
    r"(?:\"([^\"]+)\"|'([^']+)'|([A-Za-z0-9_:./@%~-]*?[A-Za-z0-9_@])|([A-Za-z][A-Za-z0-9_ .-]{0,60}?|\S+))"
    r"\s*(?:=>|=|:(?=\s|$)|:=)\s*(.*)$"
)
_IN_ONE_LINE = re.compile(r"(?:^|[;\s])([A-Za-z][A-Za-z0-9_ ]{0,40}?)\s*=\s*(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^;\s]+)")
_XML_FIELD = re.compile(r"<([A-Za-z_][\w.:-]*)[^<>]*>([^<>]+)</\1\s*>")
_XML_KEY = re.compile(r"<add\s+key=\"([^\"]+)\"\s+value=\"([^\"]+)\"")
_NETRC = re.compile(r"(?:^|\s)(?:password|account)\s+(\"[^\"]+\"|\S+)")
_MACHINE = re.compile(r"(?:^|\s)(?:machine\s+\S+|default(?=\s))\s+(?:login|user|password|account)\s", re.MULTILINE)
_SCHEME = re.compile(r"(?:^|:\s)(?:Bearer|Basic|Token|Digest|ApiKey)\s+(\S+)$", re.IGNORECASE)
# A key that names a secret, anywhere: in a table within one line, in a query, in a dict that Python prints.
_SAYING = re.compile(
    r"([\w.-]{0,40}?(?:token|secret|passw(?:or)?d|passphrase|credential|api[_-]?key|access[_-]?key|pwd)[\w.-]{0,40})[\"']?\s*[:=]\s*"
    r"(?:\"([^\"]+)\"|'([^']+)'|([^\s\"',;&{}()]+))",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?:#|;|//(?=\s))+\s*")
_PGPASS = re.compile(r"^(?:[^:\s]+|\*):(?:\d+|\*):[^:\s]+:[^:\s]+:(\S.*)$")
_PUNCTUATION = re.compile(r"[^0-9A-Za-z]*")
_SECTION = re.compile(r"^\[[^\]=]*\]$|^[^=:]*\{$|^---$|^\S+:$|^<[^<>]*>$")

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d*)?")
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:|\$[A-Z_]+)?(?:[/\\][\w.@%+-]+){1,}[/\\]?|%[A-Z_]+%")
_HOST = re.compile(r"(?=.*\.)(?:[a-z0-9-]{1,40}\.)+[a-z]{2,20}(?::\d+)?")
_EMAIL = re.compile(r"[\w.+-]+@(?:[\w-]+\.)+[a-z]{2,}")
_CONSTANT = re.compile(r"__[a-z]+__|true|false|null|none|yes|no|on|off", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[A-Za-z0-9_=-]{8,}|[A-Za-z0-9_-]{20,}")


def parts(value: str) -> set[str]:
    """Return the secret parts of a value: fields, lines without indentation, lines of keys, passwords."""
    return {part for part in _parts(value) if len(part) >= SHORTEST}


def _parts(value: str) -> Iterator[str]:
    document = _json(value)
    if document is not None:
        yield from _leaves(document, "")
    elif len(lines := value.strip().splitlines()) > 1:
        yield from _of_lines(value, lines)
    else:
        yield from _of_line(value.strip(), alone=True)


def passwords(text: str) -> set[str]:
    """Return the secrets in the URLs of a text: passwords, and random parts."""
    return set(_passwords(text))


def said(text: str) -> set[str]:
    """Return the secrets in a text by their keys (`--token=VALUE`), and those in its URLs."""
    pairs = ((found[1], next(filter(None, found.groups()[1:]))) for found in _SAYING.finditer(text))
    fields = (part for key, value in pairs for part in _field(key, value, SHORTEST))
    return {*_passwords(text), *_SCHEME.findall(text), *fields}


def _json(value: str) -> Any:
    if not value.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def _leaves(node: Any, key: str) -> Iterator[str]:
    """Yield the secret strings of a JSON document. Iterative: a deep document would exceed the recursion limit."""
    todo = [(key, node)]
    while todo:
        name, each = todo.pop()
        if isinstance(each, dict):
            todo += [(str(key), below) for key, below in each.items()]
        elif isinstance(each, list):
            todo += [(name, below) for below in each]
        elif isinstance(each, str):
            yield from _field(name, each)


def _field(key: str, text: str, shortest: int = LEAF) -> Iterator[str]:
    """Yield the secrets of a field: its text, and parts of it. Yields none if its key or its shape is not secret."""
    yield from _passwords(text)
    if is_open(key, text):
        return
    stripped = text.strip()
    if len(stripped) >= shortest:
        yield stripped
    if len(stripped.splitlines()) > 1 or _json(stripped) is not None:
        yield from _parts(stripped)
    decoded = _base64(stripped)
    if decoded is not None:
        yield from _decoded(decoded)
    yield from _SCHEME.findall(stripped)


def _decoded(text: str) -> Iterator[str]:
    """Yield the secrets of decoded base64: docker has `user:password` in it, kubeconfig keys, npm passwords."""
    if "\n" in text:
        yield from _parts(text)
    elif "://" in text:
        yield from _passwords(text)
    else:
        _, colon, password = text.partition(":")
        yield from (part for part in [password if colon else text] if not is_open("", part))


def is_open(key: str, text: str) -> bool:
    """Whether a field is not secret, by the last word of its key, or by the shape of its text."""
    words = [word.lower() for word in _WORDS.findall(key.rsplit(":", 1)[-1])]
    last, before = (words[-1] if words else ""), (words[-2] if len(words) > 1 else "")
    if last in _OPEN_WORDS and before not in _CLOSED_WORDS:
        return True
    text = text.strip()
    if any(shape.fullmatch(text) for shape in (_DATE, _EMAIL, _CONSTANT, _HOST)):
        return True
    if _NUMBER.fullmatch(text) or (_PATH.fullmatch(text) and not _has_random_part(text)):
        return not _CLOSED_WORDS & set(words[-1:])
    if _URL.fullmatch(text) and not _USERINFO.match(text):
        return not _has_random_part(text.split("://", 1)[1])
    decoded = _base64(text)
    return decoded is not None and decoded.startswith(("-----BEGIN CERTIFICATE", "-----BEGIN PUBLIC"))


def is_closed(key: str) -> bool:
    """Whether a key names a secret."""
    return any(word in key.lower() for word in _CLOSED)


def _has_random_part(text: str) -> bool:
    """Whether a path has a part that looks like a key, as addresses of webhooks do."""
    return "?" in text or any(_RANDOM.fullmatch(part) for part in re.split(r"[/\\]", text)[1:])


def _passwords(text: str) -> Iterator[str]:
    """Yield the passwords in URLs, as written and decoded, and the random parts of URLs."""
    for found in _USERINFO.finditer(text):
        user, colon, password = found[1].partition(":")
        for word in (password if colon else user,):
            yield from (word, unquote(word))
    for url in _URL.findall(text):
        path, _, query = url.split("://", 1)[1].partition("?")
        for pair in re.split(r"[&;#]", query):
            name, _, given = pair.partition("=")
            if given and not is_open(name, given):
                yield from (given, unquote(given))
        yield from (
            part
            for part in path.rpartition("@")[2].split("/")[1:]
            if _RANDOM.fullmatch(part) and len(part) >= _PEM_LINE
        )


def _of_lines(value: str, lines: list[str]) -> Iterator[str]:
    netrc = bool(_MACHINE.search(value))
    if netrc:
        yield from (found.strip('"') for found in _NETRC.findall(value))
    label = None  # of the PEM block around the line
    for raw in lines:
        line = raw.strip()
        if begins := _PEM_BEGINS.search(line):
            label = begins[1]
        elif _PEM_ENDS.search(line):
            label = None
        elif label is not None:
            if label not in _PUBLIC and len(line) >= _PEM_LINE:
                yield line
        elif not netrc or not re.search(r"\b(?:machine|default|login|password|account|macdef)\b", line):
            said = _COMMENT.sub("", line)
            yield from _of_line(said, alone=said != line)  # a comment is not secret, but may contain a secret


def _of_line(line: str, *, alone: bool) -> Iterator[str]:
    """Yield the secrets of one line; a line without a known format is one as a whole.

    `alone`: the line is the whole value, which is known as a secret already.
    """
    if tagged := [*_XML_FIELD.findall(line), *_XML_KEY.findall(line)]:
        for key, text in tagged:
            yield from _field(key, text, SHORTEST)
    elif one := _PGPASS.match(line):
        yield one[1]
    elif not _SECTION.match(line) and len(_PUNCTUATION.sub("", line)) >= _MEANING:
        yield from _passwords(line)
        for found in _SAYING.finditer(line):
            yield from _field(found[1], next(filter(None, found.groups()[1:])), SHORTEST)
        if alone:
            for given in _SCHEME.findall(line):
                yield from _field("token", given, SHORTEST)
        yield from _of_pairs(line, alone=alone)


def _of_pairs(line: str, *, alone: bool) -> Iterator[str]:
    """Yield the secrets of `key=value;key=value`, `key = value` or `key: value`; otherwise the line itself."""
    if "=" in line and (";" in line or alone):
        pairs = _IN_ONE_LINE.findall(line)
        for key, text in pairs:
            if is_closed(key) or (_RANDOM.fullmatch(text) and len(text) >= _PEM_LINE):
                yield from _field(key, _unquoted(text), SHORTEST)
        if len(pairs) > 1 or alone:
            return
    if pair := _PAIR.match(line):
        key = next(filter(None, pair.groups()[:4]))
        text = _unquoted(pair[5])
        yield from _field(key, text, SHORTEST if is_closed(key) else LEAF)
        if len(text) < LEAF and not is_open(key, text) and not alone:
            yield line
    elif not alone and not _URL.fullmatch(line):
        yield line


def _unquoted(text: str) -> str:
    text = text.strip().rstrip(",;").rstrip()
    if text[:1] in {'"', "'"} and (end := text.rfind(text[0])) > 0:
        return text[1:end]
    return re.split(r"\s+[#;]", text, maxsplit=1)[0].strip("{}")


def _base64(text: str) -> str | None:
    """Decode base64 text. Returns None if `text` is not base64, or holds no text."""
    if len(text) < LEAF or len(text) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text):
        return None
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded if decoded.isprintable() or "\n" in decoded else None
