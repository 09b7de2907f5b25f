"""Excerpts of foreign text: its first or last lines, clean, and a note of how much is left out.

For logs and terminals, through `clean_line`: `first_line`, `log_head`, `log_tail`, `cut`. For reports, through `clean`:
`one_line`, `first_lines`, `last_lines`, `tail`. Of text that is clean or not redacted yet: `shorten`, `end_of`.
"""

from __future__ import annotations

import re

from codex_runner.text.clean import clean, clean_line
from codex_runner.text.counts import counted

_READ = 65536  # characters of a text that are read for a log, far more than are shown
_ELLIPSIS = "…"
_BREAK = re.compile(r"\s+")


def first_line(text: str) -> str:
    """Return the first line of `text` that is not blank, for a log, with the count of further lines."""
    if "\n" not in text:
        return clean_line(text[:_READ]).strip()
    lines = [line for line in text[:_READ].split("\n") if line.strip()]
    first = clean_line(lines[0]).strip() if lines else ""
    more = len(lines) - 1
    return f"{first} {_ELLIPSIS} (+{counted(more, 'line')})" if more > 0 else first


def log_head(text: str, count: int) -> tuple[str, ...]:
    """Return the first `count` lines of `text` for a log, then a line that says how many are omitted."""
    lines = text[:_READ].strip("\n").split("\n", count)
    more = f"{_ELLIPSIS} {text.rstrip().count(chr(10)) + 1 - count:,} more lines"
    return (*(clean_line(line) for line in lines[:count]), *((more,) if len(lines) > count else ()))


def log_tail(text: str, count: int) -> tuple[str, ...]:
    """Return the last `count` lines of `text` for a log, after a line that says how many are omitted."""
    if not (text := text.rstrip()):
        return ()
    lines = text[-_READ:].rsplit("\n", count)
    kept = tuple(clean_line(line) for line in lines[-count:])
    left_out = text.count("\n") + 1 - len(kept)
    return (f"{_ELLIPSIS} {left_out:,} lines before", *kept) if left_out > 0 else kept


def cut(line: str, width: int) -> str:
    """Cut a clean line to `width` characters; a mark says how many are missing."""
    if len(line) <= width:
        return line
    mark = f" {_ELLIPSIS}+{len(line) - width:,}"
    return line[: max(0, width - len(mark))] + mark


def one_line(text: str, limit: int = 1000) -> str:
    """Clean `text` for a report and put it on one line of at most `limit` characters."""
    return shorten(" ".join(clean(text).split()), limit)


def shorten(text: str, limit: int) -> str:
    """Truncate `text` to `limit` characters, with an ellipsis if it is longer. Does not clean it."""
    return text if len(text) <= limit else text[: limit - 1] + _ELLIPSIS


def first_lines(text: str, lines: int, limit: int) -> str:
    """Return the first `lines` lines of `text` for a report, at most `limit` characters; then `…` if there is more."""
    kept = "\n".join(clean(text).strip("\n").split("\n")[: lines + 1])
    short = "\n".join(kept.split("\n")[:lines])[:limit]
    return short if short == kept else f"{short}\n{_ELLIPSIS}"


def last_lines(text: str, lines: int) -> str:
    """Return the last `lines` lines of `text` for a report, after a note of how many there were before."""
    every = clean(text).strip("\n").split("\n")
    note = [f"[{counted(len(every) - lines, 'line')} before]"] if len(every) > lines else []
    return "\n".join([*note, *every[-lines:]])


def tail(text: str, limit: int) -> str:
    """Return `text` for a report; if it is larger than `limit` bytes of UTF-8, a note and its last bytes.

    The note is not part of the limit. The cut is at a line's beginning if one is near.
    """
    data = clean(text).encode()
    if len(data) <= limit:
        return data.decode()
    kept = data[len(data) - limit :]
    newline = kept.find(b"\n", 0, min(len(kept), 1000))
    kept = kept[newline + 1 :]
    return f"[the first {len(data) - len(kept):,} bytes are left out]\n" + kept.decode(errors="ignore")


def end_of(text: str, limit: int) -> str:
    """Return at most the last `limit` characters, from the beginning of a line or else of a word. Does not clean them.

    For text that is not redacted yet. Returns "" if neither begins there: half a word may be half a secret, which no
    redactor finds.
    """
    text = text.strip()
    if len(text) <= limit:
        return text
    kept = text[-limit - 1 :]
    _, newline, lines = kept.partition("\n")
    if newline:
        return lines.strip()
    found = _BREAK.search(kept)
    return kept[found.end() :] if found else ""
