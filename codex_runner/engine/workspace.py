"""The agent's changes to the working tree: git notes the tree before, compares it after, and the rules judge it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import ChangeKind
from codex_runner.domain.errors import RunnerError, UnreachableError
from codex_runner.domain.event import Changed, CheckEnded, build, to_json
from codex_runner.domain.job import RULES, SCAN, Sandbox
from codex_runner.engine.delivery_rules import judge_delivery
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
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.git.diff_reader import Changes

UNWATCHED = "the runner does not see what the agent changes"

# Seconds at least for comparing the tree, also if the job's timeout is over.
_LEAST = 10.0
_TOLD = 20


def has_rules(job: Job) -> bool:
    """Whether rules judge the paths that change: the job's own, or those of what is delivered."""
    return job.rules.any or job.delivery is not None


def needs_git(job: Job) -> bool:
    """Whether the job's rules, secret scan or budget need git's view of the changes."""
    return has_rules(job) or job.secret_scan or job.budget.changed_lines is not None


def placed(job: Job, state: RunState) -> Job:
    """Return the job with its final `cwd`: in the run's own workspace, once that is made."""
    return job if state.workspace is None else dataclasses.replace(job, cwd=state.workspace.cwd)


def is_watched(job: Job) -> bool:
    """Whether git compares the tree. An agent that may only read changes nothing, unless the job has rules."""
    return needs_git(job) or job.sandbox is not Sandbox.READ_ONLY


def is_noted(job: Job) -> bool:
    """Whether git notes the tree before the agent: to compare it, or for a gate, which remembers clean trees only."""
    return is_watched(job) or (job.gate is not None and bool(job.gate.unless_changed))


async def note(
    job: Job, run_id: str, transport: Transport, recorder: Recorder, own: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Snapshot the tree before the agent starts, as a mapping for the run's facts. Returns None without git.

    `own` are the runner's folders, whose files are not the agent's changes. Raises ConfigurationError if the job has
    rules and there is no git or no repository. Takes at most the job's `timeout`.
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
    except UnreachableError:
        raise
    except RunnerError:
        if is_watched(job):
            raise
        return None  # only the gate asks, and takes the tree for one that is not clean
    noted: dict[str, Any] = to_json(before)
    return noted


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of `compare`: the patch of all changes, and the patches of commits made during the run."""

    patch: bytes = b""
    commits: bytes = b""


async def compare(job: Job, noted: dict[str, Any], transport: Transport, recorder: Recorder) -> Compared:
    """Compare the tree with its snapshot, record the changes and the broken rules, and return the patches.

    If an earlier runner has recorded the changes before it was killed, only fetches the patches again. Raises
    RunnerError if the changes cannot be determined and the verdict depends on them. Takes what is left of the job's
    timeout, and some seconds if nothing is left: the agent's work so far is worth keeping.
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
        recorder.warn("changes", f"The agent's changes could not be determined: {error.message}")
        return Compared()
    if found is not None:
        _record(job, before, found, recorder)
    return Compared(text, more)


def _left(job: Job, state: RunState, now: float) -> float:
    """Return how many seconds of the job's timeout are left. It counts from the first attempt."""
    return job.limits.timeout - (now - state.attempts[0].started) if state.attempts else job.limits.timeout


def _matters_not(job: Job, state: RunState, error: RunnerError, *, known: bool) -> bool:
    """Whether the verdict does not depend on the changes that could not be determined."""
    failed = state.attempt is not None and state.attempt.ending is not None and state.attempt.ending.failure is not None
    return known or failed or (isinstance(error, UnreachableError) and not needs_git(job))


def _record(job: Job, before: Before, found: Changes, recorder: Recorder) -> None:
    clean = recorder.redactor.text
    if found.head != before.head:
        recorder.warn("head-moved", _moved(before.head, found.head))
    if told := unjudged(job.rules, (*found.changed, *found.committed)):
        more = [f"And {len(told) - _TOLD} more."] if len(told) > _TOLD else []
        recorder.warn("inside-git", clean(" ".join([*told[:_TOLD], *more])))
    whole = job.secret_scan or job.delivery is not None
    findings = judge_changes(job.rules, found.changed, found.committed, scanned=whole)
    if job.delivery is not None:
        findings = (*judge_delivery(job.rules, found.changed, findings), *findings)
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
    if has_rules(job):
        recorder.emit(CheckEnded(RULES, not findings, code, 0.0, "\n".join(sentences)))


def _moved(before: str, after: str) -> str:
    """Describe how HEAD moved. A commit, a reset and a switch of the branch look alike: do not guess which it was."""
    if not after:
        return (
            f"HEAD was {before} and names no commit any more: its branch, .git/HEAD or objects of the repository "
            "were changed or removed during the run."
        )
    if not before:
        return f"HEAD named no commit and is {after}: a commit was made during the run."
    return f"HEAD was {before} and is {after}: a commit, a reset or another branch moved it during the run."
