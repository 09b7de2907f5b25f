"""What cannot be seen in text: the one table of invisible characters, for all that read or show text of others.

The parts are the insides of a character class: `re.compile(f"[{INVISIBLE}]")`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INVISIBLE = (
    "\u00ad"  # soft hyphen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks and embeddings that turn the direction of writing
    "\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff"  # without a width: spaces, joiners, operators
    "\u2028\u2029"  # ends of lines and paragraphs
    "\ufff9-\ufffb"  # interlinear annotations
    "\U000e0000-\U000e007f"  # tags
)
"""Characters that hide text or turn its direction. Logs drop them, reports name them, the redactor looks past them."""

JOINERS = "\u200c\u200d"
"""Zero-width characters that honest text needs: Persian, and the parts of an emoji."""

BLANKS = (
    "\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f"  # joiners and selectors of a variant
    "\u115f\u1160\u3164\uffa0"  # fillers of Hangul: letters without a shape
    "\u2800"  # a Braille cell without a dot
    "\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0080-\U000e0fff"  # what Unicode says to ignore
)
"""Characters that show nothing by themselves. Beside others they may be meant."""


def code_points() -> Iterator[int]:
    """Yield every character of the table, as what the redactor looks past: hidden, joining, blank."""
    parts = re.findall("(.)(?:-(.))?", INVISIBLE + JOINERS + BLANKS)
    for first, last in parts:
        yield from range(ord(first), ord(last or first) + 1)


# Sequences are bounded, so that an unfinished one can neither swallow the rest of the output nor cost quadratic time.
ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\r\n]{0,4096}+(?:\x07|\x1b\\\\|\x9c)"  # OSC
    "|\x1b[ -/]{0,4}[0-~]"  # two- and three-character escapes
)
"""What commands a terminal."""

# A character of a title counts as one, however many bytes it has: a reader shows a title that is longer.
_CHARACTER = rb"(?:[^\x07\x1b\r\n\x80-\xff]|(?!\xc2[\x90\x98\x9c-\x9f])[\x80-\xff][\x80-\xbf]{0,3})"
ESCAPES_IN_UTF8 = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    rb"|(?:\x1b[\]PX^_]|\xc2[\x90\x98\x9d-\x9f])" + _CHARACTER + rb"{0,4096}+(?:\x07|\x1b\\|\xc2\x9c)"
    rb"|\x1b[ -/]{0,4}[0-~]"
)
"""The same in bytes."""

_UNSEEN = re.compile(f"[{INVISIBLE}{JOINERS}{BLANKS}]")
# Controls, formats, halves of characters, spaces and ends of lines; no category of theirs has a shape.
_SHAPELESS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})


def is_blank(text: str) -> bool:
    """Whether a reader sees nothing at all: no character of `text` has a shape."""
    return all(
        unicodedata.category(character) in _SHAPELESS or _UNSEEN.match(character) for character in ESCAPES.sub("", text)
    )
