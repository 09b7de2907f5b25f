"""What the agent did to the working tree, seen by git: noted before, compared after, judged by the job's rules."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import Changed, CheckEnded, build, to_json
from codex_runner.domain.job import RULES, SCAN, Sandbox
from codex_runner.engine.git_changes import Before, NotRepositoryError, changes, diffstat, patch, snapshot
from codex_runner.engine.path_rules import exit_code_of, judge_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Transport
    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder


def needs_git(job: Job) -> bool:
    """Whether something is asked of the changes that git alone can answer."""
    return job.rules.any or job.secret_scan or job.budget.changed_lines is not None


def placed(job: Job, state: RunState) -> Job:
    """Return the job with the folder that it works in: in the run's own workspace, once that is made."""
    return job if state.workspace is None else dataclasses.replace(job, cwd=state.workspace.cwd)


def is_watched(job: Job) -> bool:
    """Whether the tree is looked at: an agent that may only read changes nothing, and has nothing to be judged for."""
    return needs_git(job) or job.sandbox is not Sandbox.READ_ONLY


async def note(job: Job, run_id: str, transport: Transport, own: Sequence[str] = ()) -> dict[str, Any] | None:
    """Note the tree before the agent, as a mapping for the run's facts; None where it is in no repository.

    `own` are the runner's folders, whose files are not the agent's doing. ConfigurationError where the job has rules,
    and there is no repository to hold them against.
    """
    try:
        before = await snapshot(transport, job.cwd, run_id, skip=own)
    except NotRepositoryError:
        if needs_git(job):
            raise
        return None
    noted: dict[str, Any] = to_json(before)
    return noted


async def compare(job: Job, noted: dict[str, Any], transport: Transport, recorder: Recorder) -> bytes:
    """Compare the tree with what was noted, record it with the verdict of the rules, and return the patch.

    Where a runner that was killed since has recorded it, only the patch is fetched again.
    """
    before: Before = build(Before, noted)
    known = recorder.state.changes is not None
    searched = not job.secret_scan or SCAN in recorder.state.checks
    try:
        found = None if known else await changes(transport, before)
        text = await patch(transport, before)
    except RunnerError as error:
        if needs_git(job) and not (known and searched):
            raise
        recorder.warn("changes", f"What changed could not be found out: {error.message}")
        return b""
    if found is None:
        return text
    if found.head != before.head:
        recorder.warn("head-moved", _moved(before.head, found.head))
    findings = judge_changes(job.rules, found.changed) if job.rules.any else ()
    sentences = tuple(recorder.redactor.text(finding.message) for finding in findings)
    code = int(exit_code_of(findings))
    recorder.emit(
        Changed(len(found.changed), found.lines, recorder.redactor.text(diffstat(found.changed)), sentences, code)
    )
    if job.rules.any:
        recorder.emit(CheckEnded(RULES, not findings, code, 0.0, "\n".join(sentences)))
    return text


def _moved(before: str, after: str) -> str:
    """Say where HEAD went, and no more than is known of how: a commit, a reset and another branch look alike."""
    if not after:
        return (
            f"HEAD was {before} and names no commit any more: its branch, .git/HEAD or objects of the repository "
            "were changed or removed during the run."
        )
    if not before:
        return f"HEAD named no commit and is {after}: a commit was made during the run."
    return f"HEAD was {before} and is {after}: a commit, a reset or another branch moved it during the run."
