"""A group's lock: flock on a file that is never removed. The kernel releases it when its holder dies."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import re
from typing import TYPE_CHECKING, Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.concurrency import LockPolicy
from codex_runner.domain.errors import ConfigurationError, LockedError
from codex_runner.locks import holder as notes
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from codex_runner.domain.concurrency import Concurrency
    from codex_runner.locks.holder import LockHolder

_POLL = 0.2
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Taken:
    """Another run holds the lock, and the policy is to skip. `message` is a sentence."""

    holder: LockHolder | None
    message: str


class Held:
    """An acquired lock, held until `release` or until this process ends. Children do not inherit it."""

    def __init__(self, descriptor: int, dead: LockHolder | None = None) -> None:
        """`descriptor` is locked already. `dead` is the previous holder if it died without releasing the lock."""
        self._descriptor: int | None = descriptor
        self.dead = dead

    def release(self) -> None:
        """Release the lock. Idempotent."""
        if self._descriptor is not None:
            notes.clear(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Hold it for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()


async def acquire(
    folder: Path,
    wanted: Concurrency,
    me: LockHolder,
    birth: Callable[[int], str | None],
    on_wait: Callable[[str], None] = lambda _: None,
) -> Held | Taken:
    """Acquire the group's lock by its policy.

    `folder` holds one file for each group and is made if it is missing. If another run holds the lock, `skip` returns
    Taken and `fail` raises LockedError. The other policies wait: they raise LockedError after `wanted.timeout` seconds,
    or if a newer run has overtaken this one. `birth` is that of LockHolder.terminate; `on_wait` gets a sentence if
    there is a wait.
    """
    descriptor = _open(folder, wanted.group)
    try:
        if not _try(descriptor):
            taken = await _wait_by_policy(descriptor, wanted, me, birth, on_wait)
            if taken is not None:
                os.close(descriptor)
                return taken
        # A holder that releases the lock clears its note, so a note that is still there belongs to a killed run.
        dead = notes.read(descriptor)
        notes.write(descriptor, me)
    except BaseException:
        os.close(descriptor)
        raise
    return Held(descriptor, dead)


async def _wait_by_policy(
    descriptor: int,
    wanted: Concurrency,
    me: LockHolder,
    birth: Callable[[int], str | None],
    on_wait: Callable[[str], None],
) -> Taken | None:
    """Wait for the lock by the policy. Returns None once acquired, otherwise the reason to skip."""
    other = notes.read(descriptor)
    message = f"The group {wanted.group!r} is held by {other or 'another run'}."
    if wanted.policy is LockPolicy.SKIP:
        return Taken(other, message)
    if wanted.policy is LockPolicy.FAIL:
        raise LockedError(message)
    loop = asyncio.get_running_loop()
    action = "Asking it to end and waiting" if wanted.policy is LockPolicy.CANCEL_RUNNING else "Waiting for it"
    on_wait(f"{message} {action}, for {format_duration(wanted.timeout)} at the most.")
    end = loop.time() + wanted.timeout
    asked: set[LockHolder] = set()
    while not _try(descriptor):
        other = notes.read(descriptor)
        if wanted.policy is LockPolicy.CANCEL_RUNNING and other is not None and other not in asked:
            if (other.since, other.run_id) > (me.since, me.run_id):
                raise LockedError(
                    f"The group {wanted.group!r} is held by {other}, which is newer than this run.",
                    remedy="Do nothing: with `cancel-running` the newest run goes on.",
                )
            if other.pid == me.pid:
                raise LockedError(
                    f"{message} This process runs both, so a signal would end both.",
                    remedy=f"End that run first: `codex-runner cancel {other.run_id}`.",
                )
            other.terminate(birth)
            asked.add(other)
        if loop.time() >= end:
            raise LockedError(
                f"The group {wanted.group!r} is still held by {other or 'another run'} after "
                f"{format_duration(wanted.timeout)}."
            )
        await asyncio.sleep(_POLL)
    return None


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise ConfigurationError(
            f"The file system of the locks' folder does not support locks: {error.strerror}.",
            remedy="Set XDG_STATE_HOME to a folder on a local disk.",
        ) from None
    return True


def _open(folder: Path, group: str) -> int:
    if not group:
        raise ConfigurationError("concurrency.group is empty.")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(
            folder / f"{_file_name(group)}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise ConfigurationError(
            f"The lock of the group {group!r} cannot be used: {error.filename}: {error.strerror}.",
            remedy="Make the user's state folder, which holds the locks, writable.",
        ) from None


def _file_name(group: str) -> str:
    """Return the name of a group's file: the group itself if it is a plain name, otherwise its hash."""
    return group if _PLAIN.fullmatch(group) else "=" + hashlib.sha256(group.encode()).hexdigest()[:32]
