r"""What a reader shows of a text that holds titles, links and other long sequences: exactly what `text.clean` leaves.

`unseen` knows the sequences as they stand in a line, quoted or not. One that holds a quote or a backslash itself, such
as a title, is written in another way in each layer of JSON: so each layer is taken off, and the text read as it is.
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

# Where a sequence begins that is neither a colour nor a movement of the cursor. These stand in every other log, hold
# neither quotes nor backslashes, and need no second look.
_PLAIN = rb"(?!\[[0-?]{0,64}[@-Z^-~]|[ !#-/]{0,4}[0-OQ-WYZ`-~])"
# Three, since each begins with a row of bytes that is quickly found.
_BEGINS = (
    re.compile(rb"\x1b" + _PLAIN),
    re.compile(rb"\\u00(?:1[bB]" + _PLAIN + rb"|[89])"),
    re.compile(rb"\xc2[\x80-\x9f]"),
)

# An escape of JSON, of two halves too, and the quote at which a string begins or ends.
_LAYER = re.compile(
    rb'"|\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))'
)
_NAMED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
# As many as a command's output has that prints an event of another one's output.
_LAYERS = 3
# More control characters than one in so many bytes are no text.
_TEXT = 16


def readings(data: bytes) -> Iterator[Text]:
    """Yield what is shown of `data` as it is, then of the strings of JSON in it, of the strings in these, and so on."""
    if not any(begins.search(data) for begins in _BEGINS):
        return
    # JSON has no control character as it is.
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
    """Return what stands for the character; a line's end for a string's, at which each sequence ends."""
    high, low, single, named = found.groups()
    if named:
        return _NAMED.get(named, named)
    if high:
        return bytes.fromhex((high + low).decode()).decode("utf-16-be").encode()
    return chr(int(single, 16)).encode("utf-8", "surrogatepass") if single else b"\n"


@cache
def _show() -> Step:
    """Return the round that drops what a reader does not show. Made when first needed: see `unseen`."""
    dropped = b"|".join([ESCAPES_IN_UTF8.pattern, b"[" + re.escape(CONTROLS) + b"]", C1, wide()])
    return Step(re.compile(dropped), _nothing)


_TAKE_OFF = Step(_LAYER, _character)
