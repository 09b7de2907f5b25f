"""The clock of a run: what time it is, told by one that never jumps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds since the epoch that only ever grow. The system's clock is asked once, the monotonic one from then on.

    A machine that is set right by a day while a run goes on changes neither the order of its events nor a duration.
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
        """Go on from `moment` if it lies ahead: another machine's clock has told it of an event of this run."""
        ahead = moment - self.now()
        if ahead > 0:
            self._offset += ahead
