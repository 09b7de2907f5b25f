"""Durations: one spelling, which the configuration reads back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.text.durations import (
    LONGEST,
    format_clock,
    format_duration,
    format_elapsed,
    parse_duration,
    parse_go_duration,
    plausible,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0, "0s"),
        (0.04, "0s"),
        (0.44, "0.4s"),
        (5, "5s"),
        (9.94, "9.9s"),
        (9.99, "10s"),
        (12.7, "12s"),
        (59.97, "1m"),
        (61, "1m01s"),
        (192, "3m12s"),
        (1800, "30m"),
        (7200, "2h"),
        (7500, "2h05m"),
        (7501, "2h05m"),
        (86400, "1d"),
        (93784, "1d02h"),
        (400 * 86400, "400d"),
        (math.nan, "0s"),
        (math.inf, "0s"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@given(st.floats(0.1, LONGEST))
def test_what_is_written_is_read_back_less_what_was_left_out(seconds):
    left_out = 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    assert seconds - left_out - 0.06 <= parse_duration(format_duration(seconds)) <= seconds + 0.06


def test_what_a_clock_set_anew_has_made_up_is_none():
    assert [format_elapsed(seconds) for seconds in (192, -5, 1.8e9)] == ["3m12s", "0s", "0s"]
    assert [plausible(seconds) for seconds in (1.5, -1, math.nan, math.inf, 1.8e9)] == [1.5, 0, 0, 0, 0]


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0:00"), (7, "0:07"), (723, "12:03"), (3723, "1:02:03")])
def test_clock(seconds, text):
    assert format_clock(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("768h0m0s", 2764800),
        ("1m30s", 90),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("1us", 1e-6),
        ("1\u00b5s1\u03bcs", 2e-6),
        ("30", None),
        ("", None),
        ("-1s", None),
        ("1m 30s", None),
        ("1d", None),
        ("s", None),
        ("\u0663s", None),
    ],
)
def test_go_durations(text, seconds):
    assert parse_go_duration(text) == (None if seconds is None else pytest.approx(seconds))
