"""Text that somebody else wrote, made safe to print: to a terminal, and to a log that a CI system reads."""

from __future__ import annotations

import re

from codex_runner.text.clean import ESCAPES, INVISIBLE

# Controls; line ends that are not newlines; what turns the direction of writing; what cannot be seen; halves of
# characters. A reader must see what is there, in the order in which it is there.
_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{INVISIBLE}\ud800-\udfff]")
# GitHub obeys `##[command]` wherever it stands in a line, Azure `##vso[...]`, TeamCity `##teamcity[...]`.
_COMMAND = re.compile(r"##(?=\w*\[)")

_READ = 65536  # characters of a text that are looked at; far more than is ever shown of it


def clean_line(text: str) -> str:
    """Make one printable line of `text`, which has no newline: no escapes, controls, tabs, or CI commands.

    Of progress that overwrites itself with carriage returns, the last state stays.
    """
    if text.isascii() and text.isprintable():  # almost always so, and some ten times faster
        return _COMMAND.sub("# #", text) if "##" in text else text
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    text = _UNSEEN.sub("", ESCAPES.sub("", text)).expandtabs(4).replace("\n", " ")
    return _COMMAND.sub("# #", text)


def one_line(text: str) -> str:
    """Make one clean line of `text`: its first line that says something, and how many more there are."""
    if "\n" not in text:
        return clean_line(text[:_READ]).strip()
    lines = [line for line in text[:_READ].split("\n") if line.strip()]
    first = clean_line(lines[0]).strip() if lines else ""
    more = len(lines) - 1
    return f"{first} … (+{more} line{'s' if more > 1 else ''})" if more > 0 else first


def first_lines(text: str, count: int) -> tuple[str, ...]:
    """Return the first `count` lines of `text`, clean, and a line that says how many were left out."""
    lines = text[:_READ].strip("\n").split("\n", count)
    more = f"… {text.rstrip().count(chr(10)) + 1 - count:,} more lines"
    return (*(clean_line(line) for line in lines[:count]), *((more,) if len(lines) > count else ()))


def last_lines(text: str, count: int) -> tuple[str, ...]:
    """Return the last `count` lines of `text`, clean, after a line that says how many were left out."""
    if not (text := text.rstrip()):
        return ()
    lines = text[-_READ:].rsplit("\n", count)
    kept = tuple(clean_line(line) for line in lines[-count:])
    left_out = text.count("\n") + 1 - len(kept)
    return (f"… {left_out:,} lines before", *kept) if left_out > 0 else kept


def cut(line: str, width: int) -> str:
    """Cut a line to `width` characters; a mark says how many are missing."""
    if len(line) <= width:
        return line
    mark = f" …+{len(line) - width:,}"
    return line[: max(0, width - len(mark))] + mark


def duration(seconds: float) -> str:
    """Say a duration: `0.4s`, `12s`, `3m12s`, `2h05m`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def clock(seconds: float) -> str:
    """Say a time since the start, to stand in a column: `0:07`, `12:03`, `1:02:03`."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def count(number: int, noun: str) -> str:
    """Say how many: `1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
