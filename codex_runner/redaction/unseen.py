"""Invisible text in a line: terminal escapes, control characters, zero-width characters.

A program that shows the line drops them, and so joins the two halves of a secret: `grep --color` writes an escape into
the middle of the word that it has found. This module finds them raw, and as JSON escapes them once or twice.
"""

from __future__ import annotations

import re
from array import array
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING

from codex_runner.text.clean import code_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Sequences have a maximal length: an unfinished one must not hide what follows, nor take quadratic time.
# They have neither quotes nor backslashes, and so end with their JSON string at the latest.
_CSI = rb"[0-?]{0,64}[ !#-/]{0,8}[@-\[\]-~]"  # colours, the cursor
_OSC = rb"[^\x07\x1b\\\"\r\n]{0,4096}+"  # a window's title, a link
_SHORT = rb"[ !#-/]{0,4}[0-\[\]-~]"
# A title must not contain the beginning of another: in a long row of beginnings, each would search to the last end.
_TITLE = rb"(?:[^\x07\x1b\\\"\r\n\xc2]|\xc2(?![\x90\x98\x9c-\x9f])){0,4096}+"

CONTROLS = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})

# A cheap first test: in most lines, a backslash comes only before n or a quote.
_MAY_ESCAPE = re.compile(rb"\\[bfu]")


_CONTROL = re.compile(b"[" + re.escape(CONTROLS) + b"]+")

C1 = rb"\xc2[\x80-\x9f]"
"""The pattern of the C1 controls, which have two bytes in UTF-8."""


def _class(values: Iterable[int]) -> bytes:
    """Return a character class of these bytes."""
    return b"[" + b"".join(re.escape(bytes([value])) for value in sorted(values)) + b"]"


def _merged(rows: Mapping[bytes, set[int]]) -> Iterator[bytes]:
    """Yield patterns for rows of bytes, given as prefix and possible last bytes; join rows that differ in one byte."""
    same: dict[tuple[bytes, frozenset[int]], set[int]] = {}
    for row, last in rows.items():
        same.setdefault((row[:-1], frozenset(last)), set()).add(row[-1])
    yield from (re.escape(row) + _class(before) + _class(last) for (row, last), before in same.items())


# Compiled when first needed: that takes 20 ms, and most runs print no invisible text.
@cache
def _wide() -> tuple[tuple[bytes, re.Pattern[bytes]], ...]:
    """Return the table's characters in UTF-8, grouped: the common first bytes, and the pattern of the group."""
    kinds: dict[bytes, dict[bytes, set[int]]] = {}
    for point in code_points():
        encoded = chr(point).encode()
        kinds.setdefault(encoded[: min(2, len(encoded) - 1)], {}).setdefault(encoded[:-1], set()).add(encoded[-1])
    return tuple((beginning, re.compile(b"|".join(_merged(rows)))) for beginning, rows in kinds.items())


@cache
def _as_escapes() -> bytes:
    r"""Return the pattern of the table's characters as JSON escapes, without the first `\u`."""
    rows: dict[bytes, set[int]] = {}
    for point in code_points():
        digits = chr(point).encode("utf-16-be").hex().encode()
        rows.setdefault(digits[:-1], set()).add(digits[-1])
    pattern = b"|".join(_merged(rows))
    # The second half of a surrogate pair is an escape of its own. Hexadecimal digits may be of either case.
    pattern = re.sub(rb"(d[89ab][0-9a-f]{2})(?=d|\[d)", rb"\1\\\\+u", pattern)
    return b"(?i:" + pattern + b")"


def wide() -> bytes:
    """Return the pattern of the table's characters in UTF-8."""
    return b"|".join(pattern.pattern for _, pattern in _wide())


