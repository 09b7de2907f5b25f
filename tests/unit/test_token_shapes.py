"""What looks like a token is masked without being known; what does not is left alone; many needles change nothing."""

import base64
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor, forms

# Put together here, so that no scanner takes this file for a leak.
HEX = "0123456789abcdef" * 4
TOKENS = [
    "at-" + HEX[:40],
    "sk-proj-" + HEX[:40],
    "hvs." + "CAESIJ" + HEX[:40],
    "s." + "aB3" + HEX[:21],
    "ghp_" + HEX[:36],
    "gho_" + HEX[:36],
    "github_pat_" + HEX[:22] + "_" + HEX[:59],
    "glpat-" + HEX[:20],
    "AKIA" + "IOSFODNN7EXAMPLE",
    "xoxb-" + "1234567890-" * 2 + HEX[:24],
    ".".join(
        base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (b'{"alg":"RS256"}', b'{"sub":"me"}', b"s" * 32)
    ),
]
BEGIN, END = (f"-----{word} OPENSSH PRIVATE KEY-----" for word in ("BEGIN", "END"))
KEY = f"{BEGIN}\n{HEX}\n{HEX}\n{END}"


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "token={}", '"{}"', "Bearer {}, and more", "a\n{}\nb", "https://u:{}@host/"])
def test_tokens_nobody_told_of(token, around):
    text = around.format(token)
    assert Redactor().text(text) == around.format("***token***")
    line = json.dumps({"type": "x", "message": text})
    assert json.loads(Redactor().text(line))["message"] == around.format("***token***")


@pytest.mark.parametrize("text", [KEY, f"a {KEY} b", f"{BEGIN}\n{HEX}"])
def test_private_keys(text):
    masked = Redactor().text(text)
    assert HEX not in masked
    assert masked == text[: text.index("-----")] + "***token***" + text.partition(END)[2]
    line = json.loads(Redactor().text(json.dumps({"message": text, "next": "kept"})))
    assert HEX not in line["message"]
    assert line["next"] == "kept"


@pytest.mark.parametrize(
    "text",
    [
        "01a1fc9f-2a74-7262-9e8f-3ac41dfce7bc",
        HEX,
        "look-at-the-configuration-of-the-runner-2-times",
        "task-0123456789-abcdefghijklmnopqrstuvwxyz",
        "/usr/lib/python3.11/site-packages/sk-learn",
        "s.does_something_with_a_long_name",
        "self.assertEqual(self.something.else_that_is_long_enough, 1)",
        "-----BEGIN CERTIFICATE-----" + HEX,
        "the words PRIVATE KEY----- alone",
        "sha256-" + HEX,
        "pkg:npm/%40openai/codex@0.169.0",
    ],
)
def test_what_is_no_token(text):
    assert Redactor().text(text) == text


def test_a_known_secret_keeps_its_name():
    token = TOKENS[0]
    assert Redactor([Secret("CODEX_ACCESS_TOKEN", token)]).text(f"x {token} y") == "x ***CODEX_ACCESS_TOKEN*** y"


@given(
    st.lists(st.text("abAB01+/=_-% ", min_size=6, max_size=40), min_size=12, max_size=20),
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 9)) | st.text("ab01+/-_ %\n", max_size=30), max_size=8),
)
def test_many_secrets_are_found_as_one_is(values, parts):
    """The short cut for many needles finds what looking for each of them finds."""
    many = Redactor([Secret(f"K{n}", value) for n, value in enumerate(values)])
    data = b"".join(
        part.encode() if isinstance(part, str) else _form(values[part[0] % len(values)], part[1]) for part in parts
    )
    each = {
        f"K{n}" for n, value in enumerate(values) for text in {value, value.strip()} if len(text) >= 6
        for form in forms(text) if form in data
    }  # fmt: skip
    assert many.found(data) == bool(each)
    assert many.names_in(data) <= each
    assert not many.found(many(data))


def _form(value, number):
    every = sorted(forms(value))
    return every[number % len(every)]


def test_many_needles_cost_little_more_than_one():
    line = json.dumps(
        {"type": "x", "text": "some words of a log, /usr/lib/python3/dist-packages and 0x7ffd " * 500}
    ).encode()

    def calls(redactor):
        """Count the calls, those of patterns among them: one pass over the line is one call, whatever it looks for."""
        redactor(line)  # patterns are made at the first use
        made = []
        sys.setprofile(lambda _frame, event, _of: made.append(event) if event in {"call", "c_call"} else None)
        try:
            redactor(line)
        finally:
            sys.setprofile(None)
        return len(made)

    one, many = (Redactor([Secret(f"K{n}", f"at-{n:03}{HEX[:40]}") for n in range(count)]) for count in (1, 60))
    assert calls(many) < 3 * calls(one)
