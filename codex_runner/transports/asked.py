"""Framing: a script's answer, told apart from everything else that a host prints.

bash warns of a missing locale, the loader of a missing library; a start-up file greets, a wrapper of git complains. So
stderr goes into a file of its own. The answer on stdout begins behind a random mark that no other program knows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from codex_runner.domain.host import KEPT, Completed
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def marked(script: str, mark: str) -> str:
    """Return the script with a first line that prints the mark, a hexadecimal word.

    It uses echo: a shell without a built-in printf would show the mark in a command line.
    """
    return f"echo {mark}\n{script}"


def answered(mark: str, exit_code: int | None, stdout: bytes, stderr: bytes, seconds: float) -> Completed:
    """Split the output of a marked script. The answer is empty if the mark is missing: the script never began."""
    noise, found, answer = stdout.partition(f"{mark}\n".encode())
    return Completed(exit_code, answer if found else b"", seconds, complaint=noise + stderr)


def ending_with_us(script: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs a script on this machine. It ends when its stdin does, a pipe that we hold."""
    keeps = shell_script("codex_runner.transports", "ends_with_us.sh")
    return ("sh", "-c", keeps, "sh", script, "sh", *arguments)


def home(environ: Mapping[str, str]) -> str:
    """Return the home, or `/` if it does not exist: a script of the runner's own needs no folder."""
    folder = environ.get("HOME", "")
    return folder if Path(folder).is_dir() and os.access(folder, os.X_OK) else "/"


def end_of(output: IO[bytes]) -> bytes:
    """Return the end of the output. A process that escaped may go on writing."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - KEPT))
    return output.read(size)
