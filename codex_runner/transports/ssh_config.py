"""The concrete aliases of the user's OpenSSH configuration, and what ssh makes of each.

Only names are read here. What an alias comes to (Include, Match, ProxyJump, defaults) is ssh's own answer: `ssh -G`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import pwd
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# OpenSSH's own limit.
_DEPTH = 16

_SYSTEM = Path("/etc/ssh/ssh_config")


def aliases(file: Path | None = None) -> list[str]:
    """Return the names that stand in `Host` lines, each once, in their order; patterns and negations name no host.

    Nor does what ssh would refuse as one.
    `file` is what `ssh -F` would get; without it, the user's and the system's. ConfigurationError where `file` is not
    to be read; files of the defaults and of Include lines that are not there are passed over, as ssh does.
    """
    if file is not None:
        if not file.is_file():
            raise ConfigurationError(f"ssh_config = {str(file)!r}: there is no such file.")
        return list(dict.fromkeys(_names(file, _home(), 0)))
    # ssh asks the password database for the home folder, whatever $HOME says.
    user = _names(_home() / "config", _home(), 0)
    return list(dict.fromkeys((*user, *_names(_SYSTEM, _SYSTEM.parent, 0))))


async def resolved(alias: str, environ: Mapping[str, str], options: tuple[str, ...]) -> dict[str, str]:
    """Return what ssh makes of an alias: `hostname`, `user`, `port`, `proxyjump`, and whatever else `ssh -G` says."""
    process = await asyncio.create_subprocess_exec(
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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode:
        raise ConfigurationError(
            f"ssh cannot read its configuration: {complaint.decode('utf-8', 'replace').strip()}",
            remedy=f"Correct the OpenSSH configuration: `ssh -G {alias}` reads it.",
        )
    pairs = (line.partition(" ") for line in output.decode("utf-8", "replace").splitlines())
    return {key: value for key, _, value in pairs}


def _home() -> Path:
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"


def _names(file: Path, base: Path, depth: int) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        keyword, values = _words(line)
        if keyword == "host":
            yield from (value for value in values if not set(value) & set("*?!") and not host_name_problem(value))
        elif keyword == "include" and depth < _DEPTH:
            for value in values:
                pattern = base / Path(value).expanduser()
                for found in sorted(glob.glob(str(pattern))):  # noqa: PTH207 - absolute, as Path.glob may not be
                    yield from _names(Path(found), base, depth + 1)


def _words(line: str) -> tuple[str, list[str]]:
    """Split `Keyword value...` or `Keyword=value`, quotes and comments as ssh has them."""
    line = line.strip()
    if line.startswith("#"):
        return "", []
    head = line.split(maxsplit=1)[0] if line else ""
    keyword, equals, rest = line.partition("=") if "=" in head else (head, "", line[len(head) :])
    rest = rest if equals else rest.strip().removeprefix("=")
    try:
        values = shlex.split(rest, comments=True)
    except ValueError:  # a quote that never ends
        values = rest.split()
    return keyword.strip().lower(), values
