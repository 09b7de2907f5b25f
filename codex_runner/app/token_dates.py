"""When a token was made and when it expires: by the options, and by the token itself."""

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
    """When a token was made and when it expires, in seconds since the epoch. `expires` is None if it never does."""

    issued: float
    expires: float | None


def dates_of(secret: Secret, *, issued: float | None, expires: float | None, never: bool, now: float) -> Dates:
    """Settle a token's dates: from the options, and from the token if it is a JWT.

    Raises UsageError if neither has an expiry, or if the two contradict each other.
    """
    if issued is not None and issued > now + CLOCK_SKEW:
        raise UsageError(
            f"`--issued` {format_date(issued)} is in the future: every run would refuse the token.",
            remedy="Give the date at which it was made, or leave out `--issued` for now.",
        )
    claims = unverified_claims(secret.reveal())
    own, made = _own_date(claims, "exp"), _own_date(claims, "iat")
    if own is not None:
        if never or (expires is not None and expires > own):
            raise UsageError(
                f"The token itself expires at {format_date(own)}, before the given `--expires`.",
                remedy="Leave out `--expires`, or give an earlier one.",
            )
        expires = own if expires is None else expires
    if expires is None and not never:
        raise UsageError(
            "The token's expiry is unknown: the token does not contain it, and `--expires` is missing.",
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
            f"The token is invalid: its {error}.", remedy="Have it issued again: every reader would refuse it."
        ) from None
