"""A pull or merge request that a pipeline works on: who proposes a change chose the files that the agent reads.

Pure: facts of the CI system in, the places where the base commit may be found out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codex_runner.engine.trust import below

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def proposal_of(environ: Mapping[str, str], payload: Mapping[str, object] | None = None) -> Proposal | None:
    """Return the pull or merge request that the CI system's variables tell of, None outside of any.

    `payload` is GitHub's event. If it cannot be read, an event named `pull_request...` is a proposal all the same.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _on_github(environ, payload or {})
    if environ.get("GITLAB_CI") == "true":
        return _on_gitlab(environ)
    if environ.get("BUILD_TAG", "").startswith("jenkins-") and environ.get("CHANGE_ID"):
        target = environ.get("CHANGE_TARGET", "")
        return Proposal(f"change {environ['CHANGE_ID']}", (*_fork_point(target), *_tip(target)))
    return None


def _on_github(environ: Mapping[str, str], payload: Mapping[str, object]) -> Proposal | None:
    event = environ.get("GITHUB_EVENT_NAME", "")
    number = below(payload, "number") or below(payload, "pull_request", "number") or below(payload, "issue", "number")
    default = below(payload, "repository", "default_branch")
    if payload.get("pull_request") is not None or event.startswith("pull_request"):
        branch = below(payload, "pull_request", "base", "ref") or environ.get("GITHUB_BASE_REF")
        sha = below(payload, "pull_request", "base", "sha")
    elif below(payload, "issue", "pull_request") is not None:  # a comment on one: workflows check its head out
        branch, sha = default, None
    elif str(below(payload, "workflow_run", "event") or "").startswith("pull_request"):
        number, branch, sha = None, default, None
    else:
        return None
    name = f"pull request {number}" if isinstance(number, int) else "pull request"
    head = below(payload, "pull_request", "head", "sha")
    return Proposal(name, (*_commit(sha), *_tip(branch), *_merge_parent(head)))


def _on_gitlab(environ: Mapping[str, str]) -> Proposal | None:
    if environ.get("CI_EXTERNAL_PULL_REQUEST_IID"):
        name = f"pull request {environ['CI_EXTERNAL_PULL_REQUEST_IID']}"
        sha = environ.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA")
        return Proposal(name, (*_commit(sha), *_tip(environ.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME"))))
    number = environ.get("CI_MERGE_REQUEST_IID")
    if not number and environ.get("CI_PIPELINE_SOURCE") != "merge_request_event":
        return None
    # The first is empty but in pipelines for merged results.
    shas = (environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA"), environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
    bases = [base for sha in shas for base in _commit(sha)]
    target = environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    head = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
    return Proposal(f"merge request {number or '?'}", (*bases, *_tip(target), *_merge_parent(head)))


def _commit(sha: object) -> tuple[str, ...]:
    return (f"commit {sha}",) if isinstance(sha, str) and _COMMIT.fullmatch(sha) else ()


def _merge_parent(head: object) -> tuple[str, ...]:
    return (f"merge-parent {head}",) if isinstance(head, str) and _COMMIT.fullmatch(head) else ()


def _tip(branch: object) -> tuple[str, ...]:
    return (f"ref refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def _fork_point(branch: object) -> tuple[str, ...]:
    return (f"fork-point refs/remotes/origin/{branch}",) if _is_branch(branch) else ()


def _is_branch(name: object) -> bool:
    return isinstance(name, str) and _BRANCH.fullmatch(name) is not None and ".." not in name
