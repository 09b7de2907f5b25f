"""A pull or merge request that a pipeline works on: its author chose the files that the agent reads.

Each CI system builds the candidates for the base commit with these functions, which accept only safe names.
"""

from __future__ import annotations

import re

from codex_runner.dataclass import dataclass

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
# No character that git refuses in a branch name, or that has a meaning in a shell or a revision.
_BRANCH = re.compile(r"[A-Za-z0-9_][\w./+@=,-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed change. `name` is for people (`pull request 12`).

    `bases` are candidates for its base commit, the best first, for `survey.sh`: `commit SHA`,
    `ref refs/remotes/origin/main`, `fork-point refs/remotes/origin/main`, or `merge-parent SHA`. The last one is HEAD's
    first parent, if HEAD is the CI system's own merge of the base and the proposal's head SHA.
    """

    name: str
    bases: tuple[str, ...]


def at_commit(sha: object) -> tuple[str, ...]:
    """Return the candidate for a commit's full id. Returns () for any other text."""
    return (f"commit {sha}",) if isinstance(sha, str) and _COMMIT.fullmatch(sha) else ()


def at_merge_parent(head: object) -> tuple[str, ...]:
    """Return the candidate before the CI system's merge of `head`, a full commit id. Returns () for any other text."""
    return (f"merge-parent {head}",) if isinstance(head, str) and _COMMIT.fullmatch(head) else ()


def at_tip(branch: object) -> tuple[str, ...]:
    """Return the candidate at the tip of a branch of `origin`. Returns () if `branch` is no branch name."""
    return (f"ref refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def at_fork_point(branch: object) -> tuple[str, ...]:
    """Return the candidate at the fork point from a branch of `origin`. Returns () if `branch` is no branch name."""
    return (f"fork-point refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def _is_branch(name: object) -> bool:
    return isinstance(name, str) and _BRANCH.fullmatch(name) is not None and ".." not in name
