"""No secret gets through, in any form in which programs print one; and what is not secret stays as it was."""

import base64
import json
import re
import urllib.parse

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import SHORTEST, Redactor, forms
from codex_runner.reports.escaping import html_text
from codex_runner.text.clean import clean, clean_line, code_points
from codex_runner.text.excerpts import one_line

MASK = b"***KEY***"

# Characters at which escapes, encodings and alignments differ; letters that are escapes themselves behind a backslash.
values = st.text(alphabet='abnu01/\\+ =%"\u00e9\u20ac\U0001f642\t', min_size=SHORTEST, max_size=20).filter(
    lambda text: len(text.strip()) >= SHORTEST
)
bits = st.binary(max_size=12)


def redactor(*secrets):
    return Redactor([Secret(f"KEY{n}" if n else "KEY", value) for n, value in enumerate(secrets)])


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"nothing here", b"nothing here"),
        (b"s3cret/key+1", MASK),
        (b"a s3cret/key+1 b s3cret/key+1", b"a " + MASK + b" b " + MASK),
        (b"s3cret/key+", b"s3cret/key+"),
        (b"S3CRET/KEY+1", b"S3CRET/KEY+1"),
        (b"s3cret%2Fkey%2B1", MASK),
        (b"s3cret%2fkey%2b1", MASK),
        (b"s3cret/key%2B1", MASK),
        (b"7333637265742f6b65792b31", MASK),
        (b"7333637265742F6B65792B31", MASK),
        (b"czNjcmV0L2tleSsx", MASK),
        (base64.b64encode(b"user:s3cret/key+1"), b"dXNlcjp" + MASK + b"E="),
        (base64.b64encode(b"us:s3cret/key+1@x"), b"dXM6" + MASK + b"QHg="),
    ],
)
def test_forms(data, masked):
    assert redactor("s3cret/key+1")(data) == masked


def test_json_within_json_within_json():
    text = 'a"pass\\word\'s"'
    for _ in range(4):
        assert redactor('a"pass\\word\'s"')(text.encode()).count(MASK) == 1
        text = json.dumps(text)


@pytest.mark.parametrize(
    ("secrets", "data", "masked"),
    [
        (("abcdefgh", "efghijkl"), b"<abcdefghijkl>", b"<***KEY***>"),
        (("abcdefgh", "cdefgh"), b"<abcdefgh cdefgh>", b"<***KEY*** ***KEY1***>"),
        (("abcdefgh", "abcdefghij"), b"<abcdefghij abcdefgh>", b"<***KEY1*** ***KEY***>"),
        (("ababababab",), b"<abababababab>", b"<***KEY***>"),
        (("first line\nsecond line\n",), b"first line\nsecond line\n", b"***KEY***"),
        (("first line\nsecond line\n",), b"second line", b"***KEY***"),
        (("first line\nsecond line\n",), b'"first line\\nsecond line\\n"', b'"***KEY***"'),
        (("short",), b"short", b"short"),
        (("  padded-secret\n",), b"padded-secret", b"***KEY***"),
    ],
)
def test_several(secrets, data, masked):
    assert redactor(*secrets)(data) == masked


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        (b"s3cret\x1b[m/key+1", MASK),
        (b"a \x1b[01;31m\x1b[Ks3cret\x1b[m\x1b[K/key+1 b", b"a \x1b[01;31m\x1b[K" + MASK + b" b"),
        (b"s3cret/\0key+\x071", MASK),
        ("s3cret\u200b/key\u00ad+1\ufeff".encode(), MASK + "\ufeff".encode()),
        (b"s3cret\x1b]8;;http://x\x07/key\x1b]8;;\x07+1", MASK),
        (b"s3cret \x1b[m/key+1", b"s3cret \x1b[m/key+1"),
        (b'{"t": "s3cret\\u001b[m/key+1"}', b'{"t": "' + MASK + b'"}'),
        (b'{"t": "{\\"s3cret\\\\u200d/key+1"}', b'{"t": "{\\"' + MASK + b'"}'),
        (b"at-0123\x1b[1m4567890123456789abcdef", b"***token***"),
    ],
)
def test_what_cannot_be_seen_hides_nothing(line, masked):
    made = redactor("s3cret/key+1")
    assert made(line) == masked
    assert made.found(line) == (MASK in masked)


