"""A pull or merge request that a pipeline works on: who proposes a change chose the files that the agent reads.

A CI system makes the places where the base commit may be with the functions here, which let no other name through.
"""

from __future__ import annotations

import re

from codex_runner.dataclass import dataclass

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
# No character that git refuses in a branch name, or that a shell or a revision could take for something else.
_BRANCH = re.compile(r"[A-Za-z0-9_][\w./+@=,-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed change. `name` is for people (`pull request 12`).

    `bases` are the places where its base commit may be, the best first, for `survey.sh`: `commit SHA`,
    `ref refs/remotes/origin/main`, `fork-point refs/remotes/origin/main`, or `merge-parent SHA`: HEAD's first parent,
    if HEAD is the CI system's own merge of the base and the proposal's head SHA.
    """

    name: str
    bases: tuple[str, ...]


def at_commit(sha: object) -> tuple[str, ...]:
    """Return the place that a commit's full id is; none for any other text."""
    return (f"commit {sha}",) if isinstance(sha, str) and _COMMIT.fullmatch(sha) else ()


def at_merge_parent(head: object) -> tuple[str, ...]:
    """Return the place before the CI system's merge of the proposal's `head`, a commit's full id."""
    return (f"merge-parent {head}",) if isinstance(head, str) and _COMMIT.fullmatch(head) else ()


def at_tip(branch: object) -> tuple[str, ...]:
    """Return the place that the tip of a branch of `origin` is; none if it is no branch's name."""
    return (f"ref refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def at_fork_point(branch: object) -> tuple[str, ...]:
    """Return the place at which the proposal left a branch of `origin`; none if it is no branch's name."""
    return (f"fork-point refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def _is_branch(name: object) -> bool:
    return isinstance(name, str) and _BRANCH.fullmatch(name) is not None and ".." not in name
