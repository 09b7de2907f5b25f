"""What is read from a forge's answer: its words, its values, and whether it asks to wait."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.delivery.answer import Answer, MalformedError, take, take_link, take_text
from codex_runner.delivery.github_tokens import GitHubTokenKind, refused_remedy, token_kind
from codex_runner.delivery.limits import is_limited, is_passing, wait_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["message", "error", "errors", "code", "x"]), inner)
    ),
)


def answer(document, status=422, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"message": "Not Found"}, "Not Found"),
        ({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom", "message": "No."}]},
         "Validation Failed; No."),
        ({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}]},
         "Validation Failed; PullRequest head invalid"),
        ({"message": "x", "errors": ["Review cannot be requested"]}, "x; Review cannot be requested"),
        ({"message": ["Another open merge request"]}, "Another open merge request"),
        ({"message": {"title": ["can't be blank"]}}, "title: can't be blank"),
        ({"error": "insufficient_scope", "error_description": "more"}, "insufficient_scope; more"),
        ({"errors": [{"type": "FORBIDDEN", "message": "no"}]}, "no"),
        ([], ""), ("text", ""), (None, ""), ({"message": 1}, ""),
    ],
)  # fmt: skip
def test_the_words_of_a_failure(document, words):
    assert answer(document).words == words


@given(JSON, st.sampled_from([200, 403, 422, 500]))
def test_no_answer_is_too_strange(document, status):
    strange = answer(document, status)
    assert isinstance(strange.words, str)
    is_passing(strange)
    wait_of(strange)
    refused_remedy(strange)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_what_is_no_json(content):
    assert Answer(200, {}, content).document is None
    assert Answer(200, {}, content).words == ""


def test_values_are_taken_or_refused():
    document = {"a": {"b": "c", "n": None, "i": 1, "t": True, "l": "https://x"}}
    assert take(document, str, "a", "b") == "c"
    assert take_text(document, "a", "n") == ""
    assert take_link(document, "a", "l") == "https://x"
    for kind, path in ((str, ("a", "x")), (str, ("x", "b")), (int, ("a", "t")), (int, ("a", "b")), (str, ("a", "n"))):
        with pytest.raises(MalformedError):
            take(document, kind, *path)
    with pytest.raises(MalformedError, match="no address"):
        take_link(document, "a", "b")


@pytest.mark.parametrize(
    ("status", "message", "headers", "limited"),
    [
        (403, "You have exceeded a secondary rate limit", {}, True),
        (403, "x", {"retry_after": "3"}, True),
        (403, "x", {"x_ratelimit_remaining": "0"}, True),
        (403, "Resource not accessible by integration", {"x_ratelimit_remaining": "7"}, False),
        (429, "x", {}, True),
        (404, "rate limit exceeded", {}, False),
    ],
)
def test_limits(status, message, headers, limited):
    assert is_limited(answer({"message": message}, status, **headers)) is limited


def test_how_long_to_wait():
    soon = str(int(time.time()) + 500)
    assert wait_of(answer({}, retry_after="7", x_ratelimit_remaining="0", x_ratelimit_reset=soon)) == 7.0
    assert 0 < wait_of(answer({}, x_ratelimit_remaining="0", x_ratelimit_reset=soon)) <= 501
    assert 0 < wait_of(answer({}, ratelimit_remaining="0", ratelimit_reset=soon)) <= 501
    assert wait_of(answer({}, x_ratelimit_remaining="1", x_ratelimit_reset=soon)) is None
    assert wait_of(answer({}, retry_after="soon", x_ratelimit_remaining="0", x_ratelimit_reset="x")) is None


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("ghs_x", GitHubTokenKind.INSTALLATION),
        ("github_pat_x", GitHubTokenKind.FINE_GRAINED),
        ("ghp_x", GitHubTokenKind.CLASSIC),
        ("gho_x", GitHubTokenKind.USER),
        ("x", GitHubTokenKind.UNKNOWN),
    ],
)
def test_kinds_of_tokens(token, kind):
    assert token_kind(token) is kind


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (403, "GitHub Actions is not permitted to create or approve pull requests.", "Allow GitHub Actions"),
        (403, "Resource not accessible by integration", "permissions: contents: write"),
        (403, "Resource protected by organization SAML enforcement.", "single sign-on"),
        (
            422,
            "refusing to allow a GitHub App to update workflow `x` without `workflows` permission",
            "workflows: write",
        ),
        (404, "Not Found", "delivery.repository"),
        (403, "else", "Give the token"),
    ],
)
def test_remedies(status, message, remedy):
    assert remedy in refused_remedy(answer({"message": message}, status))
    assert refused_remedy(answer({"message": "else"}, 409)) is None
