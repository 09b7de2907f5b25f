"""What is in a line and not to be seen: terminal escapes, control characters, characters without a width.

Whoever shows the line drops them, so that what stood apart stands together: `grep --color` writes one into the middle
of the word that it has found. They are known as they are, and as JSON escapes them, twice too.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Sequences are bounded, so that one without an end can neither hide what follows nor cost quadratic time.
_CSI = rb"[0-?]{0,64}[ -/]{0,8}[@-~]"  # colours, the cursor
_OSC = rb"[^\x07\x1b\\\r\n]{0,4096}?"  # a window's title, a link

_SEQUENCE = re.compile(rb"\x1b(?:\[" + _CSI + rb"|[\]PX^_]" + _OSC + rb"(?:\x07|\x1b\\|\xc2\x9c)|[ -/]{0,4}[0-~]|)")

CONTROLS = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})
_CONTROL = re.compile(b"[" + re.escape(CONTROLS) + b"]+")

# In most lines a backslash stands only before n or a quote.
_MAY_ESCAPE = re.compile(rb"\\[bfu]")
_ESCAPE = re.compile(
    rb"\\\\{0,3}(?:u(?:"
    rb"001[bB](?:\[" + _CSI + rb"|[\]PX^_]" + _OSC + rb"\\+u(?:0007|001[bB]\\+|009[cC])|[ -/]{0,4}[0-~]|)"
    rb"|009[bB]" + _CSI + rb"|009[089dDeEfF]" + _OSC + rb"\\+u(?:0007|001[bB]\\+|009[cC])"
    rb"|00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F]|[aA][dD])"
    rb"|061[cC]|180[eE]|200[b-fB-F]|202[89a-eA-E]|206[0-9a-fA-F]|[fF][eE][fF][fF]|[fF]{3}[9abAB]"
    rb"|[dD][bB]40\\+u[dD][cC][0-7][0-9a-fA-F]"
    rb")|[bf])"
)

_WIDE = tuple(
    (beginning, re.compile(beginning + rest))
    for beginning, rest in (
        (b"\xc2", rb"(?:\x9b" + _CSI + rb"|[\x90\x98\x9d-\x9f]" + _OSC + rb"(?:\x07|\x1b\\|\xc2\x9c)|[\x80-\x9f\xad])"),
        (b"\xe2\x80", rb"[\x8b-\x8f\xa8-\xae]"),
        (b"\xe2\x81", rb"[\xa0-\xaf]"),
        (b"\xef", rb"(?:\xbb\xbf|\xbf[\xb9-\xbb])"),
        (b"\xd8\x9c", rb""),
        (b"\xe1\xa0\x8e", rb""),
        (b"\xf3\xa0", rb"[\x80\x81][\x80-\xbf]"),
    )
)

# More than one in so many bytes is no text.
_TEXT = 16


def joints(data: bytes, alphabet: bytes, *, controls: bool = True) -> list[tuple[int, int]]:
    """Return where something unseen stands between two letters of `alphabet`, from left to right.

    Of what is no text, the whole. `controls` is False where `data` is known to have no control character.
    """
    most = len(data) // _TEXT + 1
    found = sorted(match.span() for match in islice(_unseen(data, controls=controls), most + 1))
    if len(found) > most:
        return [(0, len(data))]
    runs: list[tuple[int, int]] = []
    for start, end in found:
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], end)
        else:
            runs.append((start, end))
    return [(a, b) for a, b in runs if a > 0 and b < len(data) and data[a - 1] in alphabet and data[b] in alphabet]


def _unseen(data: bytes, *, controls: bool) -> Iterator[re.Match[bytes]]:
    if b"\x1b" in data:
        yield from _SEQUENCE.finditer(data)
    if controls:
        yield from _CONTROL.finditer(data)
    if _MAY_ESCAPE.search(data):
        yield from _ESCAPE.finditer(data)
    if not data.isascii():
        for beginning, pattern in _WIDE:
            if beginning in data:
                yield from pattern.finditer(data)


def seen(data: bytes) -> bytes:
    """Return what is to be seen of `data`."""
    data = _ESCAPE.sub(b"", _SEQUENCE.sub(b"", data).translate(None, CONTROLS))
    if not data.isascii():
        for beginning, pattern in _WIDE:
            if beginning in data:
                data = pattern.sub(b"", data)
    return data


def origins(data: bytes) -> list[int]:
    """Return where each byte of `seen(data)` stands in `data`."""
    at = list(range(len(data)))
    for pattern in (_SEQUENCE, _CONTROL, _ESCAPE, *(pattern for _, pattern in _WIDE)):
        done, kept = 0, []
        for unseen in pattern.finditer(data):
            kept += at[done : unseen.start()]
            done = unseen.end()
        at = [*kept, *at[done:]]
        data = pattern.sub(b"", data)
    return at
