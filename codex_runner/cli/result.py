"""The end of a command that followed a run: the result on stdout, the verdict as the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from codex_runner.app.lost_result import fail_for_lost_result
from codex_runner.cli import streams
from codex_runner.cli.signals import settle
from codex_runner.cli.speech import print_json, printable, tell
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.exit_code import ExitCode

if TYPE_CHECKING:
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState


def finish(folder: RunFolder, state: RunState, invocation: Invocation, *, as_json: bool) -> None:
    """Print the result and exit with the verdict's code. A run that succeeded fails if its result cannot be printed."""
    verdict = state.verdict
    result = verdict.result if verdict else "failed"
    code = int(ExitCode.INTERNAL) if verdict is None else verdict.exit_code
    settle(code or None)
    if as_json:
        print_json(
            {
                "run_id": folder.run_id,
                "result": result,
                "exit_code": code,
                "reason": verdict.reason if verdict else "",
                "final_message": state.reply,
                "run_dir": str(folder.path),
                "run_json": str(folder.run_json),
                "junit": str(folder.junit),
            },
            indent=None,
        )
    elif state.reply:
        typer.echo(printable(state.reply))
    if code == ExitCode.SUCCEEDED and (lost := streams.lost()) is not None:
        result, code = "failed", int(ExitCode.JOB_FAILED)
        settle(code)
        _fail(folder, lost, invocation)
    settle(code)
    if not as_json:
        typer.echo(f"{folder.run_id}: {result} - {show_path(str(folder.path))}", err=True)
        if code and folder.report.exists():
            typer.echo(f"what happened, with all output: {show_path(str(folder.report))}", err=True)
    raise typer.Exit(code)


def _fail(folder: RunFolder, lost: OSError, invocation: Invocation) -> None:
    try:
        fail_for_lost_result(folder, lost.strerror or str(lost), invocation)
    except RunnerError as error:
        tell(f"warning: {folder.run_json} still says that the run succeeded: {error.message}")
