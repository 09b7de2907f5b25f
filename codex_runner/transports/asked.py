"""A script's answer, apart from whatever else a host prints.

bash warns of a missing locale, the loader of a missing library, a start-up file greets, a wrapper of git complains. So
stderr goes into a file of its own, and the answer begins on stdout behind a mark that nobody else can print.
"""

from __future__ import annotations

from codex_runner.domain.host import Completed


def marked(script: str, mark: str) -> str:
    """Return the script with its first act: to print the mark, a hexadecimal word, on a line.

    By echo: a shell without a printf of its own would show the mark in a command line.
    """
    return f"echo {mark}\n{script}"


def answered(mark: str, exit_code: int | None, stdout: bytes, stderr: bytes, seconds: float) -> Completed:
    """Take apart what a marked script came to. Without the mark it never began, or its answer was cut: no answer."""
    noise, found, answer = stdout.partition(f"{mark}\n".encode())
    return Completed(exit_code, answer if found else b"", seconds, complaint=noise + stderr)
