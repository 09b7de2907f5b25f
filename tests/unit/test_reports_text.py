from __future__ import annotations

import time
import xml.parsers.expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.reports.text import (
    clean,
    counted,
    duration,
    first_lines,
    one_line,
    size,
    tail,
    utc,
    without_attachments,
)

any_text = st.text(st.characters(), max_size=200)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended\nkept", "0;never ended\nkept"),
        ("10%\r20%\r\ndone\r\n", "10%\n20%\ndone\n"),
        ("a\x00b\x08c\x7f\x9b2Jd", "abcd"),
        ("tab\tstays", "tab\tstays"),
        ("\ud800 \ufffe \ufdd0 \U0001ffff", "\ufffd \ufffd \ufffd \ufffd"),
        ("\x1b(B\x1b=\x1bMx", "x"),
        ("a\u202eb\u200bc", "a⟨U+202E⟩b⟨U+200B⟩c"),
    ],
)
def test_clean(raw, cleaned):
    assert clean(raw) == cleaned


@given(any_text)
def test_what_is_clean_is_xml_and_stays_as_it_is(text):
    cleaned = clean(text)
    escaped = cleaned.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    xml.parsers.expat.ParserCreate().Parse(f"<a>{escaped}</a>".encode(), True)
    assert "\r" not in cleaned


def test_hostile_escapes_cost_linear_time():
    began = time.monotonic()
    clean("\x1b]" * 200_000 + "\x1b[" + "0;" * 500_000)
    assert time.monotonic() - began < 30


def test_tail_keeps_the_end_and_tells_how_much_is_gone():
    text = "".join(f"line {n}\n" for n in range(1000))
    short = tail(text, 100)
    assert short.endswith("line 998\nline 999\n")
    assert short.startswith("[the first 8,791 bytes")
    assert len(short.partition("\n")[2].encode()) <= 100
    assert tail("short", 100) == "short"


@given(any_text, st.integers(0, 300))
def test_tail_never_breaks_a_character(text, limit):
    whole, short = clean(text), tail(text, limit)
    kept = short if len(whole.encode()) <= limit else short.partition("\n")[2]
    assert whole.endswith(kept)
    assert len(kept.encode()) <= limit


def test_first_lines():
    assert first_lines("a\nb\nc", 2, 100) == "a\nb\n…"
    assert first_lines("a\nb\n", 2, 100) == "a\nb"
    assert first_lines("x" * 50, 2, 10) == "x" * 10 + "\n…"


def test_one_line():
    assert one_line(" a\n\x1b[1mb\t c ") == "a b c"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"


@given(any_text)
def test_no_attachment_survives(text):
    mark = f"[[attachment|{text}]]"
    assert "[[attachment|" not in without_attachments(mark).lower()


def test_time_and_size_as_people_say_them():
    assert utc(1_767_323_045.2504) == "2026-01-02T03:04:05.250Z"
    assert utc(1_767_323_045.9999) == "2026-01-02T03:04:06.000Z"
    assert [duration(s) for s in (0, 12.4, 59.7, 200, 7500, 7200)] == [
        "0.0 s",
        "12 s",
        "1 min",
        "3 min 20 s",
        "2 h 5 min",
        "2 h",
    ]
    assert [counted(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert [size(n) for n in (0, 999, 1000, 999_960, 2_500_000_000)] == ["0 B", "999 B", "1.0 kB", "1.0 MB", "2.5 GB"]
