"""A run's outcome, in the same words in every report: one word, one sentence, and the remedy."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure

if TYPE_CHECKING:
    from codex_runner.domain.event import RunEnded
    from codex_runner.domain.state import RunState


class Blame(Enum):
    """The cause of a bad ending: the job (JUnit's failure), or the infrastructure (JUnit's error)."""

    JOB = "failure"
    INFRASTRUCTURE = "error"


_OF_THE_JOB = frozenset({ExitCode.JOB_FAILED, ExitCode.BUDGET, ExitCode.FORBIDDEN_CHANGE})
UNFINISHED = "the run has no ending: it is still running, or its runner was killed"


def blame(exit_code: int) -> Blame:
    """Return the cause behind an exit code. An unknown code is the infrastructure's."""
    return Blame.JOB if exit_code in _OF_THE_JOB else Blame.INFRASTRUCTURE


def failure_exit_code(failure: str | None) -> int | None:
    """Return the exit code of a class of failure. Returns None if there is none, or if it is unknown."""
    return next((int(known.exit_code) for known in Failure if known == failure), None)


def failure_class(state: RunState) -> str | None:
    """Return the class of failure with the verdict's exit code: the last attempt's, a guard's or a stop's."""
    verdict, attempt = state.verdict, state.attempt
    if verdict is None or verdict.exit_code == 0:
        return None
    of_attempt = attempt.ending.failure if attempt and attempt.ending else None
    of_guards = (guard.failure for guard in state.guards.values() if guard.failed)
    of_stop = attempt.stop.reason if attempt and attempt.stop else None
    named = (of_attempt, *of_guards, of_stop)
    return next((str(each) for each in named if failure_exit_code(each) == verdict.exit_code), None)


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
    """Return the meaning of an exit code."""
    return next((code.meaning for code in ExitCode if code == exit_code), f"exit code {exit_code}")


def headline(verdict: RunEnded | None) -> str:
    """Return the outcome for people: `succeeded`, `skipped`, `running`, `failed`, or `failed (model service)`."""
    outcome = word(verdict)
    if verdict is None or not verdict.exit_code:
        return outcome
    return "failed" if verdict.exit_code == ExitCode.JOB_FAILED else f"failed ({outcome.replace('-', ' ')})"


def remedy(verdict: RunEnded | None) -> str:
    """Return the remedy as a sentence; empty if there is nothing to do."""
    return "Run `codex-runner attach RUN` to go on with it." if verdict is None else verdict.remedy


def _name(exit_code: int) -> str:
    return next((code.name for code in ExitCode if code == exit_code), f"exit-{exit_code}")
