"""What the doctor has found, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.diagnosis import RUNNER, Diagnosis
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.errors import RunnerError
    from codex_runner.domain.event import Event


class Findings:
    """Collects them. `subject` is what is looked at: this machine, a host, a job."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[Diagnosis] = []
        self.subject = RUNNER

    def passed(self, rule: str, message: str) -> None:
        """Note a check that passed."""
        self.found.append(Diagnosis(self.subject, Finding(rule, Outcome.PASSED, message)))

    def warned(self, rule: str, message: str, remedy: str) -> None:
        """Note what is doubtful, and fails no run."""
        self.found.append(Diagnosis(self.subject, Finding(rule, Outcome.WARNED, message, remedy)))

    def failed(self, rule: str, error: RunnerError) -> None:
        """Note what a run would end with."""
        finding = Finding(rule, Outcome.REFUSED, error.message, error.remedy)
        self.found.append(Diagnosis(self.subject, finding, int(error.exit_code)))

    def refused(self, rule: str, events: Sequence[Event], error: RunnerError) -> None:
        """Report an error under the name of the guard that raised it, otherwise under `rule`."""
        self.hear(events, error)
        if not any(isinstance(event, Guarded) and event.failed for event in events):
            self.failed(rule, error)

    def hear(self, events: Sequence[Event], error: RunnerError | None = None) -> None:
        """Report what the rules said. `error` is their result, and has the remedy."""
        warned = {event.code: event for event in events if isinstance(event, Warned)}
        for event in events:
            if isinstance(event, Guarded) and not event.judged:
                doubt = warned.pop(event.name, None)
                remedy = doubt.message.removeprefix(event.message).strip() if doubt else ""
                finding = Finding(event.name, Outcome.UNJUDGED, event.message, remedy)
                self.found.append(Diagnosis(self.subject, finding))
            elif isinstance(event, Guarded) and not event.passed:
                finding = Finding(event.name, Outcome.REFUSED, event.message, error.remedy if error else "")
                owner = CredentialError if error is None else type(error)
                self.found.append(Diagnosis(self.subject, finding, int(owner.exit_code)))
            elif isinstance(event, Guarded) and event.name not in warned:
                self.passed(event.name, event.message)
        for code, warning in warned.items():
            self.warned(code, warning.message, "")
