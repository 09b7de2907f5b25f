"""Records, events and other values of the domain as JSON, and back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from codex_runner.domain.event import item, run, turn
from codex_runner.domain.event.item import Item, OtherItem
from codex_runner.domain.event.kind import Event
from codex_runner.domain.event.record import Position, Record
from codex_runner.domain.event.turn import OtherEvent

SCHEMA_VERSION = 1


def _kinds(base: Any, *modules: types.ModuleType) -> dict[str, Any]:
    """Return the subclasses of `base` that the modules define, by their kind."""
    found: list[Any] = [each for module in modules for each in vars(module).values() if isinstance(each, type)]
    return {cls.kind: cls for cls in found if issubclass(cls, base) and cls is not base}


EVENT_KINDS: dict[str, type[Event]] = _kinds(Event, turn, run)
ITEM_KINDS: dict[str, type[Item]] = _kinds(Item, item)


def to_json(value: Any) -> Any:
    """Return a domain value as JSON types. Events and items carry their `kind`."""
    if isinstance(value, Event | Item):
        return {"kind": value.kind, **_fields(value)}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if isinstance(value, Mapping):
        return {key: to_json(part) for key, part in value.items()}
    if isinstance(value, Decimal):  # as text: a JSON number would come back as a float, with another value
        return str(value)
    # TOML has dates, and JSON has not.
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as its JSON object. A runner that attaches continues at `end_offset` and `codex_length`."""
    at = record.position
    return {
        "schema": SCHEMA_VERSION,
        "seq": record.seq,
        "time": record.time,
        "attempt": record.attempt,
        "end_offset": at.stdout,
        "codex_length": at.stdout_copy,
        "stderr_offset": at.stderr,
        "stderr_length": at.stderr_copy,
        "stdout_crc": at.stdout_crc,
        "event": to_json(record.event),
    }


def record_from_json(data: dict[str, Any]) -> Record:
    """Read a record from its JSON object. An unknown kind becomes `OtherEvent`. Raises KeyError if a key is missing."""
    return Record(
        seq=data["seq"],
        time=data["time"],
        attempt=data["attempt"],
        position=Position(
            stdout=data["end_offset"],
            stderr=data["stderr_offset"],
            stdout_copy=data["codex_length"],
            stderr_copy=data["stderr_length"],
            stdout_crc=data["stdout_crc"],
        ),
        event=event_from_json(data["event"]),
    )


def event_from_json(data: dict[str, Any]) -> Event:
    """Read an event from its JSON object. An unknown kind becomes `OtherEvent`."""
    cls = EVENT_KINDS.get(data["kind"])
    if cls is None:
        return OtherEvent(type=data["kind"], data={k: v for k, v in data.items() if k != "kind"})
    return typing.cast("Event", build(cls, data))


def build(cls: type, data: dict[str, Any]) -> Any:
    """Build a domain dataclass from a JSON object. Ignores unknown keys, which a newer version may have written."""
    hints = _hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{key: _read(hints[key], value) for key, value in data.items() if key in known})


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _read(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one return a shape
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        # Of several arms, the tuple takes a JSON array, and the plain type anything else.
        fitting = (arm for arm in arms if (typing.get_origin(arm) is tuple) == isinstance(value, list))
        return _read(arms[0] if len(arms) == 1 else next(fitting, Any), value)
    if origin is tuple:
        part = typing.get_args(hint)[0]
        return tuple(_read(part, each) for each in value)
    if hint is Item:
        return build(ITEM_KINDS.get(value["kind"], OtherItem), value)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type", hint), value)
    if isinstance(hint, type) and issubclass(hint, str | Decimal) and hint is not str:
        return hint(value)
    return value
