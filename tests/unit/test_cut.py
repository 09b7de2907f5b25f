"""A cut of what is not redacted yet halves no word, and so no secret."""

import pytest

from codex_runner.domain.cut import end_of
from codex_runner.domain.host import Completed


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
