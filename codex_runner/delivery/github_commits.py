"""Commits that GitHub makes, so that it signs them: by its mutation, else from a tree; and the branch's move.

The mutation only appends to a branch. So it works on a second branch, `<branch>--next`, and one compare-and-swap moves
the first: its pull request never points to the base, which would close it.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass
from codex_runner.delivery.answer import take
from codex_runner.delivery.github_api import Commit, GitHubRepository, read_commit
from codex_runner.domain.delivery import CommitWay
from codex_runner.domain.errors import BranchMovedError, CredentialError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from codex_runner.domain.delivery import ChangeSet

    Contents = Callable[[], AsyncIterator[tuple[str, str, bytes]]]
    """Yields path, mode and content of each changed path that still exists: of a submodule, its commit's id in hex."""

NOTHING: Final = "0" * 40
"""GraphQL's id of a branch that does not exist."""

_PLAIN: Final = "100644"
_SUBMODULE: Final = "160000"
_MUTATION_BYTES: Final = 16 << 20  # of contents; base64 adds a third
_BLOB_BYTES: Final = 40 << 20
_BLOBS: Final = 20  # of 80 a minute, which other runs with this token need too
_TREES_BYTES: Final = 16 << 20
_CHUNK_PATHS: Final = 100
_CHUNK_BYTES: Final = 4 << 20
_PAUSES: Final = (0.0, 1.0, 2.0, 4.0)  # seconds before each try

COMMIT: Final = """\
mutation ($input: CreateCommitOnBranchInput!) {
  createCommitOnBranch(input: $input) { commit { oid } }
}
"""
UPDATE: Final = """\
mutation ($input: UpdateRefsInput!) {
  updateRefs(input: $input) { clientMutationId }
}
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit at the forge, on no branch that matters yet. `signed`: the forge shows it as verified."""

    oid: str
    way: CommitWay
    signed: bool


