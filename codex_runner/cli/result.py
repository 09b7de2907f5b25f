"""How a command that followed a run says goodbye: the result on stdout, the verdict as the exit code."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import typer

from codex_runner.cli.speech import print_json, printable
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ExitCode
from codex_runner.domain.signals import ending_signals

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState


def finish(folder: RunFolder, state: RunState, *, as_json: bool) -> None:
    """Print the result and exit with the verdict's code."""
    verdict = state.verdict
    code = int(ExitCode.INTERNAL) if verdict is None else verdict.exit_code
    # The verdict stands. Who should read what follows may not do so: then a wish to end is granted at once.
    for number in ending_signals():
        signal.signal(number, lambda *_: os._exit(code))
    if as_json:
        print_json(
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
            indent=None,
        )
    else:
        if state.reply:
            typer.echo(printable(state.reply))
        typer.echo(
            f"{folder.run_id}: {verdict.result if verdict else 'failed'} - {show_path(str(folder.path))}", err=True
        )
        if code and folder.report.exists():
            typer.echo(f"what happened, with all output: {show_path(str(folder.report))}", err=True)
    raise typer.Exit(code)
