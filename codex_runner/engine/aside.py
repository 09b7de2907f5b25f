"""Blocking work in a thread, beside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.machine import machine_fault

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Run `work` in a thread and return its result. If the machine refuses a thread, run it here, blocking the loop."""
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as error:
        if machine_fault(error) is None:
            raise
        return work()