class Reading:
    """One way to read invisible text. Terminals differ in how much they drop after a title without a proper end."""

    def __init__(self, *, titles: bool, backslashes: bytes = rb"\\{0,3}") -> None:
        """With `titles`, the text between the beginning and the end of a title is invisible too.

        `backslashes` is the pattern of those before an escape's last backslash. Text that was escaped several times has
        several; a text that itself ends in a backslash has one that is not the escape's.
        """
        self._titles, self._backslashes = titles, backslashes

    @cached_property
    def _sequence(self) -> re.Pattern[bytes]:
        def title(beginning: bytes, end: bytes, text: bytes = _TITLE) -> bytes:
            return beginning + text + end + b"|" if self._titles else b""

        ends, json_ends = rb"(?:\x07|\x1b\\|\xc2\x9c)", rb"\\+u(?:0007|001[bB]\\+|009[cC])"
        # One pattern for all, since each may begin within another.
        return re.compile(
            rb"[\x1b\xc2\\](?:"
            rb"(?<=\x1b)(?:\[" + _CSI + rb"|" + title(rb"[\]PX^_]", ends) + _SHORT + rb"|)"
            rb"|(?<=\xc2)(?:\x9b" + _CSI + rb"|" + title(rb"[\x90\x98\x9d-\x9f]", ends) + rb"[\x80-\x9f\xad])"
            rb"|(?<=\\)" + self._backslashes + rb"(?:u(?:"
            rb"001[bB](?:\[" + _CSI + rb"|" + title(rb"[\]PX^_]", json_ends, _OSC) + _SHORT + rb"|)"
            rb"|009[bB]" + _CSI + rb"|" + title(rb"009[089dDeEfF]", json_ends, _OSC) + rb""
            rb"00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F]|[aA][dD])"
            rb"|" + _as_escapes() + rb")|[bf])"
            rb")"
        )

    def find(self, data: bytes, *, controls: bool) -> Iterator[re.Match[bytes]]:
        """Yield the matches of invisible text, kind by kind."""
        if b"\x1b" in data or b"\xc2" in data or _MAY_ESCAPE.search(data):
            yield from self._sequence.finditer(data)
        if controls:
            yield from _CONTROL.finditer(data)
        if not data.isascii():
            for beginning, pattern in _wide():
                if beginning in data:
                    yield from pattern.finditer(data)

    def seen(self, data: bytes) -> bytes:
        """Return the visible bytes of `data`."""
        data = self._sequence.sub(b"", data).translate(None, CONTROLS)
        for beginning, pattern in _wide():
            if beginning in data:
                data = pattern.sub(b"", data)
        return data

    def origins(self, data: bytes) -> array[int]:
        """Return the offset in `data` of each byte of `seen(data)`."""
        at = array("L", range(len(data)))
        for pattern in (self._sequence, _CONTROL, *(pattern for _, pattern in _wide())):
            done, kept = 0, array("L")
            for unseen in pattern.finditer(data):
                kept += at[done : unseen.start()]
                done = unseen.end()
            at = kept + at[done:]
            data = pattern.sub(b"", data)
        return at


READINGS = (Reading(titles=True), Reading(titles=False))
# For an escape after backslashes of the text itself, with one or two backslashes of its own.
EXACT = tuple(Reading(titles=titles, backslashes=count) for titles in (True, False) for count in (rb"", rb"\\"))

# Data with more than one invisible piece in so many bytes is binary.
_TEXT = 16


def joints(data: bytes, alphabet: bytes, *, controls: bool = True) -> list[tuple[int, int]]:
    """Return the spans of invisible text between two letters of `alphabet`, from left to right.

    Of binary data, returns one span over all of it. `controls` is False if `data` has no control character.
    """
    most = len(data) // _TEXT + 1
    found = sorted(match.span() for match in islice(READINGS[0].find(data, controls=controls), most + 1))
    if len(found) > most:
        return [(0, len(data))]
    runs: list[tuple[int, int]] = []
    for start, end in found:
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], end)
        else:
            runs.append((start, end))
    # The first of several backslashes may belong to the text before it.
    return [
        (a, b)
        for a, b in runs
        if b < len(data) and data[b] in alphabet and (data[a : a + 1] == b"\\" or (a > 0 and data[a - 1] in alphabet))
    ]
