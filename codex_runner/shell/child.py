"""Child processes: started so that a cancellation cannot fall between a child and its owner, and ended as a group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

_LEAVING = 5.0  # seconds
_REAPED = 0.0005  # seconds in which most systems reap what was killed
_DYING = 5.0  # seconds: what the kernel may take, at the most, to end what was killed


async def start_child(*command: str, **options: Any) -> Process:
    """Start a child as `asyncio.create_subprocess_exec` does. Raises what that raises.

    A cancellation that comes meanwhile reaches the caller at its next await, when it can end the child. asyncio itself
    kills only the child then, and not what that has started; and it waits for ever if a pipe is not connected yet.
    """
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, **options))  # noqa: TID251 - the owner
    task, cancelled = asyncio.current_task(), 0
    while not starting.done():
        try:
            await asyncio.wait({starting})
        except asyncio.CancelledError:
            cancelled += 1
            if task is not None:
                task.uncancel()
    for _ in range(cancelled):  # as often as it was asked: a timeout counts these
        if task is not None:
            task.cancel()
    if cancelled and starting.exception() is not None:
        await asyncio.sleep(0)  # raises CancelledError: there is no child
    return starting.result()


async def end_group(leader: Process) -> None:
    """Kill a process group, wait until none of it is alive, and close its pipes. `leader` is a child of this process.

    SIGKILL only tells a process to go: it is still there for a moment, for all to see.
    """

    async def reaped() -> None:
        if leader.stdin is not None:
            leader.stdin.close()
        # By reading: asyncio waits until the pipes are at their end, and one that is full, and read no more, never is.
        with contextlib.suppress(TimeoutError):  # a process that has left the group may hold a pipe open
            async with asyncio.timeout(_DYING):
                await leader.communicate()

    await _kill_group(leader.pid, reaped)
    await asyncio.sleep(0)  # a pipe at its end lets go of its descriptor in the loop's next turn


async def leave(leader: Process) -> None:
    """Leave a process that was asked for something: let it end that within _LEAVING seconds, then end its group."""
    try:
        if leader.stdin is not None:
            leader.stdin.close()  # once what is left of the request is written
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING):
                await leader.communicate()
    finally:
        await end_group(leader)


async def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Do the same for a child with a pipe as its stdin, which no event loop knows. Idempotent."""
    if leader.stdin is None or leader.stdin.closed:
        return

    async def reaped() -> None:
        leader.wait()

    await _kill_group(leader.pid, reaped)
    leader.stdin.close()


async def _kill_group(group: int, reaped: Callable[[], Awaitable[object]]) -> None:
    """Kill a process group, and wait until none of it is alive. `reaped` waits for its leader."""
    began = time.monotonic()
    gone = contextlib.suppress(ProcessLookupError, PermissionError)  # macOS says the latter of zombies
    with gone:
        os.killpg(group, signal.SIGKILL)
    await reaped()
    with gone:
        while (waited := time.monotonic() - began) < _DYING:
            os.killpg(group, 0)
            # The group stays only if the system does not reap orphans. To look at each process takes milliseconds.
            if waited > _REAPED and not _has_live(group):
                break
            await asyncio.sleep(0.0005)


def _has_live(group: int) -> bool:
    """Whether any process of the group is more than a zombie, which waits for a parent that may never look."""
    if not os.path.isdir("/proc"):  # noqa: PTH112 - pathlib takes twice as long for all this
        return False
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - the same
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:  # noqa: PTH123 - the same
            fields = stat.read().rpartition(b")")[2].split()
            if int(fields[2]) == group and fields[0] not in b"ZX":
                return True
    return False
