"""Reconnects with exponential backoff: does the same work again, until `reconnect_timeout` has passed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.errors import HostError, UnreachableError
from codex_runner.text.durations import format_duration
from codex_runner.transports.carriers.carrier import DroppedError, UnansweredError
from codex_runner.transports.remote.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

    from codex_runner.transports.remote.sessions import Sessions

T = TypeVar("T")

_LONGEST_PAUSE = 15.0

# Seconds. A host that has never answered is a mistake more often than an outage.
_FIRST_PATIENCE = 30.0

# A shell that ends without an answer so often in a row does not run commands.
_UNANSWERED = 3


class Reconnecting:
    """Does work over a connection that may break. An outage may last over several pieces of work."""

    def __init__(self, sessions: Sessions, patience: float, tell: Callable[[str, str], None]) -> None:
        """`patience` bounds how long it tries to reconnect, in seconds. `tell` gets a code and a sentence."""
        self._sessions, self._whole_patience = sessions, patience
        self.outage = Outage(sessions.carrier.host, tell)
        self._since: float | None = None
        self._unanswered = 0

    @property
    def connected(self) -> bool:
        """False while it tries to reconnect, and after it has given up."""
        return self._since is None

    async def persist(
        self, what: str, work: Callable[[], Awaitable[T]], dropped: DroppedError | None = None, *, whole: bool = True
    ) -> T:
        """Do `work`, and again each time the connection drops. Raises HostError if it gives up.

        With `dropped`, the connection has just been lost: that counts as the first try. `whole` says that `work` needs
        the connection no longer once it returns.
        """
        if dropped is None:
            try:
                result = await self._counted(work)
            except DroppedError as error:
                dropped = error
            else:
                self._answered(whole=whole)
                return result
        else:
            self._sessions.lost += 1
        if self._since is None:
            self._since = time.monotonic()
        self.outage.begin(
            f"{dropped}, while {what}; the runner tries to reconnect for {format_duration(self._patience)} "
            "(reconnect_timeout)",
            dropped.heard,
        )
        result = await self._again(work, dropped)
        self._answered(whole=whole)
        return result

    def _answered(self, *, whole: bool) -> None:
        self._since = None
        self.outage.answered()
        if whole:
            self.outage.settle()

    async def _again(self, work: Callable[[], Awaitable[T]], dropped: DroppedError) -> T:
        from tenacity import (
            AsyncRetrying,
            retry_if_exception_type,
            wait_random_exponential,
        )

        self._unanswered = 0
        tries = 0
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(DroppedError),
            # Full jitter, so that fifty runs which lost the same host do not reconnect at once. The pauses keep growing
            # if connections are made and bring nothing.
            wait=wait_random_exponential(multiplier=0.5 * 2 ** min(dropped.vain, 6), min=0.1, max=_LONGEST_PAUSE),
            stop=self._is_hopeless,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    tries = attempt.retry_state.attempt_number
                    if tries == 1:
                        raise dropped
                    result = await self._counted(work)
        except DroppedError as last:
            raise self._final_error(last, tries) from None
        return result

    async def _counted(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except DroppedError:
            self._sessions.lost += 1
            raise

    @property
    def _lost_for(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def _patience(self) -> float:
        return self._whole_patience if self._sessions.answered else min(self._whole_patience, _FIRST_PATIENCE)

    def _is_hopeless(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self._unanswered = self._unanswered + 1 if isinstance(error, UnansweredError) else 0
        return self._unanswered >= _UNANSWERED or self._lost_for > self._patience

    def _final_error(self, last: DroppedError, tries: int) -> HostError:
        alias = self._sessions.carrier.host
        if self._unanswered >= _UNANSWERED:
            return HostError(
                f"the host {alias} does not run the request: {last}.",
                remedy=self._sessions.carrier.remedies.unanswered,
            )
        times = "1 try" if tries == 1 else f"{tries} tries"
        return UnreachableError(
            f"the host {alias} could not be reached for {format_duration(self._lost_for)} ({times}): {last}."
        )
