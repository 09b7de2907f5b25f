"""The verdict of a run: it succeeds only if all sources agree. Otherwise the reason names the two that disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import RunnerError, bug
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.guard_names import OF_DELIVERY
from codex_runner.domain.job import SCAN, SCHEMA
from codex_runner.domain.machine import machine_fault
from codex_runner.domain.run import Verdict
from codex_runner.engine.budget import over
from codex_runner.engine.workspace import needs_git

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.event import CheckEnded
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState

_BUT = "the agent completed its turn, but"
_RULE_BROKEN = "Read the patch (artifacts/changes.patch); widen the rules only if the job may make this change."
_CREDENTIAL = (
    "Revoke a real credential: it has been on disk. If it only looks like one, have the agent write it differently, or "
    "remove `secret_scan`."
)
_MISFIT = "Compare the reply with `output_schema`, and say in the prompt what the schema cannot express."
_UNJUDGED = "Give each `pattern` of `output_schema` one way to match a text: no repetition within a repetition."
# Remedies for broken guards that are no bug of the runner.
_PROMISES = {
    "process sweep": "End the agent's processes that are left on the host. A full disk, or a process that waits for a "
    "dead one, can keep the runner from it.",
    "run directory": "Remove the run's directory on the host by hand; the message says why the runner could not.",
}
_CHECK_FAILED = "Look at the output of the check, and at the patch that it judged (artifacts/changes.patch)."


def judge_run(job: Job, state: RunState) -> Verdict:
    """Return the verdict of a run whose last attempt has ended and whose checks have run."""
    attempt = state.attempt
    ending = attempt.ending if attempt else None
    if ending is None:
        return Verdict(ExitCode.INTERNAL, "the run ended without an ending", Failure.UNKNOWN)
    if ending.failure is not None:
        return Verdict.of(ending)
    for judge in (_judge_budget, _judge_secrets, _judge_changes, _judge_reply, _judge_checks, _judge_guards):
        if (disagreement := judge(job, state)) is not None:
            return disagreement
    return Verdict(ExitCode.SUCCEEDED, ending.message)


def _judge_budget(job: Job, state: RunState) -> Verdict | None:
    """Judge the budget once more: only git knows the changed lines, and files that the agent did not report."""
    passed = over(job.budget, state, job.price)
    return None if passed is None else Verdict(ExitCode.BUDGET, f"{_BUT} {passed}", Failure.BUDGET)


def _judge_secrets(job: Job, state: RunState) -> Verdict | None:
    if not job.secret_scan:
        return None
    result = state.checks.get(SCAN)
    if result is None:
        return Verdict(ExitCode.JOB_FAILED, f"{_BUT} its changes were never searched for credentials")
    return _judge_own(result, ExitCode.FORBIDDEN_CHANGE, "wrote what looks like a credential", _CREDENTIAL)


def _judge_changes(job: Job, state: RunState) -> Verdict | None:
    if state.changes is None:
        return Verdict(ExitCode.JOB_FAILED, f"{_BUT} its changes were never judged") if needs_git(job) else None
    if not state.changes.findings:
        return None
    said = _first(state.changes.findings)
    code = ExitCode(state.changes.exit_code)  # type: ignore[call-arg] # the enum's own __new__ has more
    return Verdict(code, f"{_BUT} broke a rule: {said}", remedy=_RULE_BROKEN)


def _judge_reply(job: Job, state: RunState) -> Verdict | None:
    if job.output_schema is None:
        return None
    result = state.checks.get(SCHEMA)
    if result is None:
        return Verdict(ExitCode.JOB_FAILED, f"{_BUT} its reply was never checked against the schema")
    if result.exit_code is None:
        return _judge_own(result, ExitCode.JOB_FAILED, "its reply was not judged", _UNJUDGED)
    return _judge_own(result, ExitCode.JOB_FAILED, "its reply does not fit the schema", _MISFIT)


def _judge_checks(job: Job, state: RunState) -> Verdict | None:
    for check in job.checks:
        result = state.checks.get(check.name)
        if result is None:
            return Verdict(ExitCode.JOB_FAILED, f"{_BUT} the check {check.name!r} never ran")
        if not result.passed:
            how = "ran out of time" if result.exit_code is None else f"exited with {result.exit_code}"
            return Verdict(ExitCode.JOB_FAILED, f"{_BUT} the check {check.name!r} {how}", remedy=_CHECK_FAILED)
    return None


def _judge_guards(_job: Job, state: RunState) -> Verdict | None:
    # The delivery's own judge the delivery, after the agent: what they refuse can be delivered later.
    own = (guard for guard in state.guards.values() if not guard.name.startswith(OF_DELIVERY))
    failed = next((guard for guard in own if guard.failed), None)
    if failed is None:
        return None
    said = f"{_BUT} {failed.name} failed: {failed.message}"
    return Verdict(ExitCode.INTERNAL, said, remedy=_PROMISES.get(failed.name, RunnerError.default_remedy))


def _judge_own(result: CheckEnded, code: ExitCode, what: str, remedy: str) -> Verdict | None:
    """Judge one of the runner's own checks: each line of its output is a problem."""
    if result.passed:
        return None
    said = _first(result.output.split("\n"))
    return Verdict(code, f"{_BUT} {what}: {said}", remedy=remedy)


def _first(sentences: Sequence[str]) -> str:
    more = len(sentences) - 1
    return f"{sentences[0]}{f' And {more} more.' if more else ''}"


def own_failure(error: Exception) -> Verdict:
    """Return the verdict for a fault of the machine, or else for a bug, without values: they may be secret."""
    if (fault := machine_fault(error)) is not None:
        return Verdict(fault.exit_code, fault.message, remedy=fault.remedy)
    said = f"a bug in codex-runner: {bug(error)}"
    return Verdict(ExitCode.INTERNAL, said, remedy=RunnerError.default_remedy)
