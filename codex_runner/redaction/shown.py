r"""Visible text without terminal titles, links and other long sequences: exactly what `text.clean` leaves.

`unseen` handles sequences without quotes or backslashes, in plain lines and in JSON. A sequence with these, such as a
title, has another form in each layer of JSON. So this module decodes layer by layer, and cleans the text of each.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from codex_runner.redaction.derived import Step, Text
from codex_runner.redaction.unseen import C1, CONTROLS, wide
from codex_runner.text.clean import ESCAPES_IN_UTF8

if TYPE_CHECKING:
    from collections.abc import Iterator

# The beginning of a sequence that is neither a colour nor a movement of the cursor. Those two are common in logs, have
# neither quotes nor backslashes, and are left to `unseen`.
_PLAIN = rb"(?!\[[0-?]{0,64}[@-Z^-~]|[ !#-/]{0,4}[0-OQ-WYZ`-~])"
# Three patterns, since each begins with fixed bytes, which are fast to find.
_BEGINS = (
    re.compile(rb"\x1b" + _PLAIN),
    re.compile(rb"\\u00(?:1[bB]" + _PLAIN + rb"|[89])"),
    re.compile(rb"\xc2[\x80-\x9f]"),
)

# An escape of JSON (a surrogate pair too), or the quote at which a string begins or ends.
_LAYER = re.compile(
    rb'"|\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))'
)
_NAMED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
# The layers of JSON in the output of a command that prints an event with another command's output.
_LAYERS = 3
# Data with more than one control character in so many bytes is binary.
_TEXT = 16


def readings(data: bytes) -> Iterator[Text]:
    """Yield the visible text of `data`, then of the JSON strings in it, of the strings in these, up to _LAYERS."""
    if not any(begins.search(data) for begins in _BEGINS):
        return
    # JSON escapes control characters, so data with many raw ones is no JSON.
    layers = _LAYERS if len(data) - len(data.translate(None, CONTROLS)) <= len(data) // _TEXT else 0
    taken: tuple[Step, ...] = ()
    text = data
    for left in reversed(range(layers + 1)):
        if (shown := _show().of(text)) != text:
            yield Text(shown, data, (*taken, _show()))
        if not left or b"\\" not in text:
            return
        text, taken = _TAKE_OFF.of(text), (*taken, _TAKE_OFF)


def _nothing(_: re.Match[bytes]) -> bytes:
    return b""


def _character(found: re.Match[bytes]) -> bytes:
    """Return the escaped character; for a quote, a newline, since a sequence ends with its string at the latest."""
    high, low, single, named = found.groups()
    if named:
        return _NAMED.get(named, named)
    if high:
        return bytes.fromhex((high + low).decode()).decode("utf-16-be").encode()
    return chr(int(single, 16)).encode("utf-8", "surrogatepass") if single else b"\n"


@cache
def _show() -> Step:
    """Return the step that removes invisible text. Compiled when first needed: see `unseen`."""
    dropped = b"|".join([ESCAPES_IN_UTF8.pattern, b"[" + re.escape(CONTROLS) + b"]", C1, wide()])
    return Step(re.compile(dropped), _nothing)


_TAKE_OFF = Step(_LAYER, _character)
