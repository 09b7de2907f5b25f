"""When a token was made and when it ends: what is said of it, and what it says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError, UsageError
from codex_runner.engine.credential_rules import CLOCK_SKEW, claimed_date, unverified_claims
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Dates:
    """When a token was made and when it ends, in seconds since the epoch. `expires` is None where it does not."""

    issued: float
    expires: float | None


def dates_of(secret: Secret, *, issued: float | None, expires: float | None, never: bool, now: float) -> Dates:
    """Settle a token's dates: what is said, and what the token says of itself where it is a JWT.

    UsageError where nothing says when it ends, or where the two contradict each other.
    """
    if issued is not None and issued > now + CLOCK_SKEW:
        raise UsageError(
            f"`--issued` {format_date(issued)} lies in the future: every run would refuse the token.",
            remedy="Give the date at which it was made, or leave `--issued` out for now.",
        )
    claims = unverified_claims(secret.reveal())
    own, made = _own_date(claims, "exp"), _own_date(claims, "iat")
    if own is not None:
        if never or (expires is not None and expires > own):
            raise UsageError(
                f"The token says itself that it expires at {format_date(own)}, before the `--expires` given.",
                remedy="Leave `--expires` out, or give an earlier one.",
            )
        expires = own if expires is None else expires
    if expires is None and not never:
        raise UsageError(
            "It is not said when the token expires, and the token does not say it itself.",
            remedy="Give `--expires`: `30d`, a date, or `never` (runs refuse such a token unless they allow it).",
        )
    if issued is None:
        issued = now if made is None else made
    return Dates(issued, expires)


def _own_date(claims: Mapping[str, Any], name: str) -> float | None:
    try:
        return claimed_date(claims, name)
    except ValueError as error:
        raise CredentialError(
            f"The token says of itself that its {error}.", remedy="Have it made again: every reader would refuse it."
        ) from None