# What terminals and reports drop, or do not show. Not what begins a title: where one ends that has no end is disputed.
shown = "\t\n\r\x85\x90\x98\x9d\x9e\x9f"
unseen = st.text(st.characters(categories=["Cc", "Cf"], exclude_characters=shown), max_size=3) | st.sampled_from(
    ["\x1b[31m", "\x1b[m\x1b[K", "\x1b]0;title\x07", "\x1b(B", "\x9b1m"]
)


@given(st.lists(unseen, min_size=11, max_size=11), unseen, st.booleans())
def test_whoever_shows_a_line_shows_no_secret(between, before, as_json):
    secret = "s3cret/key+1"
    text = before + "".join(char + dropped for char, dropped in zip(secret, [*between, ""], strict=True))
    made = redactor(secret)
    if as_json:
        masked = json.loads(made(json.dumps({"text": text}).encode()))["text"]
        assert masked == json.loads(made(json.dumps({"text": text}, ensure_ascii=False).encode()))["text"]
    else:
        masked = made.text(text)
    for shown in (clean_line(masked), clean(masked), one_line(masked), html_text(masked)):
        assert secret not in shown


def test_what_is_clean_is_not_even_copied():
    data = b"x" * 1000
    assert redactor("s3cret/key+1")(data) is data


def test_learning_later():
    made = redactor("s3cret/key+1")
    made.learn(Secret("LATER", "another-secret"))
    assert made(b"another-secret") == b"***LATER***"
    assert made.names == {"KEY", "LATER"}


def encodings(value, before, after):
    """What programs make of a secret, each computed in its own way; with what the neighbours are."""
    raw = value.encode()
    around = before + raw + after
    yield raw
    yield json.dumps(value).encode()
    yield json.dumps(value, ensure_ascii=False).encode()
    yield json.dumps(json.dumps(value)).encode()
    yield urllib.parse.quote(value, safe="").encode()
    yield urllib.parse.quote(value).encode()
    yield urllib.parse.quote_plus(value).encode()
    yield around.hex().encode()
    yield base64.b64encode(around)
    yield base64.urlsafe_b64encode(around)


@given(values, bits, bits, bits, bits)
def test_no_form_of_a_secret_is_left(value, before, after, left, right):
    made = redactor(value)
    for encoded in encodings(value, before, after):
        masked = made(left + encoded + right)
        assert b"***KEY***" in masked
        assert not made.found(masked)
        assert value.encode() not in masked
        for piece in masked.replace(b"-", b"+").replace(b"_", b"/").split(b"*"):
            for shift in range(4):
                assert value.encode() not in _decoded(piece[shift:])


def _decoded(text):
    """What a decoder that takes anything makes of it."""
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
    digits = digits[: len(digits) // 4 * 4]
    return base64.b64decode(digits)


@given(st.lists(values, min_size=1, max_size=5), st.lists(st.integers(0, 4) | bits, max_size=8))
def test_many_secrets_side_by_side_and_overlapping(secrets, parts):
    made = redactor(*secrets)
    data = b"".join(secrets[part % len(secrets)].encode() if isinstance(part, int) else part for part in parts)
    masked = made(data)
    assert not made.found(masked)
    assert made(masked) == masked
    if not made.found(data):
        assert masked == data


@given(values, st.data())
def test_json_stays_json(value, data):
    assume('"' not in value)
    made = redactor(value)
    # The secret, and what is almost it: its own first letter as the second half of an escape, its last as the first.
    tail = {"n": "\n", "u": "\\u", "t": "\t"}.get(value[0], "") + value[1:]
    text = st.text(max_size=5) | st.sampled_from(
        [value, tail, value[:-1] + "\n", f"\\{value}", f'"{value}"', f"{value}\\"]
    )
    strings = st.lists(text, max_size=4).map("".join)
    document = data.draw(
        st.dictionaries(strings, st.recursive(strings | st.integers() | st.none(), st.lists, max_leaves=4), max_size=3)
    )
    for ascii_only in (True, False):
        line = json.dumps(document, ensure_ascii=ascii_only).encode()
        masked = made(line)
        assert not made.found(masked)
        assert all(value not in text for text in _strings(json.loads(masked)))


def _strings(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("nine-lives", "a\nine-lives"),
        ("abcdef\\", 'abcdef"'),
        ("0041bcd", "\x00\x41bcd\u0041"),
        ("u00e9xyz", "\u00e9xyz"),
    ],
)
def test_an_escape_is_never_cut_in_two(secret, text):
    line = json.dumps({"type": "error", "message": text}).encode()
    assert json.loads(redactor(secret)(line))["type"] == "error"


