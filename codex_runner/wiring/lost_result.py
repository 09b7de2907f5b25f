"""A run whose result could not be printed: whoever waits for it must not take silence for success."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ExitCode
from codex_runner.domain.state import fold
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.redact import Redactor
from codex_runner.sinks.jsonl import FileJournal
from codex_runner.wiring.history import rebuild

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder
    from codex_runner.wiring.setting import Setting

_REMEDY = "Give stdout a place that takes the result; run.json and the agent's reply are in the run's folder."


def fail_for_lost_result(folder: RunFolder, why: str, setting: Setting) -> None:
    """Record that a good run failed since its result was not printed, tell the sinks, and write its reports anew.

    `why` is the system's word. Raises RunnerError if the folder takes no more either.
    """
    records, journal = FileJournal.recover(folder)
    recorder = Recorder(fold(records), journal, setting.sinks, Redactor())
    verdict = recorder.state.verdict
    if verdict is not None and verdict.exit_code == ExitCode.SUCCEEDED:
        reason = f"{verdict.reason}; and the result could not be written to stdout: {why}"
        failed = dataclasses.replace(
            verdict, exit_code=int(ExitCode.JOB_FAILED), result="failed", reason=reason, remedy=_REMEDY
        )
        recorder.emit(failed)
    recorder.close()
    rebuild(folder, guards=setting.guards, junit=setting.junit)
