"""Reports an outage to people: one line when the connection drops, one when it is back and holds."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final, TypeVar, cast

from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from codex_runner.transports.remote.follow import FollowSession

T = TypeVar("T")

# Seconds. A connection counts as back only if the host sends something this long after it answered.
STEADY = 3.0

_LOOK = 0.5  # seconds
_OVER: Final = object()


class Outage:
    """Reports when a host is lost and when it is back. A connection that flaps is one outage."""

    def __init__(self, alias: str, tell: Callable[[str, str], None]) -> None:
        """`tell` gets a code and a sentence. Nothing is lost yet."""
        self._alias, self._tell = alias, tell
        self._began: float | None = None
        self._back: float | None = None

    def begin(self, sentence: str, heard: float | None) -> None:
        """Report a lost connection. `heard` is the monotonic time of the host's last byte; None is now."""
        if heard is not None:
            self.settle(heard)
        self._back = None
        if self._began is None:
            self._began = time.monotonic() if heard is None else heard
            self._tell("disconnected", f"{self._alias}: {sentence}")

    def answered(self) -> None:
        """Note that the host has answered. `settle` reports it once the connection has held."""
        if self._began is not None and self._back is None:
            self._back = time.monotonic()

    def settle(self, heard: float = math.inf) -> None:
        """Report that the host is back if it sent a byte STEADY seconds after its answer. The last came at `heard`."""
        if self._began is None or self._back is None or heard - self._back < STEADY:
            return
        seconds, self._began, self._back = self._back - self._began, None, None
        self._tell("reconnected", f"{self._alias}: connected again after {format_duration(seconds)}")

    async def settling(self, things: AsyncGenerator[T, None], session: FollowSession) -> AsyncGenerator[T, None]:
        """Yield what arrives over the connection. Also report that the host is back, even while nothing arrives."""
        while self._back is not None:
            coming = asyncio.ensure_future(anext(things, _OVER))
            try:
                while not coming.done() and self._back is not None:
                    await asyncio.wait({coming}, timeout=_LOOK)
                    self.settle(session.heard)
                thing = await coming
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            if thing is _OVER:
                return
            yield cast("T", thing)
        async for thing in things:
            yield thing
