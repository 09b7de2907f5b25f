"""How a run ended, as every report says it: in one word, one sentence, and what to do next."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ExitCode, RunnerError
from codex_runner.domain.run import Failure

if TYPE_CHECKING:
    from codex_runner.domain.event import RunEnded
    from codex_runner.domain.state import RunState


class Blame(Enum):
    """Whose fault a bad ending is: of the job (JUnit's failure), or of what it runs on (JUnit's error)."""

    JOB = "failure"
    INFRASTRUCTURE = "error"


_OF_THE_JOB = frozenset({ExitCode.JOB_FAILED, ExitCode.BUDGET, ExitCode.FORBIDDEN_CHANGE})
UNFINISHED = "the run has no ending: it is still going on, or its runner was killed"
_REMEDIES = {
    ExitCode.JOB_FAILED: "Read the agent's reply and the output of the checks; the run's events.jsonl has every step.",
    ExitCode.MODEL_SERVICE: "Try again later, or look at the model service's status page.",
    ExitCode.QUOTA: "Wait until the limit resets, or raise it in the workspace's settings.",
    ExitCode.TIMEOUT: "Raise the job's `timeout`, or ask for less at a time.",
    ExitCode.STALLED: "Look at what the agent did last; raise `stall_timeout` if such a silence is normal for it.",
    ExitCode.BUDGET: "Raise the job's `budget`, or ask for less at a time.",
    ExitCode.FORBIDDEN_CHANGE: "Look at what was changed; widen `allowed_paths` only if the job may touch it.",
    ExitCode.INTERRUPTED: "Run the job again.",
    ExitCode.TERMINATED: "Run the job again; if the CI system's own time limit ended it, set `timeout` below that.",
}


def blame(exit_code: int) -> Blame:
    """Say whose fault an exit code is; one that this version does not know is the infrastructure's."""
    return Blame.JOB if exit_code in _OF_THE_JOB else Blame.INFRASTRUCTURE


def failure_exit_code(failure: str | None) -> int | None:
    """Return the exit code of a class of failure; None where there is none, or none that this version knows."""
    return next((int(known.exit_code) for known in Failure if known == failure), None)


def failure_class(state: RunState) -> str | None:
    """Return the class of failure behind the verdict: that of the last attempt, where its exit code is the run's."""
    verdict, attempt = state.verdict, state.attempt
    failure = attempt.ending.failure if attempt and attempt.ending else None
    if verdict is None or failure is None or int(failure.exit_code) != verdict.exit_code:
        return None
    return str(failure)


def word(verdict: RunEnded | None) -> str:
    """Return the short name of the outcome: `succeeded`, `skipped`, `running`, `timeout`, `job-failed`, ..."""
    if verdict is None:
        return "running"
    if verdict.exit_code == 0:
        return verdict.result
    return _name(verdict.exit_code).lower().replace("_", "-")


def reason(verdict: RunEnded | None) -> str:
    """Return the verdict's sentence, never empty."""
    if verdict is None:
        return UNFINISHED
    return verdict.reason.strip() or meaning(verdict.exit_code)


def meaning(exit_code: int) -> str:
    """Return what an exit code means."""
    return next((code.meaning for code in ExitCode if code == exit_code), f"exit code {exit_code}")


def remedy(verdict: RunEnded | None) -> str:
    """Return a sentence that says what to do next; empty where there is nothing to do."""
    if verdict is None:
        return "`codex-runner attach RUN` goes on with it."
    if verdict.exit_code == 0:
        return ""
    own = next((text for code, text in _REMEDIES.items() if code == verdict.exit_code), None)
    return own or next(
        (kind.default_remedy for kind in RunnerError.__subclasses__() if kind.exit_code == verdict.exit_code),
        RunnerError.default_remedy,
    )


def _name(exit_code: int) -> str:
    return next((code.name for code in ExitCode if code == exit_code), f"exit-{exit_code}")
