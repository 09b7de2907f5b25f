"""Foreign text made clean: for logs, for reports, for messages of one line. The table has tests of its own."""

import time
import xml.parsers.expat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import ATTACKS

from codex_runner.text.clean import clean, clean_line, escape_unprintable, without_attachments
from codex_runner.text.excerpts import first_line, log_head, log_tail

any_text = st.text(st.characters(), max_size=200)


@pytest.mark.parametrize(
    ("text", "cleaned"),
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
def test_a_line_is_made_clean(text, cleaned):
    assert clean_line(text) == cleaned


@given(st.text(alphabet=st.sampled_from("#[a]:\x1b\x9b\x9d\x07\r\t\u200b\u2028\ud800m0;\\ é")))
def test_no_line_keeps_what_commands(text):
    line = clean_line(text)
    assert "##[" not in line
    assert not set(line) & set("\x1b\x9b\x9d\x07\r\n\t\u200b\u2028\ud800")
    assert clean_line(line) == line


@pytest.mark.parametrize("attack", ATTACKS)
def test_known_attacks_become_text(attack):
    line = first_line(attack)
    assert line.isprintable() or "\u2003" in line
    assert "##[" not in line


@pytest.mark.parametrize("unit", ["\x1b[", "\x1b]0;", "\x9d", "\x1bP", "\x9b1;", "##", "\r", "\x1b"])
def test_a_hostile_megabyte_costs_little(unit):
    text = unit * (1_000_000 // len(unit))
    started = time.perf_counter()
    log_tail(text, 40)
    log_head(text, 40)
    first_line(text)
    assert time.perf_counter() - started < 10


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
def test_a_report_is_clean(raw, cleaned):
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


@given(any_text)
def test_no_attachment_survives(text):
    mark = f"[[attachment|{text}]]"
    assert "[[attachment|" not in without_attachments(mark).lower()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("plain é", "plain é"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\u202e", "\\u202e"), ("\ud800", "\\ud800")],
)
def test_what_cannot_be_printed_is_escaped(text, escaped):
    assert escape_unprintable(text) == escaped
