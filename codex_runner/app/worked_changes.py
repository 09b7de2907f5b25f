"""Changes: past runs grouped by the pull request that they worked on, or at a plain remote by the branch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import DeliveryState, ForgeKind
from codex_runner.domain.outcomes import Spent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from codex_runner.app.worked_runs import WorkedRun
    from codex_runner.domain.delivery import Delivered

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PUSHED = frozenset({DeliveryState.DELIVERED, DeliveryState.UPDATED})


@dataclass(frozen=True, slots=True)
class WorkedChange:
    """What some runs, the oldest first, have worked on: each has `delivered`. There is at least one."""

    runs: tuple[WorkedRun, ...]

    @property
    def last(self) -> Delivered:
        """What the newest run says of it."""
        return next(run.delivered for run in reversed(self.runs) if run.delivered is not None)

    @property
    def spent(self) -> Spent:
        """What its runs have spent."""
        return spent_by(self.runs)

    @property
    def commits(self) -> list[str]:
        """The commits that the runner has pushed, the oldest first."""
        pushed = (_pushed(run) for run in self.runs)
        return list(dict.fromkeys(commit for commit in pushed if commit))

    def split(self, accepted: Collection[str]) -> list[WorkedChange]:
        """Return what was one change each at a plain remote: it ends with a commit of which the base has got hold.

        The last one is the rest, if any run pushed a commit after that.
        """
        parts: list[WorkedChange] = []
        current: list[WorkedRun] = []
        tip = ""
        for run in self.runs:
            commit = _pushed(run)
            if commit not in {"", tip}:
                if tip in accepted:
                    parts.append(WorkedChange(tuple(current)))
                    current = []
                tip = commit
            current.append(run)
        return [*parts, WorkedChange(tuple(current))]


def changes_of(runs: Iterable[WorkedRun]) -> list[WorkedChange]:
    """Group the runs of one job, the newest first, into changes. The change with the newest run is the first.

    A run that names no pull request, such as one that failed, belongs to none. At a plain remote, a change is all that
    was pushed to a branch: see `WorkedChange.split`.
    """
    groups: dict[tuple[object, ...], list[WorkedRun]] = {}
    for run in runs:
        said = run.delivered
        if said is None:
            continue
        if said.target is ForgeKind.GIT:
            groups.setdefault((said.target, said.repository, said.base, said.branch), []).append(run)
        elif said.number is not None or said.state in _PUSHED:
            groups.setdefault((said.target, said.repository, said.number or said.branch), []).append(run)
    found = [WorkedChange(tuple(reversed(group))) for group in groups.values()]
    return [change for change in found if change.last.target is not ForgeKind.GIT or change.commits]


def spent_by(runs: Iterable[WorkedRun]) -> Spent:
    """Return what runs have spent, as far as they can be read."""
    total = Spent()
    for run in runs:
        if run.spent is not None:
            total += run.spent
    return total


def _pushed(run: WorkedRun) -> str:
    """Return the commit that a run has pushed, "" if none."""
    said = run.delivered
    is_pushed = said is not None and said.state in _PUSHED and _COMMIT.fullmatch(said.commit)
    return said.commit if said is not None and is_pushed else ""