class GitHubCommits:
    """Makes commits in a repository, and moves branches to them."""

    def __init__(self, repository: GitHubRepository) -> None:
        """Make no request."""
        self._repository = repository
        self._client = repository.client

    async def make(
        self,
        branch: str,
        change: ChangeSet,
        message: str,
        contents: Contents,
        upload: Callable[[], Awaitable[bool]],
    ) -> Committed | None:
        """Make the commit of `change.tree` on `change.base`, which the repository must have. Moves no branch to it.

        `upload` pushes the tree by git, without a branch: it is called if the API cannot make the tree, or not within a
        minute, and returns whether it could. Returns None if GitHub cannot make this commit: push it then by git.
        Idempotent: a commit that an earlier try has made is found, or left without a branch. `contents` may be called
        several times.
        """
        named = all(map(_is_utf8, change.paths))
        if named and all(mode == _PLAIN for mode in change.modes.values()):
            made = await self._by_mutation(branch, change, message, contents)
            if made is not None:
                return Committed(made.oid, CommitWay.MUTATION, made.verified)
        made = None
        if (not named or await _is_much(contents)) and await upload():
            made = await self._of_tree(change, change.tree, message)
        if made is None and named:
            made = await self._by_trees(change, message, contents)
        return None if made is None else Committed(made.oid, CommitWay.TREES, made.verified)

    async def move(self, branch: str, before: str | None, commit: str) -> None:
        """Move a branch from `before` (None: there is none) to `commit`: a compare-and-swap. Call `tidy` after it.

        Idempotent. Raises BranchMovedError if the branch is elsewhere.
        """
        doing = f"move the branch {branch} to {commit[:12]}"
        refused = await self._swap((branch, before or NOTHING, commit), doing)
        if refused is not None:
            tip = await self._repository.tip(branch)
            if tip != commit:
                await self._clear(_next(branch), commit)
            if tip not in {commit, before}:
                raise BranchMovedError(f"The branch {branch} is at {tip or 'no commit'}, not at {before or 'none'}.")
            if tip == before:
                raise refused

    async def tidy(self, branch: str, commit: str) -> Sequence[str]:
        """Delete the second branch of `branch`, which is at this commit. Idempotent.

        Returns sentences for the log: what goes wrong here undoes no delivery.
        """
        try:
            return await self._drop(_next(branch), commit)
        except (CredentialError, DeliveryError) as error:
            return [f"{error.message} So {_next(branch)} may be left. The next delivery uses it again."]

    # --- by GraphQL's mutation ----------------------------------------------------------------------------------------

    async def _by_mutation(self, branch: str, change: ChangeSet, message: str, contents: Contents) -> Commit | None:
        """Return the commit on the second branch. Returns None if it is too large, or its tree became another one."""
        additions: list[dict[str, str]] = []
        size = 0
        async for path, _, content in contents():
            size += len(content)
            if size > _MUTATION_BYTES:
                return None
            additions.append({"path": path, "contents": base64.b64encode(content).decode()})
        headline, _, body = message.partition("\n")
        made = {
            "branch": {"repositoryNameWithOwner": self._repository.repository, "branchName": _next(branch)},
            "expectedHeadOid": change.base,
            "message": {"headline": headline.strip(), "body": body.strip()},
            "fileChanges": {"additions": additions, "deletions": [{"path": path} for path in _deleted(change)]},
        }
        doing = f"commit on {_next(branch)}"
        for seconds in _PAUSES:
            await self._client.pause(seconds)
            commit = await self._placed(_next(branch), change, message)
            if commit is not None:
                return commit
            data, answer = await self._repository.graphql(COMMIT, {"input": made}, doing)
            # Whatever it says: its answer may be that to a second try, after the first was done and its answer lost.
            commit = await self._commit_on(_next(branch))
            if commit is not None and _is_of(commit, change):
                return commit
            if data is not None and commit is not None and commit.parents == (change.base,):
                await self._drop(_next(branch), commit.oid)
                return None
            if data is None and not _can_pass(answer.document):
                break
        if data is None:
            await self._clear(_next(branch), change.base)
            raise self._repository.refused(answer, doing)
        raise DeliveryError(
            f"Another run keeps on changing the branch {_next(branch)}.",
            remedy="Let one run deliver a workflow at a time: set the job's `concurrency.group`.",
        )

    async def _placed(self, branch: str, change: ChangeSet, message: str) -> Commit | None:
        """Put the second branch to the base. Returns its commit if an earlier try has made what is to be made."""
        tip = await self._repository.tip(branch)
        if tip == change.base:
            return None
        if tip is not None:
            commit = await self._repository.commit(tip)
            if _is_of(commit, change) and commit.message.split() == message.split():
                return commit
            if await self._repository.pulls(branch):
                raise DeliveryError(
                    f"The branch {branch} has a pull request of its own, but the runner needs it to make the commit.",
                    remedy="Set another `delivery.branch`: one workflow's is not another's with --next at its end.",
                )
        refused = await self._swap((branch, tip or NOTHING, change.base), f"put {branch} to the base")
        if refused is not None and await self._repository.tip(branch) == tip:
            raise refused
        return None

    async def _commit_on(self, branch: str) -> Commit | None:
        tip = await self._repository.tip(branch)
        return None if tip is None else await self._repository.commit(tip)

    # --- by REST ------------------------------------------------------------------------------------------------------

    async def _by_trees(self, change: ChangeSet, message: str, contents: Contents) -> Commit | None:
        """Return a commit without a branch. Returns None if its tree became another one, or a file is too large."""
        tree = (await self._repository.commit(change.base)).tree
        for paths in _chunks(_deleted(change)):  # first: a file may give way to a folder
            tree = await self._tree(
                tree, [{"path": path, "mode": _PLAIN, "type": "blob", "sha": None} for path in paths]
            )
        entries: list[dict[str, Any]] = []
        size = 0
        async for path, mode, content in contents():
            if len(content) > _BLOB_BYTES:
                return None
            if entries and (len(entries) == _CHUNK_PATHS or size + len(content) > _CHUNK_BYTES):
                tree, entries, size = await self._tree(tree, entries), [], 0
            entries.append(await self._entry(path, mode, content))
            size += len(content)
        if entries:
            tree = await self._tree(tree, entries)
        return await self._of_tree(change, tree, message)

    async def _of_tree(self, change: ChangeSet, tree: str, message: str) -> Commit | None:
        """Return a commit without a branch, of a tree that GitHub has. Returns None if GitHub has none, or another."""
        if tree != change.tree:
            return None
        doing = "make the commit"
        body = {"message": message, "tree": tree, "parents": [change.base]}  # no author: GitHub signs its own alone
        answer = await self._repository.ask("POST", "/git/commits", doing, body=body, accept={404, 422})
        if answer.status in {404, 422}:
            return None
        with self._client.understood(doing):
            commit = read_commit(answer.document)
        if not _is_of(commit, change):
            raise DeliveryError("GitHub made another commit than it was asked for.")
        return commit

    async def _entry(self, path: str, mode: str, content: bytes) -> dict[str, Any]:
        """Return a tree's entry. Text goes into the tree's own request; GitHub allows few blobs a minute."""
        if mode == _SUBMODULE:
            return {"path": path, "mode": mode, "type": "commit", "sha": content.decode().strip()}
        entry = {"path": path, "mode": mode, "type": "blob"}
        if _is_text(content):
            return {**entry, "content": content.decode()}
        doing = "make a blob"
        body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
        answer = await self._repository.ask("POST", "/git/blobs", doing, body=body)
        with self._client.understood(doing):
            return {**entry, "sha": take(answer.document, str, "sha")}

    async def _tree(self, below: str, entries: Sequence[dict[str, Any]]) -> str:
        doing = "make a tree"
        body = {"base_tree": below, "tree": entries}
        answer = await self._repository.ask("POST", "/git/trees", doing, body=body)
        with self._client.understood(doing):
            return take(answer.document, str, "sha")

    # --- branches -----------------------------------------------------------------------------------------------------

    async def _swap(self, swap: tuple[str, str, str], doing: str) -> DeliveryError | None:
        """Move a branch from one commit to another. Returns GitHub's refusal: a lost answer may be one, too."""
        branch, before, after = swap
        ref = {"name": f"refs/heads/{branch}", "beforeOid": before, "afterOid": after, "force": True}
        moved = {"repositoryId": await self._repository.node(), "refUpdates": [ref]}
        data, answer = await self._repository.graphql(UPDATE, {"input": moved}, doing)
        if data is None:
            return self._repository.refused(answer, doing)
        with self._client.understood(doing):
            take(data, dict, "updateRefs")
        return None

    async def _clear(self, branch: str, commit: str) -> None:
        """Delete the second branch after a refusal, which counts: what goes wrong here is not told."""
        with contextlib.suppress(DeliveryError):
            await self._drop(branch, commit)

    async def _drop(self, branch: str, commit: str) -> Sequence[str]:
        """Delete the second branch if it is at this commit. Returns a sentence if GitHub refuses."""
        if await self._repository.tip(branch) != commit:
            return []
        refused = await self._swap((branch, commit, NOTHING), f"delete the branch {branch}")
        if refused is None or await self._repository.tip(branch) is None:
            return []
        return [f"{refused.message} The next delivery uses it again."]


