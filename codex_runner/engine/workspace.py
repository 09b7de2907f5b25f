"""What the agent did to the working tree, seen by git: noted before, compared after, judged by the job's rules."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import ChangeKind
from codex_runner.domain.errors import RunnerError, UnreachableError
from codex_runner.domain.event import Changed, CheckEnded, build, to_json
from codex_runner.domain.job import RULES, SCAN, Sandbox
from codex_runner.engine.path_rules import exit_code_of, judge_changes, uncounted, unjudged
from codex_runner.git.changes import (
    Before,
    NoGitError,
    NotRepositoryError,
    changes,
    committed,
    diffstat,
    patch,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Transport
    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder
    from codex_runner.git.diff_reader import Changes

UNWATCHED = "nobody sees what the agent changes"

# Seconds for a look at the tree of a run whose time has run out.
_LEAST = 10.0
_TOLD = 20


def needs_git(job: Job) -> bool:
    """Whether something is asked of the changes that git alone can answer."""
    return job.rules.any or job.secret_scan or job.budget.changed_lines is not None


def placed(job: Job, state: RunState) -> Job:
    """Return the job with the folder that it works in: in the run's own workspace, once that is made."""
    return job if state.workspace is None else dataclasses.replace(job, cwd=state.workspace.cwd)


def is_watched(job: Job) -> bool:
    """Whether the tree is looked at: an agent that may only read changes nothing, and has nothing to be judged for."""
    return needs_git(job) or job.sandbox is not Sandbox.READ_ONLY


async def note(
    job: Job, run_id: str, transport: Transport, recorder: Recorder, own: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Note the tree before the agent, as a mapping for the run's facts; None if git cannot look at it.

    `own` are the runner's folders, whose files are not the agent's doing. ConfigurationError if the job has rules, and
    there is no git, or no repository to hold them against. It takes the job's `timeout` at most.
    """
    try:
        before = await snapshot(transport, job.cwd, run_id, skip=own, timeout=job.limits.timeout)
    except NoGitError as error:
        if needs_git(job):
            raise
        recorder.warn("unwatched", f"{error.message.rstrip('.')}: {UNWATCHED}.")
        return None
    except NotRepositoryError:
        if needs_git(job):
            raise
        return None
    noted: dict[str, Any] = to_json(before)
    return noted


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found: the patch of all that changed, and the patches of what was committed meanwhile."""

    patch: bytes = b""
    commits: bytes = b""


async def compare(job: Job, noted: dict[str, Any], transport: Transport, recorder: Recorder) -> Compared:
    """Compare the tree with what was noted, record it with the verdict of the rules, and return the patches.

    Where a runner that was killed since has recorded it, only the patches are fetched again. Raises if nobody can say
    what changed, and nothing else has failed the run yet. It takes what is left of the job's time, or a little if that
    has run out: what was done by then is worth keeping.
    """
    before: Before = build(Before, noted)
    known = recorder.state.changes is not None
    searched = not job.secret_scan or SCAN in recorder.state.checks
    until = time.monotonic() + max(_LEAST, _left(job, recorder.state, recorder.clock.now()))

    def left() -> float:
        return max(1.0, until - time.monotonic())

    try:
        found = None if known else await changes(transport, before, timeout=left())
        text = await patch(transport, before, timeout=left())
        more = await committed(transport, before, timeout=left()) if job.secret_scan else b""
    except RunnerError as error:
        if not _matters_not(job, recorder.state, error, known=known and searched):
            raise
        recorder.warn("changes", f"What changed could not be found out: {error.message}")
        return Compared()
    if found is not None:
        _record(job, before, found, recorder)
    return Compared(text, more)


def _left(job: Job, state: RunState, now: float) -> float:
    """Return how many seconds of the job's time are left: it began with the first attempt."""
    return job.limits.timeout - (now - state.attempts[0].started) if state.attempts else job.limits.timeout


def _matters_not(job: Job, state: RunState, error: RunnerError, *, known: bool) -> bool:
    """Whether the run's verdict depends on nothing that could not be seen."""
    failed = state.attempt is not None and state.attempt.ending is not None and state.attempt.ending.failure is not None
    return known or failed or (isinstance(error, UnreachableError) and not needs_git(job))


def _record(job: Job, before: Before, found: Changes, recorder: Recorder) -> None:
    clean = recorder.redactor.text
    if found.head != before.head:
        recorder.warn("head-moved", _moved(before.head, found.head))
    if told := unjudged(job.rules, (*found.changed, *found.committed)):
        more = [f"And {len(told) - _TOLD} more."] if len(told) > _TOLD else []
        recorder.warn("inside-git", clean(" ".join([*told[:_TOLD], *more])))
    findings = judge_changes(job.rules, found.changed, found.committed, scanned=job.secret_scan)
    sentences = tuple(clean(finding.message) for finding in findings)
    code = int(exit_code_of(findings))
    ignored = tuple(clean(change.shown) for change in found.changed if change.newly_ignored)
    if ignored:
        recorder.warn("newly-ignored", f"Ignored only by rules that the agent has changed: {', '.join(ignored)}.")
    recorder.emit(
        Changed(
            len(found.changed),
            found.lines,
            clean(diffstat(found.changed)),
            sentences,
            code,
            newly_ignored=ignored,
            repositories=tuple(clean(c.shown) for c in found.changed if c.kind is ChangeKind.REPOSITORY),
            uncounted=tuple(map(clean, uncounted(found.changed, found.committed))),
        )
    )
    if job.rules.any:
        recorder.emit(CheckEnded(RULES, not findings, code, 0.0, "\n".join(sentences)))


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
