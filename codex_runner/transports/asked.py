"""Framing: a script's answer, told apart from everything else that a host prints.

bash warns of a missing locale, the loader of a missing library; a start-up file greets, a wrapper of git complains. So
stderr goes into a file of its own. The answer on stdout begins behind a random mark that no other program knows.
"""

from __future__ import annotations

from codex_runner.domain.host import Completed


def marked(script: str, mark: str) -> str:
    """Return the script with a first line that prints the mark, a hexadecimal word.

    It uses echo: a shell without a built-in printf would show the mark in a command line.
    """
    return f"echo {mark}\n{script}"


def answered(mark: str, exit_code: int | None, stdout: bytes, stderr: bytes, seconds: float) -> Completed:
    """Split the output of a marked script. The answer is empty if the mark is missing: the script never began."""
    noise, found, answer = stdout.partition(f"{mark}\n".encode())
    return Completed(exit_code, answer if found else b"", seconds, complaint=noise + stderr)
