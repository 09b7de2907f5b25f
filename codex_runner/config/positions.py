"""Positions in a TOML file: where each key and each value stands. tomllib tells neither.

This reads only text that tomllib has accepted, so it looks for the end of each value and judges nothing. A property
test holds it against tomllib: what stands at each position is the key and the value that tomllib finds.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}#\r\n]*")  # a number, a date, true, false
_STRINGS = {
    quotes: re.compile(pattern, re.DOTALL)
    for quotes, pattern in {
        '"""': r'"""(?:\\.|(?!""").)*"""(?:""|"|)',  # up to two quotes of the text may precede the end
        "'''": r"'''(?:(?!''').)*'''(?:''|'|)",
        '"': r'"(?:\\.|[^"\\])*"',
        "'": r"'[^']*'",
    }.items()
}


class TextSpan(NamedTuple):
    """A part of the text, from the character at `start` to before that at `end`."""

    start: int
    end: int


class KeySpan(NamedTuple):
    """One part of a key as written, and the path that the file means by it."""

    path: Path
    span: TextSpan


class Positions:
    """The keys and values of a TOML text which tomllib has accepted. Arrays count from 0 in paths."""

    def __init__(self, text: str) -> None:
        """Read the text. Raises RecursionError if it is nested too deeply."""
        self.text = text
        self.keys: list[KeySpan] = []
        self.values: dict[Path, TextSpan] = {}
        self._at = 0
        self._tables: dict[Path, int] = {}  # by the path of an array of tables: the number of the last one
        self._read()

    def of(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Return line and column, from 1, of the key or the item at `path`, else of the nearest table around it."""
        wanted = tuple(path)
        starts: dict[Path, int] = {}
        for each, span in self.keys:
            starts.setdefault(each, span.start)
        while wanted:
            if wanted in starts:
                return self.line(starts[wanted])
            if wanted in self.values:
                return self.line(self.values[wanted].start)
            wanted = wanted[:-1]
        return 1, 1

    def line(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of the character at `offset`."""
        return self.text.count("\n", 0, offset) + 1, offset - self.text.rfind("\n", 0, offset)

    def _read(self) -> None:
        around: Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text.startswith("[", self._at):
                many = self.text.startswith("[[", self._at)
                self._at += 1 + many
                around = self._header(many=many)
                self._at += 1 + many
            else:
                self._pair(around)

    def _header(self, *, many: bool) -> Path:
        path: Path = ()
        parts = self._key()
        for number, (name, span) in enumerate(parts, 1):
            path = (*path, name)
            self.keys.append(KeySpan(path, span))
            if many and number == len(parts):
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path = (*path, self._tables[path])
                self.keys.append(KeySpan(path, span))
        return path

    def _pair(self, around: Path) -> None:
        path = around
        for name, span in self._key():
            path = (*path, name)
            self.keys.append(KeySpan(path, span))
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[tuple[str, TextSpan]]:
        """Read a dotted key, and the space behind it."""
        parts = []
        while True:
            start = self._skip(_SPACE)
            quote = self.text[start] if self.text[start] in "\"'" else None
            self._skip(_STRINGS[quote] if quote else _BARE_KEY)
            written = self.text[start : self._at]
            name: Any = tomllib.loads(f"name = {written}")["name"] if quote else written
            parts.append((name, TextSpan(start, self._at)))
            if not self.text.startswith(".", self._skip(_SPACE)):
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        start = self._at
        if self.text.startswith("[", start):
            self._items(path)
        elif self.text.startswith("{", start):
            self._pairs(path)
        elif quotes := next((each for each in _STRINGS if self.text.startswith(each, start)), None):
            self._skip(_STRINGS[quotes])
        else:
            self._skip(_PLAIN)
            self._at = start + len(self.text[start : self._at].rstrip(" \t"))
        self.values[path] = TextSpan(start, self._at)

    def _items(self, path: Path) -> None:
        self._at += 1
        number = 0
        while not self.text.startswith("]", self._skip(_BLANK)):
            self._value((*path, number))
            number += 1
            self._comma()
        self._at += 1

    def _pairs(self, path: Path) -> None:
        self._at += 1
        while not self.text.startswith("}", self._skip(_BLANK)):
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        if self.text.startswith(",", self._skip(_BLANK)):
            self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Go to the end of what matches here, and return that offset."""
        if (found := pattern.match(self.text, self._at)) is not None:
            self._at = found.end()
        return self._at
