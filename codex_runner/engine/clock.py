"""The monotonic clock of a run, in seconds since the epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds since the epoch that never go back: the system's clock is read once, then the monotonic one.

    If the machine's clock is corrected by a day during a run, neither the events' order nor a duration changes.
    """

    def __init__(
        self,
        not_before: float = 0.0,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at the system's time, or at `not_before` if that is later: the last event of the run so far."""
        self._monotonic = monotonic
        self._offset = max(wall(), not_before) - monotonic()
        self._last = 0.0

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        self._last = max(self._last, self._monotonic() + self._offset)
        return self._last

    def reach(self, moment: float) -> None:
        """Move on to `moment` if it lies ahead: the time of an event of this run by another machine's clock."""
        ahead = moment - self.now()
        if ahead > 0:
            self._offset += ahead
