"""Input of the token commands: a token on stdin, never as an argument, and its dates."""

from __future__ import annotations

import getpass
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from codex_runner.app.token_dates import dates_of
from codex_runner.app.token_kinds import settle_kind
from codex_runner.app.tokens import read_token
from codex_runner.cli.options import warn
from codex_runner.cli.speech import tell
from codex_runner.domain.errors import UsageError
from codex_runner.text.dates import parse_day_or_date
from codex_runner.text.durations import parse_duration

if TYPE_CHECKING:
    from codex_runner.app.token_dates import Dates
    from codex_runner.app.token_target import Target
    from codex_runner.domain.secret import Secret

_LARGEST = 64 * 1024  # bytes: no token is longer


class TokenKind(StrEnum):
    """The kind of a token that Vault keeps."""

    ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind's name, not a token
    API_KEY = "api_key"


def token_and_dates(
    target: Target, expires: str | None, issued: str | None, *, is_given: bool
) -> tuple[Secret, Target, Dates]:
    """Read the token, and settle its kind and its dates: `expires` is a time from now, a date, or `never`.

    `is_given`: the command line gives its kind. Raises CredentialError if the job's kind is another one.
    """
    now = time.time()
    never = expires == "never"
    ends = None if expires is None or never else _date(expires, "--expires", now)
    made = None if issued is None else _date(issued, "--issued")
    secret = read_stdin(target)
    target, told = settle_kind(target, secret, is_given=is_given)
    if told:
        tell(told)
    return secret, target, dates_of(secret, issued=made, expires=ends, never=never, now=now)


def read_stdin(target: Target) -> Secret:
    """Read a token from stdin; a terminal does not echo it."""
    if sys.stdin.isatty():
        return read_token(getpass.getpass("Token (not shown): ", sys.stderr).encode(), target.spec, warn)
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError("The input on stdin is too long for a token.", remedy="Give the token alone.")
    return read_token(data, target.spec, warn)


def _date(text: str, option: str, now: float | None = None) -> float:
    """Parse a date; with `now`, a time from now is allowed too. Both as seconds since the epoch."""
    if now is not None:
        try:
            return now + parse_duration(text)
        except ValueError:
            pass  # then it is a date
    try:
        return parse_day_or_date(text)
    except (ValueError, OverflowError):
        example = "30d, 2026-01-31, 2026-01-31T12:00:00Z or never" if now is not None else "2026-01-31T12:00:00Z"
        raise UsageError(f"{option} {text!r} is not a date.", remedy=f"Write it as {example}.") from None
