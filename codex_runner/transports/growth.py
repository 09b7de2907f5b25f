"""File watching: wait for files to grow, by inotify, otherwise by polling with exponential backoff.

A wake-up is only a hint, and the reader then reads the files. So a missed one costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from typing import BinaryIO

# Seconds. The poll's pauses double from SHORTEST to LONGEST.
SHORTEST, LONGEST = 0.01, 0.25

# Seconds. Rate limit of wake-ups, for a program that prints a line at a time; a person sees no difference.
_APART = 0.005

# How often the files grew without an event before inotify is given up: some file systems send none.
_MISSED = 3

# From inotify.h.
_MODIFY: Final = 0x2
_CHANGED_NAMES: Final = 0x40 | 0x80 | 0x100 | 0x400 | 0x800  # moved from and to, created, the folder deleted or moved
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_READ = 1 << 16


class Kernel(Protocol):
    """The kernel's change events. `seen` returns True if one has come since the last call of `seen`."""

    async def wait(self, timeout: float) -> None:
        """Return once an event has come, after `timeout` seconds at the latest."""

    def seen(self) -> bool:
        """See the class."""

    def close(self) -> None:
        """Release the descriptor. Idempotent."""


class Growth:
    """Waits for a change of open files or of the names in their folder. Call `grew` after each real change."""

    def __init__(
        self, kernel: Kernel | None, sleep: Callable[[float], Coroutine[None, None, None]] = asyncio.sleep
    ) -> None:
        """Without a `kernel`, it polls, and calls `sleep` with seconds in between."""
        self._kernel, self._sleep, self._pause = kernel, sleep, SHORTEST
        self._waited, self._missed = False, 0

    async def wait(self, timeout: float) -> None:
        """Return once something may have changed, after `timeout` seconds at the latest."""
        if self._kernel is not None:
            await self._kernel.wait(timeout)
            self._waited = True
            return
        await self._sleep(max(0.0, min(self._pause, timeout)))
        self._pause = min(self._pause * 2, LONGEST)

    def grew(self) -> None:
        """Report that the files had changed. The poll starts again at its shortest pause."""
        self._pause = SHORTEST
        if self._kernel is None or not self._waited:
            return
        self._waited = False
        self._missed = 0 if self._kernel.seen() else self._missed + 1
        if self._missed >= _MISSED:
            self.close()

    def close(self) -> None:
        """Release the kernel's watch. Idempotent."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


class Inotify:
    """Linux's inotify on open files: a rename or a new file of the same name does not matter."""

    def __init__(self, descriptor: int) -> None:
        """Use `open_inotify` to make one."""
        self._descriptor = descriptor
        self._told, self._seen = asyncio.Event(), False
        self._last = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._hear)

    async def wait(self, timeout: float) -> None:
        """See Kernel.wait."""
        early = self._last + _APART - self._loop.time()
        if early > 0:
            await asyncio.sleep(early)
        if not self._told.is_set() and timeout > 0:
            waking = self._loop.call_later(timeout, self._told.set)
            try:
                await self._told.wait()
            finally:
                waking.cancel()
        self._told.clear()
        self._last = self._loop.time()

    def seen(self) -> bool:
        """See Kernel.seen."""
        self._hear()  # events since the loop's last turn
        seen, self._seen = self._seen, False
        return seen

    def close(self) -> None:
        """See Kernel.close."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _hear(self) -> None:
        try:
            os.read(self._descriptor, _READ)
        except BlockingIOError:
            return
        self._seen = True
        self._told.set()


class _Libc(Protocol):
    inotify_init1: Callable[[int], int]
    inotify_add_watch: Callable[[int, bytes, int], int]


def open_inotify(folder: Path, files: Sequence[BinaryIO]) -> Inotify | None:
    """Watch open files, and the names in a folder. Returns None without inotify, or if the user's limit is reached.

    The limit is 128 instances on most systems (fs.inotify.max_user_instances).
    """
    try:
        libc: _Libc = ctypes.CDLL(None)  # type: ignore[assignment] # its functions are made when asked for
        descriptor = libc.inotify_init1(_NONBLOCK | _CLOEXEC)
    except (AttributeError, OSError):  # no Linux
        return None
    if descriptor < 0:
        return None
    watches = [(f"/proc/self/fd/{file.fileno()}".encode(), _MODIFY) for file in files]
    watches.append((os.fsencode(folder), _CHANGED_NAMES))
    if any(libc.inotify_add_watch(descriptor, path, mask) < 0 for path, mask in watches):
        os.close(descriptor)
        return None
    return Inotify(descriptor)


def watch(folder: Path, files: Sequence[BinaryIO]) -> Growth:
    """Watch open files and the names in their folder: by inotify if possible, otherwise by polling."""
    return Growth(open_inotify(folder, files))
