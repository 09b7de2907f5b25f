"""Durations: parsed from configuration, options and Vault, and formatted in one way everywhere.

`parse_duration` reads what `format_duration` writes, so that a figure from a log can be set as a limit. Formats for
programs (JUnit, run.json, metrics, `--json`) are numbers of seconds, and do not use this module.
"""

from __future__ import annotations

import math
import re

LONGEST = 366 * 86400.0
"""Seconds. The longest duration that a configuration may have."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNITS |= {"\u00b5s": 1e-6, "\u03bcs": 1e-6}  # the micro sign, and the Greek letter that Go takes for it
_WRITTEN = ("d", "h", "m", "s")
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d{{1,9}}(?:\.\d{{1,9}})?){unit})?" for unit in _WRITTEN), re.ASCII)
_GO_PART = "([0-9]+(?:[.][0-9]*)?|[.][0-9]+)(h|ms|m|s|us|\u00b5s|\u03bcs|ns)"
_GO = re.compile(rf"(?:{_GO_PART})+", re.ASCII)
_OLDEST = 10 * 365 * 86400  # seconds; no run is longer


def parse_duration(value: object) -> float:
    """Return the seconds of a duration, more than 0 and at most a year. Raises ValueError, which says what is wrong.

    A string is a sum of days, hours, minutes and seconds, each once and in this order: `90s`, `10m`, `1h30m`. A string
    of digits alone is refused, since its unit would be a guess; a number is in seconds.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m, or a number of seconds")
    if not 0 < seconds <= LONGEST:  # also false for NaN
        raise ValueError("must be longer than 0s and at most a year")
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


def parse_go_duration(text: str) -> float | None:
    """Return the seconds of a duration in Go's format, which Vault uses: `768h0m0s`, `1.5s`. Returns None otherwise.

    As in Go, units may come in any order, and repeatedly. A sign is refused: no duration of Vault is negative.
    """
    if _GO.fullmatch(text) is None:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_GO_PART, text))


def format_duration(seconds: float) -> str:
    """Format a duration for people, in its two largest units: `0.4s`, `12s`, `3m12s`, `30m`, `2h05m`, `3d04h`.

    Below ten seconds it is rounded to a tenth; above, it is rounded down, so that a token never seems to live longer
    than it does. A unit with a zero is omitted. A negative or infinite duration, or NaN, becomes `0s`.
    """
    seconds = max(0.0, seconds) if math.isfinite(seconds) else 0.0
    if seconds < 9.95:
        return f"{round(seconds, 1):g}s"
    whole = int(seconds + 0.05)
    for unit, below in (("d", "h"), ("h", "m"), ("m", "s")):
        count, rest = divmod(whole, int(_UNITS[unit]))
        if count:
            less = rest // int(_UNITS[below])
            return f"{count}{unit}{less:02d}{below}" if less else f"{count}{unit}"
    return f"{whole}s"


def format_elapsed(seconds: float) -> str:
    """Format a duration within a run, as `format_duration` does; `0s` if a change of the clock has falsified it."""
    return format_duration(plausible(seconds))


def format_clock(seconds: float) -> str:
    """Format the time since a start for a column: `0:07`, `12:03`, `1:02:03`."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def plausible(seconds: float) -> float:
    """Return a run's duration in seconds; 0 if it is impossible, since the clock was changed during the run."""
    return float(seconds) if math.isfinite(seconds) and 0 < seconds < _OLDEST else 0.0
