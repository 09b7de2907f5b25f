"""Dates: in UTC, to the second or the millisecond, and read back."""

import math
import time

import pytest

from codex_runner.text.dates import (
    format_date,
    format_day,
    format_instant,
    format_local_minute,
    format_minute,
    numeric_date,
    parse_date,
    parse_day_or_date,
)

MOMENT = 1_767_323_045.2504  # 2026-01-02T03:04:05.2504Z


def test_dates_are_written_in_utc():
    assert format_date(MOMENT) == "2026-01-02T03:04:05Z"
    assert format_instant(MOMENT) == "2026-01-02T03:04:05.250Z"
    assert format_instant(MOMENT + 0.7495) == "2026-01-02T03:04:06.000Z"
    assert format_day(MOMENT) == "2026-01-02"
    assert format_minute(MOMENT) == "2026-01-02 03:04 UTC"


def test_a_person_reads_the_time_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "XXX-2")
    time.tzset()
    try:
        assert format_local_minute(MOMENT) == "2026-01-02 05:04"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_written_is_read_back():
    assert parse_date(format_date(MOMENT)) == int(MOMENT)
    assert parse_date(format_instant(MOMENT)) == pytest.approx(MOMENT, abs=0.001)
    assert parse_day_or_date("2026-01-02") == parse_date("2026-01-02T00:00:00Z")
    assert parse_day_or_date("2026-01-02T01:00:00+01:00") == parse_date("2026-01-02T00:00:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"])
def test_what_is_no_date_with_a_zone(text):
    with pytest.raises(ValueError, match="2026-01-31T12:00:00Z"):
        parse_date(text)


def test_dates_of_a_jwt():
    assert numeric_date(None) is None
    assert numeric_date(1_767_323_045) == 1_767_323_045.0
    for wrong in ("2026", True, -1, math.nan, math.inf, 1_767_323_045_000, [1]):
        with pytest.raises(ValueError, match="no date in seconds since 1970"):
            numeric_date(wrong)
