"""Parses the answer of `codex login status` about an access token: taken, refused, or unknown.

Only the service can refuse a token. A service that is down, or out of reach, has refused nothing: otherwise users would
throw a good token away. The words are those of codex 0.163 and 0.171.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError, ModelServiceError, TokenRefusedError
from codex_runner.domain.failure import Failure
from codex_runner.text.durations import format_duration

_STATUS = re.compile(r"\bstatus (\d{3})\b")
_NO_CONNECTION = re.compile(r"error sending request|failed to request agent identity JWKS")
_SERVER_ERRORS: Final = range(500, 600)
_SHOWN: Final = 300  # characters of codex's words that are shown if the parser knows them
_WHOLE: Final = 4000  # and if it does not


class LoginAnswer(StrEnum):
    """The authentication service's answer about the token."""

    TAKEN = "taken"
    REFUSED = "refused"
    OUT_OF_REACH = "out of reach"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """The answer, codex's words, and the class of the failure (None if the token was taken)."""

    answer: LoginAnswer
    words: str
    failure: Failure | None = None

    def error(self) -> CredentialError | ModelServiceError:
        """Return the error for a run, or for the command that stores the token. Call it unless the token was taken."""
        match self.answer:
            case LoginAnswer.REFUSED:
                return TokenRefusedError(
                    f"The access token was refused before the agent was started: {self.words}.",
                    remedy="Store a fresh token (`codex-runner token put`), and check who made it and when it expires.",
                )
            case LoginAnswer.OUT_OF_REACH:
                return ModelServiceError(
                    f"The authentication service is out of reach, and has not refused the token: {self.words}.",
                    failure=self.failure or Failure.NETWORK,
                )
            case _:
                return CredentialError(
                    f"It is unknown whether the access token is good. codex login status: {self.words}.",
                    remedy="Read codex's words: the fault is in the token, in the service, or in the network between.",
                )


def read_login(exit_code: int | None, output: str, patience: float) -> Said:
    """Parse the result of `codex login status`. `exit_code` is None if it did not end within `patience` seconds."""
    if exit_code is None:
        return Said(LoginAnswer.OUT_OF_REACH, f"no answer within {format_duration(patience)}", Failure.NETWORK)
    words = _told(output)
    if exit_code == 0:
        return Said(LoginAnswer.TAKEN, words)
    answer, failure = _meaning(words)
    if answer is LoginAnswer.UNKNOWN:
        words = " ".join(output.split())[:_WHOLE] or f"nothing, with exit code {exit_code}"
    return Said(answer, words.rstrip("."), failure)


def _meaning(words: str) -> tuple[LoginAnswer, Failure]:
    found = _STATUS.search(words)
    match int(found[1]) if found else None:
        case 401 | 403:
            return LoginAnswer.REFUSED, Failure.CREDENTIAL
        case 429:
            return LoginAnswer.OUT_OF_REACH, Failure.RATE_LIMIT
        case status if status in _SERVER_ERRORS:
            return LoginAnswer.OUT_OF_REACH, Failure.CAPACITY
        case None if _NO_CONNECTION.search(words):
            return LoginAnswer.OUT_OF_REACH, Failure.NETWORK
        case _:
            return LoginAnswer.UNKNOWN, Failure.CREDENTIAL


def _told(output: str) -> str:
    """Return the line with the answer, from among warnings."""
    lines = [line.strip() for line in output.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING:", "Stack backtrace", "0:", "1:"))]
    told = next((line for line in lines if line.startswith(("Error", "Logged in", "Not logged in"))), None)
    return (told or (lines[0] if lines else "nothing"))[:_SHOWN].rstrip(".")
