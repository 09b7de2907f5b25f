"""Counts: plural forms, thousands separators, sizes in bytes."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return the count and its noun: `1 command`, `1,204 commands`."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """Return the singular or plural of `noun` for this count: `file`, `files`. For nouns that take an s."""
    return noun if count == 1 else f"{noun}s"


def format_size(count: int) -> str:
    """Write a number of bytes: `812 B`, `1.2 kB`, `3.4 MB` (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} GB"
