"""What a run comes to: it succeeds only when all agree, and a disagreement says which two disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import ExitCode
from codex_runner.domain.run import Failure, Verdict

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState


def judge_run(job: Job, state: RunState) -> Verdict:  # noqa: PLR0911 - one return a disagreement
    """Judge a run whose last attempt has ended and whose checks have run."""
    attempt = state.attempt
    ending = attempt.ending if attempt else None
    if ending is None:
        return Verdict(ExitCode.INTERNAL, "the run ended without an ending", Failure.UNKNOWN)
    if ending.failure is not None:
        return Verdict(ending.exit_code, ending.message, ending.failure)
    if state.changes is not None and state.changes.findings:
        more = len(state.changes.findings) - 1
        said = f"{state.changes.findings[0]}{f' And {more} more.' if more else ''}"
        return Verdict(ExitCode(state.changes.exit_code), f"the agent completed its turn, but broke a rule: {said}")  # type: ignore[call-arg] # the enum's own __new__ has more
    if job.rules.any and state.changes is None:
        return Verdict(ExitCode.JOB_FAILED, "the agent completed its turn, but its changes were never judged")
    for check in job.checks:
        result = state.checks.get(check.name)
        if result is None:
            return Verdict(ExitCode.JOB_FAILED, f"the agent completed its turn, but the check {check.name!r} never ran")
        if not result.passed:
            how = "ran out of time" if result.exit_code is None else f"exited with {result.exit_code}"
            return Verdict(ExitCode.JOB_FAILED, f"the agent completed its turn, but the check {check.name!r} {how}")
    failed = next((guard for guard in state.guards.values() if not guard.passed), None)
    if failed is not None:
        return Verdict(ExitCode.INTERNAL, f"the agent completed its turn, but {failed.name} failed: {failed.message}")
    return Verdict(ExitCode.SUCCEEDED, ending.message)
