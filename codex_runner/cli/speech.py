"""Messages on stderr and results for programs, cleaned: no CI system and no terminal obeys what is in them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import typer

from codex_runner.ci_systems import Pipeline
from codex_runner.text.clean import clean_line

if TYPE_CHECKING:
    from pathlib import Path

_printed: list[bool] = []  # one for each JSON text that this process has printed


def tell(text: str, remedy: str = "") -> None:
    """Print a message on stderr. Each line of it begins with our name; the remedy is one line."""
    lines = [f"codex-runner: {clean_line(line)}" for line in text.splitlines()]
    if remedy:
        lines.append(f"  {clean_line(' '.join(remedy.splitlines()))}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def tell_nothing(what: str, folder: Path) -> None:
    """Say that a folder of runs holds nothing of this kind, or does not exist."""
    if folder.is_dir():
        tell(f"{what} in {folder}")
    else:
        tell(
            f"the folder {folder} does not exist", "No run has begun there yet, or name the folder of the runs with -o."
        )


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print JSON on stdout: valid UTF-8, even if a file's name is not."""
    only_ascii = sys.stdout.encoding.lower().replace("-", "") != "utf8"
    text = json.dumps(value, indent=indent, ensure_ascii=only_ascii).encode("utf-8", "backslashreplace").decode()
    # Some CI systems take `##[...]` for a command anywhere in a line. Outside of strings, JSON has no number sign.
    typer.echo(text.replace("##", "#\\u0023"))
    _printed.append(True)


def print_failure(code: int, reason: str, remedy: str = "") -> None:
    """Print the object of a command that fails, if it was to print JSON and has printed none: one on every ending."""
    options = sys.argv[1:]
    wanted = "--json" in (options[: options.index("--")] if "--" in options else options)
    if code and wanted and not _printed:
        print_json({"result": "failed", "exit_code": code, "reason": reason, "remedy": remedy or None})


def printable(text: str) -> str:
    """Return the agent's or another foreign text as it is printed on stdout: word for word for a program.

    In the log of a CI system, no line of it may be taken for a command. On a terminal, it cannot move the cursor.
    """
    here = Pipeline(os.environ)
    if not here.may_be_read() and not sys.stdout.isatty():
        return text
    return "\n".join(f"{here.line_prefix()}{clean_line(line)}" for line in text.splitlines())
