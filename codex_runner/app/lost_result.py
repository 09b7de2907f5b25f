"""A run whose result could not be printed: its caller must not take an empty stdout for success."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.app.history import rebuild
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.state import fold
from codex_runner.engine.recorder import Recorder
from codex_runner.redaction.redactor import Redactor
from codex_runner.sinks.jsonl import FileJournal

if TYPE_CHECKING:
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.folder import RunFolder

_REMEDY = "Connect stdout to a place that accepts the result; run.json and the agent's reply are in the run's folder."


def fail_for_lost_result(folder: RunFolder, why: str, invocation: Invocation) -> None:
    """Record that a good run failed because its result was not printed, tell the sinks, and write its reports anew.

    `why` is the system's word. Raises RunnerError if the folder cannot be written either.
    """
    records, journal = FileJournal.recover(folder)
    recorder = Recorder(fold(records), journal, invocation.sinks, Redactor())
    verdict = recorder.state.verdict
    if verdict is not None and verdict.exit_code == ExitCode.SUCCEEDED:
        reason = f"{verdict.reason}; and the result could not be written to stdout: {why}"
        failed = dataclasses.replace(
            verdict, exit_code=int(ExitCode.JOB_FAILED), result="failed", reason=reason, remedy=_REMEDY
        )
        recorder.emit(failed)
    recorder.close()
    rebuild(folder, guards=invocation.guards, junit=invocation.junit)
