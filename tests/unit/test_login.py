"""What codex says of a token, in the words of 0.163 and 0.171, and what that means."""

import pytest

from codex_runner.codex.login import LoginAnswer, read_login
from codex_runner.domain.errors import CredentialError, ModelServiceError, TokenRefusedError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure

FAILED = "Error checking login status: personal access token metadata request failed with status"
UNSENT = "Error checking login status: failed to request personal access token metadata:"
UNREAD = "Error checking login status: failed to decode personal access token metadata: error decoding response body"


@pytest.mark.parametrize(
    ("words", "answer", "failure"),
    [
        (f"{FAILED} 401 Unauthorized", LoginAnswer.REFUSED, Failure.CREDENTIAL),
        (f"{FAILED} 403 Forbidden", LoginAnswer.REFUSED, Failure.CREDENTIAL),
        (f"{FAILED} 429 Too Many Requests", LoginAnswer.OUT_OF_REACH, Failure.RATE_LIMIT),
        (f"{FAILED} 500 Internal Server Error", LoginAnswer.OUT_OF_REACH, Failure.CAPACITY),
        (f"{FAILED} 503 Service Unavailable", LoginAnswer.OUT_OF_REACH, Failure.CAPACITY),
        (f"{FAILED} 599", LoginAnswer.OUT_OF_REACH, Failure.CAPACITY),
        (
            f"{UNSENT} error sending request for url (http://127.0.0.1:1/whoami)",
            LoginAnswer.OUT_OF_REACH,
            Failure.NETWORK,
        ),
        # A proxy's name, or a path, may have any number in it.
        (f"{UNSENT} error sending request for url (http://proxy401/403)", LoginAnswer.OUT_OF_REACH, Failure.NETWORK),
        (
            "Error checking login status: failed to request agent identity JWKS",
            LoginAnswer.OUT_OF_REACH,
            Failure.NETWORK,
        ),
        (f"{FAILED} 400 Bad Request", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        (f"{FAILED} 404 Not Found", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        (f"{FAILED} 407 Proxy Authentication Required", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        (f"{UNSENT} builder error", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        (UNREAD, LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        ("Error checking login status: invalid agent identity JWT format", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        ("Not logged in", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
        ("", LoginAnswer.UNKNOWN, Failure.CREDENTIAL),
    ],
)
def test_what_it_means(words, answer, failure):
    said = read_login(1, f"WARNING: a home below /tmp\n{words}\n", 60)
    assert (said.answer, said.failure) == (answer, failure)
    error = said.error()
    assert words.removesuffix(".") in error.message
    kind = {LoginAnswer.REFUSED: TokenRefusedError, LoginAnswer.OUT_OF_REACH: ModelServiceError}.get(
        answer, CredentialError
    )
    assert type(error) is kind
    assert error.exit_code is (ExitCode.MODEL_SERVICE if answer is LoginAnswer.OUT_OF_REACH else ExitCode.CREDENTIAL)
    assert ("unknown" in error.message) == (answer is LoginAnswer.UNKNOWN)
    assert ("Store a fresh token" in error.remedy) == (answer is LoginAnswer.REFUSED)


def test_a_login_that_never_ends_is_out_of_reach_whatever_it_printed():
    said = read_login(None, f"{FAILED} 401 Unauthorized", 60)
    assert (said.answer, said.words) == (LoginAnswer.OUT_OF_REACH, "no answer within 1m")


def test_what_is_not_understood_is_told_whole():
    said = read_login(1, f"first\nsecond {'x' * 1000}\nlast\n", 60)
    assert said.words == f"first second {'x' * 1000} last"


def test_a_token_that_is_taken():
    said = read_login(0, "WARNING: x\nLogged in using personal access token.\n", 60)
    assert (said.answer, said.words, said.failure) == (LoginAnswer.TAKEN, "Logged in using personal access token", None)
