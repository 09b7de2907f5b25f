"""Delivery: where a run's changes go, and what came of it. Plain values, and the port of a forge.

A forge is GitHub, GitLab, or a plain git remote without pull requests. "Pull request" means GitLab's merge request too.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codex_runner.domain.governance import Attested
    from codex_runner.domain.secret import Secret


class ForgeKind(StrEnum):
    """The kind of a delivery's target."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GIT = "git"


class OnHeld(StrEnum):
    """What a held delivery does to the run."""

    WARN = "warn"
    FAIL = "fail"  # exit code 13


class IfUnchanged(StrEnum):
    """What happens to an open pull request of the workflow if a later run changes nothing."""

    SKIP = "skip"
    CLOSE = "close"


class Reopen(StrEnum):
    """When a pull request may be opened again that a person has closed."""

    NEVER = "never"
    CHANGED = "changed"  # once the base has a change in the files that matter
    ALWAYS = "always"


class DeliveryState(StrEnum):
    """What came of a delivery."""

    DELIVERED = "delivered"  # a new branch, and a new pull request
    UPDATED = "updated"  # the branch and the pull request that were there
    UNCHANGED = "unchanged"  # the agent changed nothing, or what is there already holds the change
    HELD = "held"  # a person has pushed to the branch, or the branch is not this workflow's
    CLOSED = "closed"  # a person has closed the pull request, and nothing new justifies another one
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A run's changes as git objects: the tree to deliver, and a pack of the objects that `base` lacks.

    `base` is the commit that the agent began with, `tree` the id of its tree with the agent's changes. `paths` are the
    changed paths, relative to the repository's top; bytes outside UTF-8 are surrogates. `modes` has the new mode of
    each path that still exists ("100644", "100755", "120000", "160000"). `lfs` are the ids (SHA-256) of new objects of
    Git LFS; they lie in the folder `lfs` beside the pack, at the paths that git-lfs gives them.
    """

    base: str
    tree: str
    paths: tuple[str, ...]
    modes: dict[str, str]
    pack: Path
    lfs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """What this runner knows of its last delivery. It travels with the forge, in a hidden block of the pull request.

    `tip` is the commit that the runner pushed, `base` the commit of the target branch below it, `tree` the digest of
    the delivered tree. A branch whose tip is another commit was changed by a person. `next` is a commit that the runner
    was about to push: it writes the record before and after the push, since it may be killed between the two. `closed`
    is the run that closed the pull request, since nothing was left to deliver; "" if none did. `bare` is the run that
    opened the pull request, until its labels and people are there.
    """

    workflow: str
    target: str
    run: str
    tip: str
    base: str
    tree: str
    next: str = ""
    closed: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class PullText:
    """A pull request's words, neutralised and bounded for the forge. `body` holds the record's hidden block."""

    title: str
    body: str
    draft: bool = True


class PullState(StrEnum):
    """The state of a pull request."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge has it. `tip` is its branch's commit, "" if the forge does not say."""

    number: int
    link: str
    state: PullState
    branch: str
    base: str
    tip: str
    title: str = ""
    body: str = ""
    draft: bool = False


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """What has become of a pull request. `link` is the forge's present one.

    `merged` is when it was merged, in seconds since the epoch; None if it is not merged, or the forge does not say.
    `has_branch`: its branch exists; None if it is merged, or the forge does not say.
    """

    number: int
    link: str
    state: PullState
    branch: str
    draft: bool = False
    merged: float | None = None
    has_branch: bool | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What a credential may do at a forge, as far as the forge says. `warnings` are sentences for the log.

    `default_branch` is the repository's. `signs`: commits that are made through the API are signed. `waits`: the CI
    runs of its pull requests wait for a person's approval.
    """

    default_branch: str
    base_tip: str
    signs: bool = False
    waits: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoration:
    """What is attached to a pull request after it is open. One that fails is a warning."""

    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()


class Forge(Protocol):
    """One repository at a forge, reached with one credential.

    Each method may be repeated after a failure: the request may have been done although its answer was lost. Raises
    DeliveryError if the forge refuses, CredentialError if it refuses the credential, and DeliveryError too if it cannot
    be reached within the deadline of its retries.
    """

    kind: ForgeKind

    async def check(self, base: str | None) -> Access:
        """Ask for the repository and the branch `base` (None: the default branch). Changes nothing."""

    async def find(self, branch: str) -> Sequence[PullRequest]:
        """Return the pull requests from this branch of this repository, of any state, the newest first."""

    async def open(self, branch: str, base: str, text: PullText) -> PullRequest:
        """Open a pull request. Returns the open one if there is one from this branch to this base already."""

    async def update(self, number: int, text: PullText) -> PullRequest:
        """Set title and body of a pull request. Leaves its draft state alone: a person may have changed it."""

    async def close(self, number: int) -> None:
        """Close a pull request. Idempotent."""

    async def outcome(self, number: int) -> PullOutcome | None:
        """Return what has become of a pull request. Changes nothing. Its state is the forge's own, also after a squash.

        Returns None if the forge shows the repository's pull requests, and not this one: it was deleted. Raises
        DeliveryError if it shows none, or if the pull request is from another repository.
        """

    async def decorate(self, number: int, decoration: Decoration) -> Sequence[str]:
        """Add labels, reviewers and assignees. Returns a sentence for each that failed; raises nothing for these."""

    async def governance(self, base: str | None) -> Sequence[Attested]:
        """Return what the forge says of the token and of the branch `base` (None: the default branch).

        Changes nothing. What the forge does not say is not known; no failure of a single question is raised.
        """

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""


class CommitWay(StrEnum):
    """How a commit came to its forge."""

    MUTATION = "mutation"  # GitHub made it in one request: GraphQL's createCommitOnBranch
    TREES = "trees"  # GitHub made it from blobs and trees, by REST
    PUSH = "push"  # git pushed it
    PUSH_OPTIONS = "push-options"  # git pushed it, and options of the push opened the merge request


AGAIN: Final = "deliver"
"""The way by hand that delivers again with `codex-runner deliver`."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """One way to finish a delivery by hand. `way` is its name for programs: "deliver", "patch", "pack" or "open".

    `needs` says where that works, and ends with a colon. `commands` are lines for one sh, in order. `link` is the page
    to open after them; "" if there is none.
    """

    way: str
    needs: str
    commands: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of a delivery, for reports. `reason` is one sentence.

    `way` is that of a new commit, None without one. `signed`: the forge shows the commit as verified; None if that is
    not known. `later`: `codex-runner deliver` did it, after the run had its verdict. `by_hand` are the ways to finish
    what has failed or is held.
    """

    state: DeliveryState
    target: ForgeKind
    repository: str = ""
    branch: str = ""
    base: str = ""
    commit: str = ""
    tree: str = ""
    number: int | None = None
    link: str = ""
    reason: str = ""
    signed: bool | None = None
    warnings: tuple[str, ...] = field(default=())
    way: CommitWay | None = None
    later: bool = False
    by_hand: tuple[ByHand, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to deliver."""
        return self.state in {DeliveryState.DELIVERED, DeliveryState.UPDATED, DeliveryState.UNCHANGED}

    @property
    def commit_told(self) -> str:
        """How the commit came to the forge, and whether it is verified there, as a sentence; "" without a commit."""
        if self.way is None:
            return ""
        shown = {True: "shows it as verified", False: "does not show it as verified"}
        forge = {ForgeKind.GITHUB: "GitHub", ForgeKind.GITLAB: "GitLab", ForgeKind.GIT: "the server"}[self.target]
        verified = shown.get(self.signed) if self.signed is not None else "may or may not show it as verified"
        return f"{_TOLD[self.way]}, and {forge} {verified}."


_TOLD = {
    CommitWay.MUTATION: "GitHub made the commit in one request (createCommitOnBranch)",
    CommitWay.TREES: "GitHub made the commit from blobs and trees",
    CommitWay.PUSH: "git pushed the commit",
    CommitWay.PUSH_OPTIONS: "git pushed the commit, with options that open the merge request",
}


@dataclass(frozen=True, slots=True)
class ForgeCredential:
    """A token for a forge, and the user name that git over HTTPS takes with it."""

    secret: Secret
    user: str = "x-access-token"
