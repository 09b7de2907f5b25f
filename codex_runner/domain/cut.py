"""Cuts of text that nobody has redacted yet."""

from __future__ import annotations

import re

_BREAK = re.compile(r"\s+")


def end_of(text: str, limit: int) -> str:
    """Return the last `limit` characters at most, from the beginning of a line on, else of a word.

    Empty if there is neither: half a word may be half a secret, which no redactor finds.
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
