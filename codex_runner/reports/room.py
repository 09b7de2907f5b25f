"""Size limits of reports: a run's texts may have hundreds of megabytes."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from codex_runner.text.excerpts import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPORT_BYTES = 20_000_000
"""The maximum size of a report: run.json, junit.xml, summary.md and report.html."""

_OUTPUT_BYTES = 64_000
_SPENT_OUTPUT_BYTES = 400
_KEYS = 50  # of an object, which are always kept: a record has no more
_OUTPUTS = 6_000_000  # bytes of outputs in full; the next as many bytes hold only their ends, and the rest none


class Outputs:
    """A page's byte budget for outputs: 10,000 large ones would make it too heavy to open."""

    def __init__(self, left: int = _OUTPUTS) -> None:
        """`left` is in bytes of the escaped page, in which `<` takes four."""
        self._left = self._spent = left

    def take(self, text: str) -> str:
        """Return the end of an output, as much as the budget allows."""
        if self._left <= 0 and self._spent <= 0:
            return ""
        kept = tail(text, _OUTPUT_BYTES if self._left > 0 else _SPENT_OUTPUT_BYTES)
        size = len(html.escape(kept).encode(errors="replace"))
        if self._left > 0:
            self._left -= size
        else:
            self._spent -= size
        return kept


class Page:
    """A page's byte budget for its sections."""

    def __init__(self, left: int) -> None:
        """`left` bytes of UTF-8."""
        self.left = left

    def take(self, section: str, most: int | None = None) -> str:
        """Return a section if there is room for it, or if it has no more than `most` bytes; otherwise a note."""
        size = len(section.encode(errors="replace"))
        if size > (self.left if most is None else min(most, self.left)):
            section = '<section><p class="text">A section was too large for this page.</p></section>'
            size = len(section)
        self.left -= size
        return section


def both_ends(count: int, make: Callable[[int], str], room: int) -> tuple[list[str], list[str]]:
    """Make items 0 to `count` - 1 in at most `room` bytes: the first ones, then the last ones."""
    first: list[str] = []
    half = room // 2
    for number in range(count):
        item = make(number)
        half -= len(item.encode(errors="replace"))
        if half < 0:
            break
        first.append(item)
        room -= len(item.encode(errors="replace"))
    last: list[str] = []
    for number in range(count - 1, len(first) - 1, -1):
        item = make(number)
        room -= len(item.encode(errors="replace"))
        if room < 0:
            break
        last.append(item)
    return first, last[::-1]


def shortened(value: Any, characters: int, items: int) -> Any:
    """Return a JSON value with texts of at most `characters`, and arrays and tables of at most `items`."""
    match value:
        case str() if len(value) > characters:
            left = f"\n[... {len(value) - characters:,} characters are left out ...]\n"
            return f"{value[: characters // 2]}{left}{value[len(value) - characters // 2 :]}"
        case list():
            return [shortened(part, characters, items) for part in value[:items]]
        case dict():
            return {key: shortened(value[key], characters, items) for key in list(value)[: max(items, _KEYS)]}
        case _:
            return value


def fitted(
    document: dict[str, Any], write: Callable[[dict[str, Any]], bytes], limit: int, fixed: Sequence[str] = ()
) -> bytes:
    """Return a document in at most `limit` bytes. Its key `cut` names the keys that were shortened.

    All but the `fixed` keys may be shortened: first long texts, then many items.
    """
    data = write(document)
    for characters, items in (
        (1_000_000, 10_000),
        (100_000, 5_000),
        (10_000, 1_000),
        (1_000, 200),
        (200, 50),
        (200, 0),
    ):
        if len(data) <= limit:
            break
        short = {key: value if key in fixed else shortened(value, characters, items) for key, value in document.items()}
        data = write({**short, "cut": sorted(key for key, value in short.items() if value != document[key])})
    return data
