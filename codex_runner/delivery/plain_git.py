"""A plain git remote as a delivery's target: what the credential may do there, and what has become of a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.delivery.push import RECORDS
from codex_runner.delivery.repository import FETCH, RUNNER
from codex_runner.domain.delivery import Access
from codex_runner.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codex_runner.delivery.repository import DeliveryRepository

_HISTORY = "refs/runner/history"


async def check_access(repository: DeliveryRepository, base: str | None) -> Access:
    """Ask for the branch `base` (None: the default branch), and whether the credential may push. Changes nothing.

    Raises CredentialError if the credential is refused, DeliveryError if the branch is missing or the remote takes no
    push.
    """
    access = await find_base(repository, base)
    await require_push(repository)
    return access


async def require_push(repository: DeliveryRepository) -> None:
    """Raise DeliveryError or CredentialError if the remote takes no push with this credential. Pushes nothing.

    A hook or a branch's protection may still decline the push later.
    """
    tree = (await repository.ask("mktree")).decode("ascii").strip()
    probe = await repository.commit(tree, "", "A probe\n", author=RUNNER, committer=RUNNER, when=0.0)

    async def once() -> None:
        done = await repository.attempt(
            "push", "--dry-run", "--no-verify", "--quiet", "origin", f"{probe}:{RECORDS}probe", talks=True
        )
        if done.code:
            raise repository.words.of_push(done.complaint)

    await repository.persist(once)


async def find_base(repository: DeliveryRepository, base: str | None) -> Access:
    """Ask for the branch `base` (None: the default branch). Raises as `check_access` does, but for the push."""
    default, tips = await repository.heads(base)
    if not (base or default):
        raise DeliveryError(
            f"{repository.remote.shown} names no default branch.", remedy="Name the branch in the delivery's `base`."
        )
    if not (tip := tips.get(f"refs/heads/{base}" if base else "HEAD", "")):
        raise repository.no_branch(base or default)
    return Access(default, tip)


async def is_merged(repository: DeliveryRepository, base: str, commit: str) -> bool:
    """Whether the commit is in the history of the branch `base`. See `held_by`."""
    return bool(await held_by(repository, base, [commit]))


async def still_has(repository: DeliveryRepository, branch: str, commit: str) -> bool:
    """Whether the remote has the branch, and the commit is in its history. As `held_by`."""
    ref = f"refs/heads/{branch}"
    return ref in await repository.refs(ref) and bool(await held_by(repository, branch, [commit]))


async def held_by(repository: DeliveryRepository, branch: str, commits: Iterable[str]) -> set[str]:
    """Return those of the commits that are in the history of a branch. Only in a repository that has no other use.

    It gets the history without files if the remote can do so, and git would ask for the missing ones later.
    """
    await repository.talk(*FETCH, "--filter=tree:0", "origin", f"refs/heads/{branch}:{_HISTORY}")
    asked = [(each, await repository.attempt("merge-base", "--is-ancestor", each, _HISTORY)) for each in commits]
    return {commit for commit, done in asked if not done.code}
