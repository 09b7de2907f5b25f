"""The concrete aliases of the user's OpenSSH configuration, and the settings that ssh computes for each.

This module reads only names. `ssh -G` computes an alias's settings (Include, Match, ProxyJump, defaults).
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import pwd
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem
from codex_runner.shell.child import end_group, start_child
from codex_runner.transports.carriers.ssh.openssh import check_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# OpenSSH's own limit.
_DEPTH = 16

# How ssh shows a byte order mark before the first keyword of a file.
_MARKED = r"bad configuration option: \357\273\277"

_SYSTEM = Path("/etc/ssh/ssh_config")


def aliases(file: Path | None = None) -> list[str]:
    """Return the names in `Host` lines, each once, in their order, without patterns and negations.

    Names that ssh refuses are left out, too. `file` is what `ssh -F` would get; without it, the user's and the
    system's files are read. Raises ConfigurationError if `file` does not exist. Missing default files, and missing
    files of Include lines, are skipped, as ssh does.
    """
    if file is not None:
        if not file.is_file():
            raise ConfigurationError(f"ssh_config = {str(file)!r}: there is no such file.")
        return list(dict.fromkeys(_names(file, _home(), 0)))
    # ssh takes the home folder from the password database, and ignores $HOME.
    user = _names(_home() / "config", _home(), 0)
    return list(dict.fromkeys((*user, *_names(_SYSTEM, _SYSTEM.parent, 0))))


async def resolved(alias: str, environ: Mapping[str, str], options: tuple[str, ...]) -> dict[str, str]:
    """Return ssh's settings for an alias, as `ssh -G` prints them: `hostname`, `user`, `port`, `proxyjump`, ...

    Raises ConfigurationError if ssh is missing, or cannot read its configuration.
    """
    check_client(environ)
    process = await start_child(
        *("ssh", *options, "-G", "--", alias),
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, complaint = await process.communicate()
    except asyncio.CancelledError:  # a `Match exec` may take its time
        await end_group(process)
        raise
    if process.returncode:
        said = complaint.decode("utf-8", "replace").strip()
        command = shlex.join(["ssh", *options, "-G", alias])
        remedy = f"Correct the OpenSSH configuration: `{command}` reads it."
        if _MARKED in said.lower():
            remedy += " The file begins with a byte order mark, which ssh does not know: save it without one."
        raise ConfigurationError(f"ssh cannot read its configuration: {said}", remedy=remedy)
    pairs = (line.partition(" ") for line in output.decode("utf-8", "replace").splitlines())
    return {key: value for key, _, value in pairs}


def _home() -> Path:
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"
    except KeyError:  # ssh itself refuses such a user, with a given file too
        return Path("/nonexistent")


def _names(file: Path, base: Path, depth: int) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        keyword, values = _words(line)
        if keyword == "host":
            yield from (value for value in values if not set(value) & set("*?!") and not host_name_problem(value))
        elif keyword == "include" and depth < _DEPTH:
            for value in values:
                pattern = base / _expanded(value)
                for found in sorted(glob.glob(str(pattern))):  # noqa: PTH207 - absolute, as Path.glob may not be
                    yield from _names(Path(found), base, depth + 1)


def _expanded(path: str) -> Path:
    with contextlib.suppress(RuntimeError):  # the home of an unknown user, which ssh skips
        return Path(path).expanduser()
    return Path(path)


def _words(line: str) -> tuple[str, list[str]]:
    """Split `Keyword value...` or `Keyword=value`, with ssh's quotes and comments."""
    line = line.strip()
    if line.startswith("#"):
        return "", []
    head = line.split(maxsplit=1)[0] if line else ""
    keyword, equals, rest = line.partition("=") if "=" in head else (head, "", line[len(head) :])
    rest = rest if equals else rest.strip().removeprefix("=")
    return keyword.strip().lower(), _values(rest)


def _values(text: str) -> list[str]:
    """Split arguments as ssh does: quotes of both kinds, backslashes before quotes, blanks and themselves.

    A number sign begins a comment only at the beginning of a word. ssh refuses a line with an unclosed quote.
    """
    values: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(text)
    for each in characters:
        if each == "\\":
            following = next(characters, "")
            escapes = following != "" and following in ("'\"\\" if quote else "'\"\\ ")
            word = (word or "") + (following if escapes else each + following)
        elif each == quote:
            quote = ""
        elif not quote and each in "'\"":
            quote, word = each, word or ""
        elif not quote and each in " \t":
            if word is not None:
                values.append(word)
            word = None
        elif not quote and each == "#" and word is None:
            break
        else:
            word = (word or "") + each
    return values if word is None else [*values, word]
