"""Sequences that a reader drops, and that hold what JSON escapes: none of them keeps a secret apart."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.clean import clean, clean_line
from codex_runner.text.excerpts import one_line

SECRET = "s3cret/key+1"
REDACTOR = Redactor([Secret("KEY", SECRET)])

HIDING = {
    "a title with a quote in it": '\x1b]0;a"b\x07',
    "a title with a backslash in it": "\x1b]0;a\\b\x07",
    "a title with a tab in it": "\x1b]0;a\tb\x07",
    "a title that ends in a backslash": "\x1b]0;a\\\x07",
    "a title of 4,096 joiners": "\x1b]0;" + "\u2060" * 4094 + "\x07",
    "a title of 4,096 faces": "\x1b]0;" + "\U0001f600" * 4094 + "\x07",
    "a title that a C1 begins and a bell ends": '\x9d0;"\x07',
    "a title that an escape begins and a C1 ends": '\x1b]0;"\x9c',
    "a link": '\x1b]8;;http://x/"\x1b\\',
    "a device string": '\x1bP$q"p\x1b\\',
    "an end of no title": "\x1b\\",
    "an escape with a quote in it": '\x1b"a',
    "a control sequence with a quote in it": '\x1b[1"q',
    "a control sequence that ends in a backslash": "\x1b[1\\",
    "a control sequence of a C1 with a quote in it": '\x9b1"q',
    "a title before a title": '\x1b]0;\x1b]0;"\x07',
    "many titles": '\x1b]0;"\x07\x9d0;\\\x9c' * 20,
    "a title that is too long, of what is not to be seen": '\x1b]0;"\x07\x1b]' + "\u200b" * 4100,
}


def shows_no_secret(text, layers, *, ascii_only=True):
    """Whether no reader of the text shows the secret, however many layers of JSON are around it."""
    written = text
    for _ in range(layers):
        written = json.dumps({"t": written, "u": 1}, ensure_ascii=ascii_only)
    masked = REDACTOR.text(written)
    found = REDACTOR.found(written.encode())
    for _ in range(layers):
        masked = json.loads(masked)["t"]
    shown = SECRET in clean_line(text) or SECRET in clean(text)
    assert found or not shown
    return all(SECRET not in each for each in (clean_line(masked), clean(masked), one_line(masked)))


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("way", HIDING)
def test_a_sequence_with_what_json_escapes(way, layers, ascii_only):
    for at in (1, 6, 11):
        text = f"<{SECRET[:at]}{HIDING[way]}{SECRET[at:]}>"
        assert shows_no_secret(text, layers, ascii_only=ascii_only)


pieces = st.sampled_from(
    ["\x1b", "]0;", "P", "[1", '"', "\\", "q", "\x9d", "\x9c", "\x07", "\x1b\\", "\n", "\u200b", "\t"]
)
hiding = st.lists(pieces, max_size=8).map("".join)


@given(st.lists(hiding, min_size=4, max_size=4), st.integers(0, 2), st.booleans())
@example(["\x9d0;", "", "", ""], 1, False)
def test_whatever_is_dropped_hides_nothing(between, layers, ascii_only):
    text = between[0] + SECRET[:4] + between[1] + SECRET[4:8] + between[2] + SECRET[8:] + between[3]
    assert shows_no_secret(text, layers, ascii_only=ascii_only)


def test_a_string_ends_each_sequence():
    """What stands in the next string is no part of a title without an end: it is read as it is."""
    line = json.dumps({"a": 's3cret\x1b]0;"\x07/key\x1b]+1', "b": "x\x07"})
    assert json.loads(REDACTOR.text(line)) == {"a": "***KEY***", "b": "x\x07"}
