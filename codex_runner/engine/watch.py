"""Watchdog timers: when to end an agent. Pure: events and times in, a `Stop` out.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain import event as ev
from codex_runner.domain.run import StopReason
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.domain.job import Limits


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to end the agent, and a sentence that says why."""

    reason: StopReason
    message: str


class Watch:
    """The watchdogs of one attempt. Call `saw` and `heard` as codex writes, and `due` from time to time."""

    def __init__(self, limits: Limits, deadline: float, now: float) -> None:
        """`deadline` is when the job's timeout ends; silence counts from `now` on."""
        self._limits, self._deadline = limits, deadline
        self._heard = now
        self._open: dict[str, tuple[float, ev.Item]] = {}
        self._turn_ended: float | None = None

    def heard(self, now: float) -> None:
        """Note that codex wrote something: it is not silent."""
        self._heard = now

    def saw(self, event: ev.Event, now: float) -> None:
        """Note an event of codex."""
        self._heard = now
        match event:
            case ev.Unparsed() if event.item_id:
                self._open.pop(event.item_id, None)
            case ev.ItemCompleted():
                self._open.pop(event.item.id, None)
            case ev.ItemStarted() | ev.ItemUpdated() if _works(event.item):
                self._open.setdefault(event.item.id, (now, event.item))
            case ev.TurnCompleted() | ev.TurnFailed():
                self._turn_ended = now
                self._open.clear()
            case ev.TurnStarted():
                self._turn_ended = None
            case _:
                pass

    def skip(self, seconds: float) -> None:
        """Do not count `seconds` in which the connection was down. The job's deadline does not move."""
        self._heard += seconds
        self._open = {item_id: (began + seconds, item) for item_id, (began, item) in self._open.items()}
        if self._turn_ended is not None:
            self._turn_ended += seconds

    def due(self, now: float) -> Stop | None:
        """Return a Stop if the agent must be ended now, otherwise None."""
        limits = self._limits
        if self._turn_ended is not None and now - self._turn_ended >= limits.exit_grace:
            return Stop(
                StopReason.LINGERED,
                f"codex did not exit within {format_duration(limits.exit_grace)} of its final event (exit_grace)",
            )
        if now >= self._deadline:
            return Stop(StopReason.TIMEOUT, f"the job's {format_duration(limits.timeout)} are over (timeout)")
        if not self._open:
            if now - self._heard >= limits.stall and self._turn_ended is None:
                return Stop(StopReason.STALLED, f"codex was silent for {format_duration(limits.stall)} (stall_timeout)")
            return None
        began, item = min(self._open.values(), key=lambda entry: entry[0])
        if now - began >= limits.command:
            what = f"the command {item.command!r}" if isinstance(item, ev.Command) else f"a {item.kind} item"
            return Stop(
                StopReason.COMMAND_TIMEOUT,
                f"{what} ran longer than {format_duration(limits.command)} (command_timeout)",
            )
        return None


def _works(item: ev.Item) -> bool:
    """Whether an open item is running work. A plan stays open for the whole turn, and is none."""
    return not isinstance(item, ev.TodoList)
