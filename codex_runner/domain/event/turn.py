"""The events that codex prints: threads, turns, items, errors, and lines that are none of these."""

from __future__ import annotations

from typing import Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.event.item import Item  # noqa: TC001 - build() reads the hints at run time
from codex_runner.domain.event.kind import Event
from codex_runner.domain.run import Usage  # noqa: TC001 - as above


@dataclass(frozen=True, slots=True)
class ThreadStarted(Event):
    """codex has started. `thread_id` is the thread that a resume names."""

    kind = "thread.started"
    thread_id: str


@dataclass(frozen=True, slots=True)
class TurnStarted(Event):
    """A turn has begun: codex has asked the model."""

    kind = "turn.started"


@dataclass(frozen=True, slots=True)
class TurnCompleted(Event):
    """The turn's end. `usage` is cumulative over the whole thread.

    `counted` is False if codex's counts are missing or no numbers. The turn's usage is then unknown.
    """

    kind = "turn.completed"
    usage: Usage
    counted: bool = True


@dataclass(frozen=True, slots=True)
class UsageSeen(Event):
    """Tokens of the whole thread so far, by codex's own record. Read before the turn's end, or if it has none."""

    kind = "usage"
    usage: Usage


@dataclass(frozen=True, slots=True)
class ReplyMissing(Event):
    """codex's own record of the thread says that the turn's last answer held no message, even if an earlier one did."""

    kind = "reply.missing"
    thread_id: str


@dataclass(frozen=True, slots=True)
class TurnFailed(Event):
    """The turn's end, and why. `message` is codex's own, word for word, or the JSON that it printed instead."""

    kind = "turn.failed"
    message: str


@dataclass(frozen=True, slots=True)
class StreamError(Event):
    """A top-level `error`. Not fatal by itself: successful runs print `Reconnecting...` too."""

    kind = "error"
    message: str


@dataclass(frozen=True, slots=True)
class ItemStarted(Event):
    """An item has begun."""

    kind = "item.started"
    item: Item


@dataclass(frozen=True, slots=True)
class ItemUpdated(Event):
    """An item has changed."""

    kind = "item.updated"
    item: Item


@dataclass(frozen=True, slots=True)
class ItemCompleted(Event):
    """An item is done. Some kinds have only this event, without a start."""

    kind = "item.completed"
    item: Item


@dataclass(frozen=True, slots=True)
class OtherEvent(Event):
    """A JSON event of a type that this version does not know. `data` is the whole event."""

    kind = "other"
    type: str
    data: Any


TRUNCATED = "truncated"
"""The reason of an Unparsed for a line that is longer than the runner reads. codex.jsonl has the whole line."""


@dataclass(frozen=True, slots=True)
class Unparsed(Event):
    """Lines that are not events: not JSON, not an object, cut off, or `truncated` (longer than the runner reads).

    `count` successive lines have `size` bytes together. `text` holds their first characters. `voids` is False if the
    beginning of a truncated line proves that a reply before it is still the reply. If the beginning proves that the
    line is neither a message nor the turn's end, `item_type` is the kind of its item. `item_id` is the item that it
    completes.
    """

    kind = "unparsed"
    reason: str
    text: str
    size: int
    count: int = 1
    voids: bool = True
    item_type: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic(Event):
    """An important line of codex's stderr. `level` is codex's own word (ERROR, WARN).

    If it is a refusal that no other event shows, `code` is the warning's own.
    """

    kind = "diagnostic"
    level: str
    message: str
    code: str = ""
