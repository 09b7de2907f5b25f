"""Excerpts: what is kept, what is said of the rest, and that no cut halves a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.host import Completed
from codex_runner.text.clean import clean
from codex_runner.text.excerpts import (
    cut,
    end_of,
    first_line,
    first_lines,
    last_lines,
    log_head,
    log_tail,
    one_line,
    shorten,
    tail,
)

any_text = st.text(st.characters(), max_size=200)


def test_of_several_lines_the_first_that_says_something_stands_for_all():
    assert first_line("\n\n first\nsecond\n\nthird\n") == "first … (+2 lines)"
    assert first_line("a\nb") == "a … (+1 line)"
    assert first_line("only\n") == "only"
    assert first_line("\n \n") == ""


def test_a_tail_says_what_it_leaves_out():
    assert log_tail("1\n2\n3\n4\n", 2) == ("… 2 lines before", "3", "4")
    assert log_tail("1\n2\n", 2) == ("1", "2")
    assert log_tail("", 2) == ()
    assert log_tail("\n\n", 2) == ()


def test_a_head_says_what_it_leaves_out():
    assert log_head("1\n2\n3\n4\n", 2) == ("1", "2", "… 2 more lines")
    assert log_head("\n1\n2\n", 2) == ("1", "2")


def test_a_cut_line_has_the_width_and_says_how_much_is_gone():
    assert cut("x" * 50, 50) == "x" * 50
    line = cut("x" * 5000, 50)
    assert len(line) == 50
    assert line.endswith(" …+4,950")


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


def test_last_lines():
    assert last_lines("a\nb\nc\n", 2) == "[1 line before]\nb\nc"
    assert last_lines("a\nb", 2) == "a\nb"


def test_a_text_that_is_too_long_is_shortened():
    assert [shorten("abcde", limit) for limit in (5, 4)] == ["abcde", "abc…"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("short\n", "short"),
        ("x" * 10, "x" * 10),
        ("x" * 11, ""),
        ("abcdef ghijkl", "ghijkl"),
        ("abcdefg\nhi kl", "hi kl"),
        ("ab cdefghij", "cdefghij"),
        ("abc 012345678", "012345678"),
        ("ab 0123456789", "0123456789"),
        ("ab 01234567890", ""),
    ],
)
def test_the_end_of_a_text(text, end):
    assert end_of(text, 10) == end


def test_last_words_hold_no_half_of_a_secret():
    secret = "s3cret" * 20
    for length in range(350, 520):
        assert "s3cret" not in Completed(1, f"{secret}{secret} {'x' * length}".encode(), 0.0).last_words
