"""The log of a step in Azure Pipelines: groups, and issues that the run's page lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain import event as ev
from codex_runner.sinks.listing import ListingLog
from codex_runner.text.clean import clean_line
from codex_runner.text.excerpts import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codex_runner.domain.event import Record
    from codex_runner.domain.state import RunState

ISSUES = 10  # for each level and step: the run's page shows no more
_MESSAGE = 1000  # characters of an issue


class AzureLog(ListingLog):
    """Plain lines, with a group for each attempt and one for the checks.

    The agent obeys `##vso[` anywhere in a line. `text.clean_line` breaks it up in all foreign text. There is no mask:
    the command for one would print the secret, and records come redacted.
    """

    END = "##[endgroup]"
    MOST = ISSUES

    def _before(self, record: Record, state: RunState) -> Iterable[str]:
        match record.event:
            case ev.AttemptStarted() as event:
                return [*self._end_group(), *self._begin(f"Attempt {event.number}: {state.job}")]
            case ev.CheckStarted() if not self._open:
                return self._begin("Checks")
            case ev.RunEnded():
                return self._end_group()
            case _:
                return ()

    def _after(self, record: Record, state: RunState) -> Iterable[str]:
        match record.event:
            case ev.AttemptEnded() as event:
                failed = event.ending.failure
                told = f"Attempt {event.number} failed ({failed}): {event.ending.message}"
                return [*self._end_group(), *(self._issue("warning", told) if failed else ())]
            case ev.Warned() as event if event.code != ev.NO_BUDGET:
                return self._issue("warning", f"{event.code}: {event.message}")
            case ev.Guarded(failed=True) as event:
                return self._issue("error", f"{event.name}: {event.message}")
            case ev.CheckEnded(passed=False) as event:
                code = event.exit_code
                outcome = "ran out of time" if code is None else f"failed with exit code {code}"
                return self._issue("error", f"check {event.name} {outcome}")
            case ev.RunEnded() as event if event.exit_code:
                return self._issue("error", f"{state.job} {event.result}: {event.reason}", verdict=True)
            case _:
                return ()

    def _begin(self, title: str) -> list[str]:
        return self._begin_group(f"##[group]{first_line(title)}")

    def _issue(self, level: str, message: str, *, verdict: bool = False) -> list[str]:
        """Return an issue, on one line, if Azure would still show it."""
        if not self._is_listed(level, verdict=verdict):
            return []
        told = clean_line(" ".join(message.split()))[:_MESSAGE]
        # `%` would begin an escape of Azure's.
        return [f"##vso[task.logissue type={level}]{told.replace('%', '%AZP25')}"]
