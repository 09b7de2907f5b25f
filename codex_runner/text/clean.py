"""Sanitizing of foreign text: the single table of invisible characters and terminal escapes, and their removal.

`clean_line` is for a terminal and the log of a CI system, `clean` for reports. Foreign text comes from an agent, a
check, a service or a file. Excerpts of foreign text are in `text.excerpts`.

Each part of the table is the inside of a character class: `re.compile(f"[{INVISIBLE}]")`.
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
"""Characters that show nothing by themselves, but may be intended beside others."""


def code_points() -> Iterator[int]:
    """Yield the code point of every character of the table. The redactor looks past them."""
    parts = re.findall("(.)(?:-(.))?", INVISIBLE + JOINERS + BLANKS)
    for first, last in parts:
        yield from range(ord(first), ord(last or first) + 1)


# Sequences have a maximal length: an unfinished one must not swallow the rest of the output, nor take quadratic time.
ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\r\n]{0,4096}+(?:\x07|\x1b\\\\|\x9c)"  # OSC
    "|\x1b[ -/]{0,4}[0-~]"  # two- and three-character escapes
)
"""Terminal escape sequences."""

# The limit of a title counts characters, not bytes: terminals show a title that is longer than that.
_CHARACTER = rb"(?:[^\x07\x1b\r\n\x80-\xff]|(?!\xc2[\x90\x98\x9c-\x9f])[\x80-\xff][\x80-\xbf]{0,3})"
ESCAPES_IN_UTF8 = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    rb"|(?:\x1b[\]PX^_]|\xc2[\x90\x98\x9d-\x9f])" + _CHARACTER + rb"{0,4096}+(?:\x07|\x1b\\|\xc2\x9c)"
    rb"|\x1b[ -/]{0,4}[0-~]"
)
"""Terminal escape sequences in UTF-8 bytes."""

_BLANK = re.compile(f"[{INVISIBLE}{JOINERS}{BLANKS}]")
# Unicode categories without a shape: controls, formats, surrogates, spaces and ends of lines.
_SHAPELESS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})


def is_blank(text: str) -> bool:
    """Whether `text` shows nothing: none of its characters has a shape."""
    return all(
        unicodedata.category(character) in _SHAPELESS or _BLANK.match(character) for character in ESCAPES.sub("", text)
    )


# Controls, ends of lines other than newlines, surrogates: they hide text or change its order.
_NOT_IN_LOGS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{INVISIBLE}\ud800-\udfff]")
# Log commands: GitHub obeys `##[command]` anywhere in a line, Azure `##vso[...]`, TeamCity `##teamcity[...]`.
_COMMAND = re.compile(r"##(?=\w*\[)")


def clean_line(text: str) -> str:
    """Return `text` as one printable line, without escapes, controls, tabs, or log commands of CI systems. Idempotent.

    For terminals and logs. Of a progress line with carriage returns, only the last state stays.
    """
    if text.isascii() and text.isprintable():  # the fast path for most lines: ten times faster
        return _COMMAND.sub("# #", text) if "##" in text else text
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    text = _NOT_IN_LOGS.sub("", ESCAPES.sub("", text)).expandtabs(4).replace("\n", " ")
    return _COMMAND.sub("# #", text)


_TO_CLEAN = re.compile("[^\t\n -~]")
_LINE_ENDS = re.compile("\r\n|\r|\x0b|\x0c|\x85|\u2028|\u2029")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# Unicode's noncharacters, and surrogates: XML parsers reject some of them.
_NO_CHARACTERS = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
# Characters that reorder or hide text: with them, one command can look like another.
_NAMED = re.compile(f"[{INVISIBLE}{JOINERS}]")


def clean(text: str) -> str:
    """Remove terminal escapes and control characters, end lines with newlines, replace noncharacters.

    For reports. Characters that hide text or turn its direction become their names: `⟨U+202E⟩`. The result is valid
    in XML 1.0 and in UTF-8. A bare carriage return becomes a newline, so that the steps of a progress bar are separate
    lines. Tabs stay.
    """
    if not _TO_CLEAN.search(text):  # the fast path: most output is plain, and the search takes a sixth of the time
        return text
    text = ESCAPES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    if text.isascii():
        return text
    return _NAMED.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", _NO_CHARACTERS.sub("\ufffd", text))


_ATTACHMENT = re.compile(r"\[(?=\[\s*ATTACHMENT\s*\|)", re.IGNORECASE)


def without_attachments(text: str) -> str:
    """Defuse every `[[ATTACHMENT|...]]` in foreign text.

    CI systems publish the file that such a line names. The output of an agent or a check must not choose one.
    """
    return _ATTACHMENT.sub("[ ", text)


def escape_unprintable(text: str) -> str:
    r"""Escape unprintable characters as Python does: `a\nb`. For names and values in messages of one line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
