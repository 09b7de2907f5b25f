"""The watchdogs: when to end an agent. Pure: time comes in, a stop comes out.

Times are of one monotonic clock, in seconds.
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
    """The wish to end the agent, and a sentence that says why."""

    reason: StopReason
    message: str


class Watch:
    """Watches one attempt. Tell it what happens; ask it now and then what is due."""

    def __init__(self, limits: Limits, deadline: float, now: float) -> None:
        """`deadline` is when the job's whole time is up; silence is counted from `now`."""
        self._limits, self._deadline = limits, deadline
        self._heard = now
        self._open: dict[str, tuple[float, ev.Item]] = {}
        self._turn_ended: float | None = None

    def heard(self, now: float) -> None:
        """Take note that codex says something, whatever it is."""
        self._heard = now

    def saw(self, event: ev.Event, now: float) -> None:
        """Take note of an event of codex."""
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
        """Leave so much time out of account: nothing could be heard. The job's own deadline stays where it is."""
        self._heard += seconds
        self._open = {item_id: (began + seconds, item) for item_id, (began, item) in self._open.items()}
        if self._turn_ended is not None:
            self._turn_ended += seconds

    def due(self, now: float) -> Stop | None:
        """Say whether the agent must be ended now, and why."""
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
    """Whether an open item means that something is running: a plan stays open for the whole turn and is not work."""
    return not isinstance(item, ev.TodoList)
