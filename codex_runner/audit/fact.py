"""A fact of an audit, with the record or file that proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Fact:
    """A value and its source. Without a source, nothing proves a value: it is not known.

    A list may have items with sources of their own, in each item's key `source`.
    """

    value: Any = None
    source: str = ""

    @property
    def is_known(self) -> bool:
        """Whether a record or a file proves it."""
        return bool(self.source)


NOT_KNOWN: Final = Fact()

Section = dict[str, Fact]


def at_record(seq: int | None) -> str:
    """Return the source of what a record says. Returns "" if there is no such record."""
    return f"events.jsonl record {seq}" if seq else ""


def below(value: Any, *keys: str) -> Any:
    """Return the value under `keys` in nested mappings. Returns None if one is missing, or is not a mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def told(table: Mapping[str, Any], seq: int | None, *keys: str) -> Fact:
    """Return the fact that a record has under `keys`. Not known if it has none there, or an empty text."""
    value = below(dict(table), *keys)
    return NOT_KNOWN if value is None or value == "" else Fact(value, f"{at_record(seq)}, {'.'.join(keys)}")


def listed(items: Sequence[Any], source: str) -> Fact:
    """Return a list as a fact: known, and maybe empty, if there is a source."""
    return Fact(list(items), source) if source else NOT_KNOWN
