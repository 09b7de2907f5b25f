"""The wish from outside that a run end: a signal, or a cancel. The first one counts; later ones change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.run import StopReason
from codex_runner.domain.wish import Stopped
from codex_runner.engine.watch import Stop

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_SENTENCES = {
    StopReason.INTERRUPTED: "the runner was interrupted (SIGINT)",
    StopReason.TERMINATED: "the runner was terminated (SIGTERM)",
    StopReason.HUNG_UP: "the runner was hung up (SIGHUP)",
    StopReason.CANCELLED: "the run was cancelled",
}


class Stopping:
    """Carries the wish to all that is going on for one run. It may be made before there is an event loop."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self.stop: Stop | None = None
        self._event = asyncio.Event()

    def request(self, reason: StopReason) -> None:
        """Ask the run to end, from the thread of its event loop. Idempotent: the first reason counts."""
        if self.stop is None:
            self.stop = Stop(reason, _SENTENCES[reason])
            self._event.set()

    def raise_if_asked(self) -> None:
        """Raise Stopped if the run is to end: for what is about to be made."""
        if self.stop is not None:
            raise Stopped

    async def wait(self) -> None:
        """Return once somebody has asked."""
        await self._event.wait()

    async def unless_stopped(self, work: Coroutine[None, None, T]) -> T:
        """Do `work`, or cancel it and raise Stopped as soon as somebody asks."""
        working = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
                raise Stopped
            return working.result()
        finally:
            asked.cancel()
            if not working.done():  # we are cancelled ourselves
                working.cancel()
                await asyncio.wait({working})
