"""Text that came from elsewhere, made fit for a report: clean, bounded, and unable to pose as anything else."""

from __future__ import annotations

import html
import math
import re
import time

# Sequences are bounded, so that an unfinished one can neither swallow the rest of the output nor cost quadratic time.
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\r\n]{0,4096}+(?:\x07|\x1b\\\\|\x9c)"  # OSC
    "|\x1b[ -/]{0,4}[0-~]"  # two- and three-character escapes
)
_LINE_ENDS = re.compile("\r\n|\r|\x0b|\x0c|\x85|\u2028|\u2029")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# What Unicode says is no character, and halves of characters: no XML parser takes all of them.
_NO_CHARACTERS = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_TO_CLEAN = re.compile("[^\t\n -~]")
_ATTACHMENT = re.compile(r"\[(?=\[\s*ATTACHMENT\s*\|)", re.IGNORECASE)
# Characters that reorder or hide text: they could make a command read as another one.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_ELLIPSIS = "…"
_LONGEST = 10 * 365 * 86400  # seconds; what is longer is no duration


def clean(text: str) -> str:
    """Drop terminal escapes and control characters, end lines with newlines, replace what is no character.

    Characters that hide text or turn its direction are named instead: `⟨U+202E⟩`. What is left is legal in XML 1.0 and
    in UTF-8. A bare carriage return becomes a newline, so that the steps of a progress bar stay apart. Tabs stay.
    """
    if not _TO_CLEAN.search(text):  # most output is plain, and one look costs a sixth of all the replacing
        return text
    text = _ESCAPES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    if text.isascii():
        return text
    return _INVISIBLE.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", _NO_CHARACTERS.sub("\ufffd", text))


def one_line(text: str, limit: int = 1000) -> str:
    """Clean `text` and put it on one line of at most `limit` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1] + _ELLIPSIS


def first_lines(text: str, lines: int, limit: int) -> str:
    """Return the first `lines` lines of clean `text`, at most `limit` characters, and say whether there was more."""
    kept = "\n".join(clean(text).strip("\n").split("\n")[: lines + 1])
    short = "\n".join(kept.split("\n")[:lines])[:limit]
    return short if short == kept else f"{short}\n{_ELLIPSIS}"


def last_lines(text: str, lines: int) -> str:
    """Return the last `lines` lines of clean `text`, after a note of how many there were before."""
    every = clean(text).strip("\n").split("\n")
    note = [f"[{counted(len(every) - lines, 'line')} before]"] if len(every) > lines else []
    return "\n".join([*note, *every[-lines:]])


def tail(text: str, limit: int) -> str:
    """Return clean `text`, or where it is larger than `limit` bytes of UTF-8, a note and its last bytes.

    The note comes on top of the limit. The cut is at a line's beginning where one is near.
    """
    data = clean(text).encode()
    if len(data) <= limit:
        return data.decode()
    kept = data[len(data) - limit :]
    newline = kept.find(b"\n", 0, min(len(kept), 1000))
    kept = kept[newline + 1 :]
    return f"[the first {len(data) - len(kept):,} bytes are left out]\n" + kept.decode(errors="ignore")


def without_attachments(text: str) -> str:
    """Break every `[[ATTACHMENT|...]]` in text that is not ours.

    CI systems publish the file that such a line names: output of an agent or a check must not be able to choose one.
    """
    return _ATTACHMENT.sub("[ ", text)


def html_text(text: str) -> str:
    """Make text from elsewhere fit for an HTML page, its attributes included: whatever it holds, it is seen as text."""
    return html.escape(clean(text))


def utc(seconds: float) -> str:
    """Write seconds since the epoch as ISO 8601 in UTC, to the millisecond: `2026-01-02T03:04:05.678Z`."""
    milliseconds = round(seconds * 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{stamp}.{milliseconds % 1000:03d}Z"


def plausible(seconds: float) -> float:
    """Return a duration that every reader takes; 0 for one that a clock set anew has made up."""
    return float(seconds) if math.isfinite(seconds) and 0 < seconds < _LONGEST else 0.0


def duration(seconds: float) -> str:
    """Say a duration as people do: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = plausible(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(count: int, noun: str) -> str:
    """Say how many there are: `1 command`, `1,204 commands`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(count: int) -> str:
    """Say a number of bytes as people do: `812 B`, `1.2 kB`, `3.4 MB` (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95 or unit == "GB":
            return f"{value:.1f} {unit}"
    return f"{count} B"
