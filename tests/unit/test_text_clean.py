"""The one table of invisible characters, and all that must agree on it."""

import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import codex_runner
from codex_runner.redaction import unseen
from codex_runner.text.clean import (
    BLANKS,
    ESCAPES,
    ESCAPES_IN_UTF8,
    INVISIBLE,
    JOINERS,
    clean_line,
    code_points,
    is_blank,
)
from codex_runner.text.clean import clean as report

EVERY = [chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000]
HIDDEN = re.findall(f"[{INVISIBLE}]", "".join(EVERY))
JOINING = re.findall(f"[{JOINERS}]", "".join(EVERY))
LINE_ENDS = "\u2028\u2029"


def test_what_must_be_in_it():
    assert {"\u180e", *map(chr, range(0xE0000, 0xE0080))} <= set(HIDDEN)
    assert {"\u00ad", "\u061c", "\u200b", "\u200e", "\u200f", "\u202e", "\u2066", "\u2060", "\ufeff"} <= set(HIDDEN)


def test_logs_drop_what_reports_name():
    for character in HIDDEN:
        assert clean_line(f"a{character}b") == "ab"
        if character not in LINE_ENDS:
            assert report(f"a{character}b") == f"a\u27e8U+{ord(character):04X}\u27e9b"


def test_the_redactor_looks_past_what_logs_drop():
    """What a log drops brings together what stood apart: a secret with it inside must be found."""
    for character in [*HIDDEN, *JOINING]:
        data = f"a{character}b".encode()
        assert unseen.joints(data, b"ab", controls=False), f"U+{ord(character):04X} hides a secret"
    assert not unseen.joints("aéb".encode(), b"ab", controls=False)


def test_honest_text_stays():
    for text in ("naïve “quotes” 日本語 العربية", "❤️ 👩‍💻", "می‌خواهم"):
        assert clean_line(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\r\x0b\x0c",
        "\u00a0\u2003\u3000\u202f",
        "\u200b",
        "\u200b\u200c\u200d\u2060\ufeff \n",
        "\u00ad\u061c\u180e\u202e\u2066\u206f",
        "\u3164\u115f\uffa0",
        "\u2800\u2800",
        "\ufe0f\u034f\U000e0100",
        "".join(map(chr, range(0xE0000, 0xE0080))),
        "\x00\x07\x7f\x85\x9b",
        "\ud800",
        "\x1b[0m\x1b[31m \x1b]0;a title\x07",
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_text_that_shows_nothing_is_blank(text):
    assert is_blank(text)
    assert not is_blank(f"{text}.")


def test_every_character_of_the_table_is_blank():
    for character in re.findall(f"[{INVISIBLE}{JOINERS}{BLANKS}]", "".join(EVERY)):
        assert is_blank(character), f"U+{ord(character):04X}"


@pytest.mark.parametrize(
    "text", [".", "0", "\u200b-", "é", "日", "👍", "\u0301", "\u2801", "{}", "[0m", "\x1b]0;never ended"]
)
def test_text_that_shows_something_is_not(text):
    assert not is_blank(text)


@given(st.text())
def test_what_python_takes_for_space_is_blank(text):
    assert is_blank(text) or text.strip()


def test_no_other_module_has_a_table_of_its_own():
    """Characters of the table, spelt as escapes, stand in the table alone; ends of lines are no secret of it."""
    known = {f"{point:04x}" for point in code_points()} - {"2028", "2029"}
    spelt = re.compile(r"\\[uU](?:000)?([0-9a-fA-F]{4,5})")
    found = {
        (path.name, each.lower())
        for path in Path(codex_runner.__file__).parent.rglob("*.py")
        if path.name != "clean.py"
        for each in spelt.findall(path.read_text())
        if each.lower() in known
    }
    marks = {(name, "feff") for name in ("secret_reading.py", "schema.py", "values.py", "record.py")}
    variants = {("neutral.py", "fe0e"), ("neutral.py", "fe0f")}  # those that choose an emoji's look may stay there
    assert found <= marks | variants, "a byte order mark is a rule by itself"
    for path in Path(codex_runner.__file__).parent.rglob("*.py"):
        assert path.name == "clean.py" or "[@-~]" not in path.read_text(), "terminal escapes are in the table too"


SEQUENCES = [
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x1b\\",
    "\x9b",
    "\x9d",
    "\x90",
    "\x9c",
    "\x07",
    '"',
    "\\",
    "1;1",
    "m",
    "\u200b",
    "\xa9",
]


@given(st.lists(st.sampled_from(SEQUENCES) | st.text(max_size=3)).map("".join))
@example("\x1b]0;" + "\u200b" * 4096 + "\x07")
@example("\x1b]0;" + "\u200b" * 4097 + "\x07")
@example("\x9b" + "0" * 65 + "m")
def test_escapes_are_the_same_in_bytes(text):
    assert ESCAPES_IN_UTF8.sub(b"", text.encode()) == ESCAPES.sub("", text).encode()
