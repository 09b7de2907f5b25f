"""What every event is: a value with a `kind`."""

from __future__ import annotations

from typing import ClassVar


class Event:
    """An event. `kind` is its stable name in events.jsonl, and never changes once published."""

    kind: ClassVar[str]
    __slots__ = ()
