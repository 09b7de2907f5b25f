import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import ATTACKS

from codex_runner.domain.command_line import command_text
from codex_runner.sinks.foreign import (
    clean_line,
    clock,
    cut,
    duration,
    first_lines,
    last_lines,
    one_line,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        (" 10%\r 50%\r100%", "100%"),
        ("100%\r", "100%"),
        ("windows\r\r", "windows"),
        ("a\tb", "a   b"),
        ("bell\x07 back\x08 nul\x00", "bell back nul"),
        ("\u202egnp.exe", "gnp.exe"),
        ("half \ud800", "half "),
        ("##[error]x", "# #[error]x"),
        ("a ##vso[task.x]", "a # #vso[task.x]"),
        ("## heading", "## heading"),
        ("###[x]", "## #[x]"),
        ("größe → 日本 👍", "größe → 日本 👍"),
        ("unfinished \x1b]0;title", "unfinished 0;title"),
    ],
)
def test_a_line_is_made_clean(text, clean):
    assert clean_line(text) == clean


@given(st.text(alphabet=st.sampled_from("#[a]:\x1b\x9b\x9d\x07\r\t\u200b\u2028\ud800m0;\\ é")))
def test_no_line_keeps_what_commands(text):
    line = clean_line(text)
    assert "##[" not in line
    assert not set(line) & set("\x1b\x9b\x9d\x07\r\n\t\u200b\u2028\ud800")
    assert clean_line(line) == line


@pytest.mark.parametrize("attack", ATTACKS)
def test_known_attacks_become_text(attack):
    line = one_line(attack)
    assert line.isprintable() or "\u2003" in line
    assert "##[" not in line


@pytest.mark.parametrize("unit", ["\x1b[", "\x1b]0;", "\x9d", "\x1bP", "\x9b1;", "##", "\r", "\x1b"])
def test_a_hostile_megabyte_costs_little(unit):
    text = unit * (1_000_000 // len(unit))
    started = time.perf_counter()
    last_lines(text, 40)
    first_lines(text, 40)
    one_line(text)
    assert time.perf_counter() - started < 10


def test_of_several_lines_the_first_that_says_something_stands_for_all():
    assert one_line("\n\n first\nsecond\n\nthird\n") == "first … (+2 lines)"
    assert one_line("only\n") == "only"
    assert one_line("\n \n") == ""


def test_a_tail_says_what_it_leaves_out():
    assert last_lines("1\n2\n3\n4\n", 2) == ("… 2 lines before", "3", "4")
    assert last_lines("1\n2\n", 2) == ("1", "2")
    assert last_lines("", 2) == ()
    assert last_lines("\n\n", 2) == ()


def test_a_head_says_what_it_leaves_out():
    assert first_lines("1\n2\n3\n4\n", 2) == ("1", "2", "… 2 more lines")
    assert first_lines("\n1\n2\n", 2) == ("1", "2")


def test_a_cut_line_has_the_width_and_says_how_much_is_gone():
    assert cut("x" * 50, 50) == "x" * 50
    line = cut("x" * 5000, 50)
    assert len(line) == 50
    assert line.endswith(" …+4,950")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/bin/bash -lc 'echo tests ok'", "echo tests ok"),
        ("/bin/bash -lc ls", "ls"),
        ('/usr/bin/zsh -lc "it\'s"', "it's"),
        ("bash -c 'a\nb'", "a\nb"),
        ("/bin/bash -lc 'open", "'open"),
        ("/bin/bash -lc 'a' b", "/bin/bash -lc 'a' b"),
        ("git status", "git status"),
        ("/bin/bash script.sh", "/bin/bash script.sh"),
    ],
)
def test_the_wrapping_shell_is_taken_away(command, text):
    assert command_text(command) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (9.99, "10.0s"), (12.7, "12s"), (192, "3m12s"), (7500, "2h05m")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0:00"), (7, "0:07"), (723, "12:03"), (3723, "1:02:03")])
def test_clock(seconds, text):
    assert clock(seconds) == text
