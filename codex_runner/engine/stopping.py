"""Cancellation of a run by a signal or a cancel. The first request counts; later ones change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.cancellation import Stopped
from codex_runner.domain.run import StopReason
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
    """The stop request of one run, for all its tasks. It may be created before there is an event loop."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.stop: Stop | None = None
        self._event = asyncio.Event()

    def request(self, reason: StopReason) -> None:
        """Ask the run to end, from the thread of its event loop. Idempotent: the first reason counts."""
        if self.stop is None:
            self.stop = Stop(reason, _SENTENCES[reason])
            self._event.set()

    def raise_if_asked(self) -> None:
        """Raises Stopped if the run is to end. Call it before making something."""
        if self.stop is not None:
            raise Stopped

    async def wait(self) -> None:
        """Return once a stop has been requested."""
        await self._event.wait()

    async def unless_stopped(self, work: Coroutine[None, None, T]) -> T:
        """Await `work` and return its result. On a stop request, cancels it and raises Stopped."""
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
