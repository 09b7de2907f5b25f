"""What a run comes to: it succeeds only when all agree, and a disagreement says which two disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import RunnerError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.job import SCAN, SCHEMA
from codex_runner.domain.run import Verdict
from codex_runner.engine.budget import over
from codex_runner.engine.workspace import needs_git

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.event import CheckEnded
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState

_BUT = "the agent completed its turn, but"
_RULE_BROKEN = "Look at the patch (artifacts/changes.patch); widen the rules only if the job may do that."
_CREDENTIAL = (
    "Revoke what is real: it has been on disk. Have the agent write otherwise what only looks like one, or leave out "
    "`secret_scan`."
)
_MISFIT = "Compare the reply with `output_schema`, and say in the prompt what the schema cannot."
_UNJUDGED = "Give each `pattern` of `output_schema` one way to match a text: no repetition within a repetition."
# What keeps the runner from what it promises, and is no bug of its own.
_PROMISES = {
    "process sweep": "Look on the host for what is left of the agent, and end it; a full disk, or a process that waits "
    "for a dead one, may keep the runner from it.",
    "run directory": "Remove the run's directory on the host by hand; its own words say what keeps the runner from it.",
}
_CHECK_FAILED = "Look at the output of the check, and at the patch that it judged (artifacts/changes.patch)."


def judge_run(job: Job, state: RunState) -> Verdict:
    """Judge a run whose last attempt has ended and whose checks have run."""
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
    """Judge what only the end can tell: lines, and files that no patch of the agent names."""
    passed = over(job.budget, state, job.price)
    return None if passed is None else Verdict(ExitCode.BUDGET, f"{_BUT} {passed}", Failure.BUDGET)


def _judge_secrets(job: Job, state: RunState) -> Verdict | None:
    if not job.secret_scan:
        return None
    result = state.checks.get(SCAN)
    if result is None:
        return Verdict(ExitCode.JOB_FAILED, f"{_BUT} what it wrote was never searched for credentials")
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
        return Verdict(ExitCode.JOB_FAILED, f"{_BUT} its reply was never held against the schema")
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
    failed = next((guard for guard in state.guards.values() if guard.failed), None)
    if failed is None:
        return None
    said = f"{_BUT} {failed.name} failed: {failed.message}"
    return Verdict(ExitCode.INTERNAL, said, remedy=_PROMISES.get(failed.name, RunnerError.default_remedy))


def _judge_own(result: CheckEnded, code: ExitCode, what: str, remedy: str) -> Verdict | None:
    """Judge a check of the runner's own: its output is what is wrong, a line each."""
    if result.passed:
        return None
    said = _first(result.output.split("\n"))
    return Verdict(code, f"{_BUT} {what}: {said}", remedy=remedy)


def _first(sentences: Sequence[str]) -> str:
    more = len(sentences) - 1
    return f"{sentences[0]}{f' And {more} more.' if more else ''}"
