"""Ends the child processes that a transport or a carrier has started, and reaps them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL."""


async def end(process: subprocess.Popen[bytes]) -> None:
    """End a child and wait for it: SIGTERM, then SIGKILL. Idempotent."""
    if process.poll() is None:
        process.terminate()
        try:
            ended = await gone(process, PATIENCE)
        except asyncio.CancelledError:
            process.kill()
            process.wait()
            raise
        if not ended:
            process.kill()
            process.wait()
    # asyncio closes the descriptors of closed transports in the loop's next turn: wait for it.
    await asyncio.sleep(0)


async def gone(process: subprocess.Popen[bytes], patience: float) -> bool:
    """Wait for a child to end, `patience` seconds at most. Returns whether it has."""
    deadline = time.monotonic() + patience
    pause = 0.001
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(pause)
        pause = min(0.02, pause * 1.3)
    return True
