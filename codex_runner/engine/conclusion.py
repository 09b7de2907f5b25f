"""The conclusion of a run: search its folder for secrets, record the verdict, write the reports."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.domain.errors import LeakError, RunnerError
from codex_runner.domain.event import Guarded, RunEnded
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.run import Verdict
from codex_runner.engine.aside import aside
from codex_runner.redaction.leak_search import LEAK, SEARCH, clean

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.ports import Reports
    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder


class Conclusion:
    """The steps after the verdict. None of them turns a failed run into a good one."""

    def __init__(self, recorder: Recorder, reports: Reports, folder: RunFolder | None = None) -> None:
        """Do nothing yet. `folder` is the run's folder, which `search` reads."""
        self._recorder, self._reports, self._folder = recorder, reports, folder

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    async def search(self, verdict: Verdict) -> Verdict:
        """Search the run's folder for every secret. Returns `verdict`, or a new one if there is a leak.

        The reports are not searched: they are written later, from what was searched.
        """
        folder = self._folder
        if folder is None or self._state.verdict is not None:
            return verdict
        redactor, began = self._recorder.redactor, time.monotonic()
        try:
            leaks = await aside(lambda: clean(folder, redactor, self._state.facts.get("plain", ())))
        except OSError as error:
            told = redactor.text(f"{error.filename} could not be searched: {error.strerror}")
            self._recorder.emit(Guarded(SEARCH, passed=False, message=told))
            return verdict if verdict.exit_code else Verdict(ExitCode.INTERNAL, f"{verdict.reason}, but {told}")
        for leak in leaks:
            self._recorder.emit(leak)
        seconds = time.monotonic() - began
        if not leaks:
            self._recorder.emit(
                Guarded(SEARCH, passed=True, message="nothing that is left holds a secret", seconds=seconds)
            )
            return verdict
        told = ", ".join(f"{leak.path} held {leak.secret}, and was {leak.done}" for leak in leaks)
        self._recorder.emit(Guarded(SEARCH, False, told, seconds, LEAK.value))
        return Verdict(LEAK.exit_code, f"{verdict.reason}, but {told}", LEAK, remedy=LEAK.remedy)

    def conclude(self, verdict: Verdict) -> None:
        """Record the verdict, unless the run has one already."""
        if self._state.verdict is not None:
            return
        clean = self._recorder.redactor.text
        event = RunEnded(int(verdict.exit_code), verdict.result, clean(verdict.reason), clean(verdict.remedy))
        try:
            self._recorder.emit(event)
        except RunnerError as error:  # the journal failed: from now on only the state and the sinks get records
            self._recorder.emit(self._with_report_error(event, error))

    def report(self) -> None:
        """Write the reports and close the journal. If one of these fails, the other reports say so."""
        for last in (lambda: self._reports.write(self._state), self._recorder.close):
            try:
                last()
            except RunnerError as error:
                self._amend(error)

    def _amend(self, error: RunnerError) -> None:
        """Record a second verdict, which replaces the first: a run without its reports must not be green."""
        verdict = self._state.verdict
        if verdict is None:
            return
        with contextlib.suppress(RunnerError):
            self._recorder.emit(self._with_report_error(verdict, error))
        with contextlib.suppress(RunnerError):
            self._reports.write(self._state)

    def _with_report_error(self, verdict: RunEnded, error: RunnerError) -> RunEnded:
        """Return the verdict after a report or the journal failed: a good run fails, a failed one keeps its code."""
        reason = self._recorder.redactor.text(f"{verdict.reason}; and {error.message}")
        if verdict.exit_code and not isinstance(error, LeakError):
            return dataclasses.replace(verdict, result="failed", reason=reason)
        return RunEnded(int(error.exit_code), "failed", reason, self._recorder.redactor.text(error.remedy))