def test_a_number_that_is_a_secret():
    assert json.loads(redactor("123456")(b'{"pin":123456,"n":[1234567]}')) == {"pin": "***KEY***", "n": ["***KEY***"]}


def test_many_finds_in_one_line_take_their_time_and_no_more():
    """Each of these took time in proportion to the square of what it finds."""
    count = 40_000
    numbers = b"[" + b",".join([b"123456"] * count) + b"]"
    assert redactor("123456")(numbers) == b"[" + b",".join([b'"***KEY***"'] * count) + b"]"
    text = json.dumps(["\nine-lives" * count]).encode()
    assert redactor("nine-lives")(text) == json.dumps(["***KEY***" * count]).encode()
    tokens = b" glpat-0123456789012345678901 s3cret/key+1" * count
    assert redactor("s3cret/key+1")(tokens) == b" ***token*** ***KEY***" * count


@pytest.mark.parametrize("beginning", ["\x90", "a\x9d", "\x1b]", "\x1bPa", "\\u0090", "\\u001b]", "a\u200b"])
def test_many_beginnings_of_titles_without_an_end(beginning):
    """A row of the first took minutes a megabyte: each looked for its end behind all others."""
    row = beginning * (300_000 // len(beginning))
    assert redactor("s3cret/key+1").text(f"{row}s3cret/key+1") == f"{row}***KEY***"
    assert "s3cret" not in clean(row)


def test_what_is_not_json_is_masked_all_the_same():
    assert redactor("abcdef\\")(b'{"torn": "abcdef\\') == b'{"torn": "***KEY***'


def test_a_key_without_an_end_is_a_key_whatever_follows_it():
    key = b"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n"
    assert redactor()(key + key) == b"***token***" * 2
    assert redactor("s3cret/key+1")(b'{"t": "' + key + b's3cret/key+1 x", "u": 1}') == b'{"t": "***token***", "u": 1}'


def test_text():
    assert redactor("s3cret/key+1").text("é s3cret/key+1 \ud800") == "é ***KEY*** \ud800"


def test_forms_are_long_enough_to_mean_something():
    assert min(map(len, forms("abcdef"))) >= SHORTEST


@pytest.mark.parametrize("unseen", ["\x1b[0m", "\x07", "\u200b", "\x1b[01;31m\x1b[K"])
@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize("secret", ["pass\\word-123", "pass-word-\\\\123", "\\pass-word-123x"])
def test_a_backslash_before_what_is_unseen_is_the_secrets_own(secret, times, unseen):
    redactor = Redactor([Secret("KEY", secret)])
    for at in range(1, len(secret)):
        text = f"{secret[:at]}{unseen}{secret[at:]}"
        for _ in range(times):
            text = json.dumps(text)
        assert "***KEY***" in redactor.text(text), (at, text)


def test_every_character_of_the_table_of_invisible_text_hides_nothing():
    """As it is and as JSON escapes it, once or twice: what a reader does not see keeps no secret apart."""
    made = redactor("s3cret/key+1")
    for point in code_points():
        for hidden in (chr(point), json.dumps(chr(point))[1:-1], json.dumps(json.dumps(chr(point)))[3:-3]):
            assert made(f"<s3cret{hidden}/key+1>".encode()) == b"<" + MASK + b">", f"U+{point:04X}"
