"""Pushes to the forge: a ref moves only from the commit that this runner has recorded (git's `--force-with-lease`).

All refs move together or none does. A push may be repeated: if its answer was lost, the next try finds what it did. git
takes a ref that is where it should be for up to date, whatever the lease says, so no push lists the refs before.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery.refusals import RecordRefusedError, has_moved
from codex_runner.domain.errors import BranchMovedError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.domain.delivery import ChangeSet

RECORDS = "refs/codex-runner/"

_STATUS = re.compile(r"(.)\t[^\t]*:([^\t]+)\t(.*)")
_REASON = re.compile(r"\[[^\]]*\] \((.*)\)")
_ATOMIC = re.compile(r"atomic (push|transaction) fail")
_LFS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Update:
    """A ref to move. `expected` is its recorded commit, "" if it must not exist; `new` is "" to delete it."""

    ref: str
    expected: str
    new: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push. `said` are lines that the forge printed. `already`: there was nothing left to push.

    `warning` is why GitLab did not do what the options ask for, "" if it does not say.
    """

    said: tuple[str, ...] = ()
    warning: str = ""
    already: bool = False


async def push(repository: DeliveryRepository, updates: Sequence[Update], *, options: Sequence[str] = ()) -> Pushed:
    """Move these refs, all or none. `options` are GitLab's push options. Idempotent.

    Raises BranchMovedError if a ref is neither where `expected` says nor where `new` says, RecordRefusedError if the
    forge refuses only the ref of the record, another DeliveryError if it refuses more, CredentialError if it refuses
    the credential.
    """
    for option in options:
        if any(character in option for character in "\n\r\0"):
            raise DeliveryError(f"The push option {option[:60]!r} has a line break or a control character.")

    async def once() -> Pushed:
        return await _push(repository, updates, options)

    return await repository.persist(once)


async def _missing(repository: DeliveryRepository, updates: Sequence[Update]) -> list[Update]:
    """Return the updates still to be made. Raises BranchMovedError, or DeliveryError for a branch in the way.

    It says why a push was rejected.
    """
    there = await repository.refs(*(pattern for update in updates for pattern in around(update.ref)))
    missing = [update for update in updates if there.get(update.ref, "") != update.new]
    for update in missing:
        found = there.get(update.ref, "")
        if found != update.expected:
            raise _lost(update, found)
        if update.new:
            check_place(update.ref, there)
    return missing


def _above(ref: str) -> list[str]:
    names = ref.split("/")
    return ["/".join(names[:count]) for count in range(3, len(names))]


def around(ref: str) -> list[str]:
    """Return the patterns of a ref, and of all in whose way it would be: see `check_place`."""
    return [ref, f"{ref}/*", *_above(ref)]


def check_place(ref: str, there: dict[str, str]) -> None:
    """Raise DeliveryError if a new ref cannot exist beside those that are there, such as `a` beside `a/b`."""
    blocking = [other for other in there if other.startswith(f"{ref}/") or other in _above(ref)]
    for other in blocking:
        short, name = other.removeprefix("refs/heads/"), ref.removeprefix("refs/heads/")
        raise DeliveryError(
            f"The branch {name} cannot exist beside {short}: git keeps branches as files and folders.",
            remedy="Name another `branch`, or delete the one in the way.",
        )


async def _push(repository: DeliveryRepository, updates: Sequence[Update], options: Sequence[str]) -> Pushed:
    done = await repository.attempt(
        "push",
        "--porcelain",
        "--no-verify",
        "--no-recurse-submodules",
        *(("--atomic",) if len(updates) > 1 else ()),
        *(f"--force-with-lease={update.ref}:{update.expected}" for update in updates),
        *(f"--push-option={option}" for option in options),
        "origin",
        *(f"{update.new}:{update.ref}" for update in updates),
        talks=True,
    )
    output = done.output.decode("utf-8", "replace")
    if not done.code:
        already = all(flag == "=" for flag, _, _ in _statuses(output))
        words = repository.words
        warning = words.of_options(done.complaint) if options else ""
        return Pushed(tuple(words.lines(done.complaint)), warning, already=already)
    rejected = dict(_rejections(output))
    if not rejected:
        raise repository.words.of_push(done.complaint)
    reason = next((each for each in rejected.values() if not _ATOMIC.search(each)), next(iter(rejected.values())))
    if has_moved(reason, done.complaint):
        missing = await _missing(repository, updates)  # raises if another push was first
        if not missing:
            return Pushed(already=True)
    own = {ref: each for ref, each in rejected.items() if not _ATOMIC.search(each)}
    if own and all(ref.startswith(RECORDS) for ref in own):
        said = repository.words.shown(done.complaint)
        raise RecordRefusedError(f"The forge refuses the record {', '.join(own)}: {said or reason}.")
    ref = min(own or rejected, key=lambda ref: ref.startswith(RECORDS))  # a hook before all refs declines both
    raise repository.words.of_rejection(ref, reason, done.complaint)


def _rejections(output: str) -> list[tuple[str, str]]:
    """Parse git's report: the rejected refs, and the reason for each."""
    found = []
    for flag, ref, said in _statuses(output):
        if flag == "!":
            reason = _REASON.fullmatch(said)
            found.append((ref, reason[1] if reason else said))
    return found


def _statuses(output: str) -> list[tuple[str, str, str]]:
    """Parse git's report: the flag of each ref, the ref, and what is said of it."""
    return [(line[1], line[2], line[3]) for line in map(_STATUS.fullmatch, output.splitlines()) if line is not None]


def _lost(update: Update, found: str) -> BranchMovedError:
    was = f"at {update.expected[:12]}" if update.expected else "not there"
    is_ = f"at {found[:12]}" if found else "gone"
    return BranchMovedError(f"{update.ref} was {was} when it was recorded, and is {is_} now.")


async def push_lfs(repository: DeliveryRepository, change: ChangeSet) -> None:
    """Upload the change's objects of Git LFS. Call it before `push`. Idempotent; does nothing if there are none.

    Raises DeliveryError if git-lfs is missing or fails.
    """
    if not change.lfs:
        return
    if (await repository.attempt("lfs", "version")).code:
        raise DeliveryError(
            "The change has files of Git LFS, and git-lfs is not installed on the runner's machine.",
            remedy="Install git-lfs there, then deliver again with `codex-runner deliver`.",
        )
    source = change.pack.parent / "lfs"
    try:
        await asyncio.to_thread(shutil.copytree, source, repository.folder / "lfs" / "objects", dirs_exist_ok=True)
    except (OSError, shutil.Error):
        raise DeliveryError("The objects of Git LFS that the run has kept cannot be read.") from None
    for begin in range(0, len(change.lfs), _LFS_AT_ONCE):
        await repository.talk("lfs", "push", "--object-id", "origin", *change.lfs[begin : begin + _LFS_AT_ONCE])
