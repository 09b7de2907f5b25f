"""How a command that followed a run says goodbye: the result on stdout, the verdict as the exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import typer

from codex_runner.domain.errors import ExitCode

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState


def finish(folder: RunFolder, state: RunState, *, as_json: bool) -> None:
    """Print the result and exit with the verdict's code."""
    verdict = state.verdict
    code = int(ExitCode.INTERNAL) if verdict is None else verdict.exit_code
    # The verdict stands. Who should read what follows may not do so: then a wish to end is granted at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(code))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "run_id": folder.run_id,
                    "result": verdict.result if verdict else "failed",
                    "exit_code": code,
                    "reason": verdict.reason if verdict else "",
                    "final_message": state.reply,
                    "run_dir": str(folder.path),
                    "run_json": str(folder.run_json),
                    "junit": str(folder.junit),
                },
                ensure_ascii=False,
            )
        )
    else:
        if state.reply:
            typer.echo(_shown(state.reply))
        typer.echo(f"{folder.run_id}: {verdict.result if verdict else 'failed'} - {folder.path}", err=True)
        if code:
            typer.echo(f"what happened, with all output: {folder.report}", err=True)
    raise typer.Exit(code)


def _shown(reply: str) -> str:
    """Return the reply as it is printed: word for word to a program.

    In a step of GitHub's, no line of it may be taken for a workflow command; on a terminal, nothing in it moves the
    cursor.
    """
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if not on_github and not sys.stdout.isatty():
        return reply
    from codex_runner.sinks.foreign import clean_line  # noqa: PLC0415

    bar = "| " if on_github else ""
    return "\n".join(f"{bar}{clean_line(line)}" for line in reply.splitlines())