def _next(branch: str) -> str:
    return f"{branch}--next"


def _deleted(change: ChangeSet) -> list[str]:
    return [path for path in change.paths if path not in change.modes]


def _chunks(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(paths), _CHUNK_PATHS):
        yield paths[begin : begin + _CHUNK_PATHS]


def _is_of(commit: Commit, change: ChangeSet) -> bool:
    return (commit.tree, commit.parents) == (change.tree, (change.base,))


def _can_pass(document: Any) -> bool:
    """Whether the mutation did not find the branch at the base, to which the runner has just moved it.

    GitHub may know of that only a moment later, or another run uses the same branch.
    """
    errors = document.get("errors") if isinstance(document, dict) else None
    return isinstance(errors, list) and any(
        isinstance(each, dict) and each.get("type") in {"STALE_DATA", "NOT_FOUND"} for each in errors
    )


async def _is_much(contents: Contents) -> bool:
    """Whether the API would need minutes for this, or refuse it: too many blobs, or too many bytes."""
    blobs = size = 0
    async for _, mode, content in contents():
        blobs += mode != _SUBMODULE and not _is_text(content)
        size += len(content)
        if blobs > _BLOBS or size > _TREES_BYTES:
            return True
    return False


def _is_text(content: bytes) -> bool:
    """Whether a file can be a part of its tree's own request."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
