"""The result of a check of `doctor`, and the names of the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.reports.checklist import write_junit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.errors import RunnerError

__all__ = [
    "AUDIT_FILE",
    "CODEX",
    "CODEX_VERSION",
    "CONFIGURATION",
    "CREDENTIAL",
    "DELIVERY",
    "GIT",
    "HOST",
    "OUTPUT_DIR",
    "PREFLIGHT",
    "RUNNER",
    "RUN_DIR",
    "VAULT",
    "Diagnosis",
    "configuration_failed",
    "exit_code",
    "write_junit",
]

CONFIGURATION: Final = "configuration"
OUTPUT_DIR: Final = "output-dir"
AUDIT_FILE: Final = "audit-file"
RUN_DIR: Final = "run-dir"
HOST: Final = "host"
VAULT: Final = "vault"
CREDENTIAL: Final = "credential"
CODEX: Final = "codex"
CODEX_VERSION: Final = "codex-version"
PREFLIGHT: Final = "credential-preflight"
GIT: Final = "git"
DELIVERY: Final = "delivery"

RUNNER: Final = "codex-runner"  # the subject of a check that is not about one job


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check. `subject` is a job, or codex-runner itself; `exit_code` is 0 unless it is refused."""

    subject: str
    finding: Finding
    exit_code: int = 0

    @property
    def state(self) -> str:
        """The state, as people and programs read it."""
        words = {Outcome.PASSED: "ok", Outcome.WARNED: "warning", Outcome.REFUSED: "failed"}
        return words.get(self.finding.outcome, self.finding.outcome.value)


def exit_code(diagnoses: Sequence[Diagnosis]) -> int:
    """Return the exit code that a run would end with: that of the first check that failed."""
    return next((each.exit_code for each in diagnoses if each.exit_code), 0)


def configuration_failed(error: RunnerError) -> Diagnosis:
    """Return the result if there is no configuration."""
    finding = Finding(CONFIGURATION, Outcome.REFUSED, error.message, error.remedy)
    return Diagnosis(RUNNER, finding, int(error.exit_code))
