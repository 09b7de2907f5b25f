"""Durations as people write them: `90s`, `10m`, `1h30m`, or a number of seconds."""

from __future__ import annotations

import re

LONGEST = 366 * 86400.0
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d{{1,9}}(?:\.\d{{1,9}})?){unit})?" for unit in _UNITS), re.ASCII)


def parse_duration(value: object) -> float:
    """Return the seconds that `value` stands for: more than none, at most a year. ValueError says what is wrong.

    A string is a sum of days, hours, minutes and seconds, each once and in this order. A string of digits alone is
    refused, since its unit is unknown; a TOML number is in seconds.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m, or a number of seconds")
    if not 0 < seconds <= LONGEST:  # also false for NaN
        raise ValueError("must be longer than nothing and no longer than a year")
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < LONGEST * 2 else LONGEST * 2  # a huge int does not fit into a float
    if not isinstance(value, str):
        return None
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        return None
    return sum(float(count) * _UNITS[unit] for unit, count in match.groupdict().items() if count)
