"""Cleaning of foreign text: the one table of invisible characters and terminal escapes, and what each reader drops.

Two readers, two ways: `clean_line` for a terminal and the log of a CI system, `clean` for reports. Foreign is whatever
an agent, a check, a service or a file said. Excerpts of foreign text are in `text.excerpts`.

The parts of the table are the insides of a character class: `re.compile(f"[{INVISIBLE}]")`.
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

_BLANK = re.compile(f"[{INVISIBLE}{JOINERS}{BLANKS}]")
# Controls, formats, halves of characters, spaces and ends of lines; no category of theirs has a shape.
_SHAPELESS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})


def is_blank(text: str) -> bool:
    """Whether a reader sees nothing at all: no character of `text` has a shape."""
    return all(
        unicodedata.category(character) in _SHAPELESS or _BLANK.match(character) for character in ESCAPES.sub("", text)
    )


# Controls; ends of lines that are not newlines; halves of characters. A reader must see what is there, in its order.
_NOT_IN_LOGS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{INVISIBLE}\ud800-\udfff]")
# GitHub obeys `##[command]` anywhere in a line, Azure `##vso[...]`, TeamCity `##teamcity[...]`.
_COMMAND = re.compile(r"##(?=\w*\[)")


def clean_line(text: str) -> str:
    """Make one printable line of `text`, which has no newline: no escapes, controls, tabs, or commands of CI systems.

    For terminals and logs. Of progress that overwrites itself with carriage returns, the last state stays. Idempotent.
    """
    if text.isascii() and text.isprintable():  # almost always so, and some ten times faster
        return _COMMAND.sub("# #", text) if "##" in text else text
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    text = _NOT_IN_LOGS.sub("", ESCAPES.sub("", text)).expandtabs(4).replace("\n", " ")
    return _COMMAND.sub("# #", text)


_TO_CLEAN = re.compile("[^\t\n -~]")
_LINE_ENDS = re.compile("\r\n|\r|\x0b|\x0c|\x85|\u2028|\u2029")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# What Unicode says is no character, and halves of characters: no XML parser takes all of them.
_NO_CHARACTERS = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
# Characters that reorder or hide text: they could make a command read as another one.
_NAMED = re.compile(f"[{INVISIBLE}{JOINERS}]")


def clean(text: str) -> str:
    """Drop terminal escapes and control characters, end lines with newlines, replace what is no character.

    For reports. Characters that hide text or turn its direction are named instead: `⟨U+202E⟩`. The result is legal in
    XML 1.0 and in UTF-8. A bare carriage return becomes a newline, so that the steps of a progress bar stay apart.
    Tabs stay.
    """
    if not _TO_CLEAN.search(text):  # most output is plain, and one look costs a sixth of all the replacing
        return text
    text = ESCAPES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    if text.isascii():
        return text
    return _NAMED.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", _NO_CHARACTERS.sub("\ufffd", text))


_ATTACHMENT = re.compile(r"\[(?=\[\s*ATTACHMENT\s*\|)", re.IGNORECASE)


def without_attachments(text: str) -> str:
    """Break every `[[ATTACHMENT|...]]` in foreign text.

    CI systems publish the file that such a line names: output of an agent or a check must not be able to choose one.
    """
    return _ATTACHMENT.sub("[ ", text)


def escape_unprintable(text: str) -> str:
    r"""Write what cannot be printed as Python's escapes: `a\nb`. For names and values in messages of one line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
