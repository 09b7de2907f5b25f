"""Dates: parses and formats RFC 3339 in UTC; internally, dates are seconds since the epoch.

To the second for dates of tokens and for people (`format_date`), to the millisecond for records and reports
(`format_instant`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

_DATES_END = 100_000_000_000.0  # seconds since the epoch, in the year 5138: a larger number is in milliseconds


def parse_date(text: str) -> float:
    """Parse an RFC 3339 date with a time zone into seconds since the epoch. Raises ValueError, which says why."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-31T12:00:00Z")
    return moment.timestamp()


def parse_day_or_date(text: str) -> float:
    """Parse a date as `parse_date` does, or a day alone as its beginning in UTC: too early is the safe side."""
    return parse_date(f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text)


def numeric_date(value: object) -> float | None:
    """Return a JWT's date in seconds since the epoch. Returns None if `value` is None.

    Raises ValueError if the value is no date in seconds, such as NaN or milliseconds.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _DATES_END:
        shown = json.dumps(value, default=str)[:40]
        raise ValueError(f"is {shown}, which is no date in seconds since 1970")
    return float(value)


def format_date(seconds: float) -> str:
    """Write seconds since the epoch in UTC, to the second: `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_instant(seconds: float) -> str:
    """Write seconds since the epoch in UTC, rounded to the millisecond: `2026-01-02T03:04:05.678Z`."""
    milliseconds = round(seconds * 1000)
    return f"{format_date(milliseconds // 1000)[:-1]}.{milliseconds % 1000:03d}Z"


def format_day(seconds: float) -> str:
    """Write the day in UTC: `2026-01-02`."""
    return format_date(seconds)[:10]


def format_minute(seconds: float) -> str:
    """Write a moment in UTC for people, to the minute: `2026-01-02 03:04 UTC`."""
    return f"{format_date(seconds)[:16].replace('T', ' ')} UTC"


def format_local_minute(seconds: float) -> str:
    """Write a moment in the zone of this machine, for a person in front of it: `2026-01-02 04:04`."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
