"""Shapes of common tokens: the second line of defence, for secrets that the runner does not know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction.unseen import CONTROLS

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = b"***token***"
KEY_BEGINS = b"-----BEGIN"

# Characters that form long rows in tokens and in each usual encoding of one, and seldom elsewhere: no / and no dot.
_LETTERS = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")
ALPHABET = bytes({*_LETTERS, ord(".")})  # all characters of the shapes, except for private keys

# The classes of bytes in `classes_of`: one pass over a line finds the rows, and whether it has a control character.
_LETTER, _OTHER, CONTROL = b"a", b" ", b"\1"
_CLASSES = bytes(ord(_LETTER if byte in _LETTERS else CONTROL if byte in CONTROLS else _OTHER) for byte in range(256))
_ROW = re.compile(rb"[0-9A-Za-z_-]+")

# The shortest row of letters in any shape: an AWS access key id, or the first part of a JSON Web Token.
SHORTEST = 20

# The beginnings of the shapes: up to two bytes before the row, or in it. Without one of these, no shape can match.
_BEFORE = 2
_BEGINNINGS = (
    *(b"at-", b"sk-", b"pplx-", b" s.", b" b.", b" r.", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    *(b"glpat-", b"glptt-", b"glrt-", b"glcbt-", b"gldt-", b"glft-", b"glimt-", b"glsoat-", b"AKIA", b"ASIA"),
    *(b"xox", b"xapp-", b"npm_", b"pypi-", b"eyJ", b"eyK"),
)

_SHAPE = re.compile(
    rb"(?:(?<![0-9A-Za-z_.-])|(?<=\\[nrt]))(?:"  # in JSON, a line's first word follows the letter of an escape
    rb"(?:at|sk|pplx)-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{24,}"  # OpenAI, and others with the same prefixes
    rb"|hv[sbr]\.[A-Za-z0-9_-]{24,}"  # Vault
    rb"|[sb]\.(?=[A-Za-z]*[0-9])[A-Za-z0-9]{24}(?![A-Za-z0-9])"  # Vault until 1.10, OpenBao
    rb"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"
    rb"|gl(?:pat|ptt|rt|cbt|dt|ft|imt|soat)-[A-Za-z0-9_.-]{20,}"
    rb"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    rb"|xox[abeoprs]-[A-Za-z0-9-]{20,}|xapp-[A-Za-z0-9-]{20,}"  # Slack
    rb"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}"
    rb"|ey[JK][A-Za-z0-9_-]{10,}\.ey[JK][A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a JSON Web Token
    rb")"
)
# A newline within a key is escaped in an event. If it is a real newline, only the key's first line is found.
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    rb"(?:(?!-----BEGIN)[^\"])*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|(?=\"|-----BEGIN)|\Z)"
)


def longest_row(needle: bytes) -> bytes:
    """Return the longest row of token letters in `needle`. Returns b"" if there is none."""
    return max(_ROW.findall(needle), key=len, default=b"")


def classes_of(data: bytes) -> bytes:
    """Return the class of each byte: token letter, CONTROL, or other."""
    return data.translate(_CLASSES)


def rows(data: bytes, classes: bytes, shortest: int) -> bytes:
    """Return all rows of at least `shortest` token letters, each after a space and the two bytes before it.

    Most text has few such rows, so that searching them for many secrets takes little longer than for one.
    """
    if CONTROL in classes:
        classes = classes.replace(CONTROL, _OTHER)
    wanted = _LETTER * shortest
    found = []
    at = classes.find(wanted)
    while at >= 0:
        start = classes.rfind(_OTHER, 0, at) + 1
        end = classes.find(_OTHER, at)
        end = len(data) if end < 0 else end
        found.append(data[max(0, start - _BEFORE) : end])
        at = classes.find(wanted, end)
    return b" " + b" ".join(found) if found else b""


def spans(data: bytes, narrowed: bytes) -> Iterator[tuple[int, int]]:
    """Yield the spans that look like a token. `narrowed` are the rows of at least SHORTEST letters (see `rows`)."""
    if any(map(narrowed.__contains__, _BEGINNINGS)):
        for found in _SHAPE.finditer(data):
            yield found.span()
    if narrowed and b"PRIVATE KEY-----" in data:
        for found in _PRIVATE_KEY.finditer(data):
            yield found.span()
