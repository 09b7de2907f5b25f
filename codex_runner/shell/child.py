"""Child processes of the event loop, started so that a cancellation cannot fall between a child and its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio.subprocess import Process


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
