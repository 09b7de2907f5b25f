"""A line that is too long to be held is redacted as one that is not, wherever it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor
from codex_runner.redaction.stream import StreamRedactor

SECRET = "s3cret/key+1"
KEYS = [Secret("KEY", SECRET), Secret("OTHER", "abababab"), Secret("LONG", "long-" * 20)]
SHAPE = "at-0123456789abcdefghijklmnop"
KEY_BEGINS = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n"

# The smallest with which all shapes are seen.
OVERLAP = 256


def streamed(pieces, *, window=64, secrets=KEYS, overlap=OVERLAP):
    stream = StreamRedactor(Redactor(secrets), window=window, overlap=overlap)
    return b"".join([*map(stream.feed, pieces), stream.finish()])


def whole(data, secrets=KEYS):
    out, done = [], 0
    for start, end, mask in Redactor(secrets).spans(data):
        out += [data[done:start], mask]
        done = end
    return b"".join([*out, data[done:]])


parts = st.sampled_from(
    [
        *(SECRET, "abababab", "long-" * 20, SHAPE, "s3cret\x1b[m/key+1", "s3cret\u200b/key+1", "task-01"),
        *('"', "\\n", " ", "sk-", KEY_BEGINS, "-----END PRIVATE KEY-----", "aé€", "x" * 90, "ab" * 50),
    ]
) | st.text(max_size=8)


@given(st.lists(parts, max_size=60), st.integers(1, 200), st.integers(1, 300))
def test_a_long_line_is_redacted_as_a_short_one(texts, piece, window):
    data = "".join(texts).encode("utf-8", "replace")
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    masked = streamed(pieces, window=window)
    if KEY_BEGINS in texts:  # a key has no end in sight: in doubt more of it is masked than if the whole line is seen
        assert not Redactor(KEYS).found(masked)
        assert b"MIIE" not in masked
    else:
        assert masked == whole(data)


@pytest.mark.parametrize("before", range(60, 70))
@pytest.mark.parametrize("printed", [SECRET, "s3cret\x1b[01;31m/key\x1b[m+1", SHAPE])
def test_a_secret_that_straddles_a_window(before, printed):
    data = b"y" * before + b" " + printed.encode() + b" " + b"z" * 500
    masked = streamed([data[:64], data[64:128], data[128:]])
    assert masked == whole(data)
    assert b"***" in masked


def test_what_has_no_end_is_masked_to_its_end():
    endless = b"ab" * 10_000
    assert streamed([b"<", *[endless] * 3, b">"]) == b"<***OTHER***>"
    token = b" sk-0" + b"x" * 5000
    assert streamed([token, b"x" * 5000, b'" y']) == b' ***token***" y'
    key = KEY_BEGINS.encode() + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n" * 300
    assert streamed([key, key[40:] + b"-----END PRIVATE KEY----- y"]) == b"***token*** y"


def test_a_secret_that_is_longer_than_the_overlap():
    secret = Secret("HUGE", "".join(chr(33 + n * 7 % 90) for n in range(3000)))
    data = b"x" * 100 + secret.reveal().encode() + b"y" * 100
    for at in range(0, len(data), 97):
        assert b"***HUGE***" in streamed([data[:at], data[at:]], secrets=[secret])
        assert secret.reveal()[1500:].encode() not in streamed([data[:at], data[at:]], secrets=[secret])


def test_what_is_no_secret_stays_byte_for_byte():
    data = bytes(range(256)) * 1000
    assert streamed([data[at : at + 999] for at in range(0, len(data), 999)], window=10_000) == data
    assert streamed([]) == b""
