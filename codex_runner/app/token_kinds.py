"""The kind of a token: by the job, and by the token's beginning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from codex_runner.domain.credential import CredentialKind
from codex_runner.domain.errors import CredentialError

if TYPE_CHECKING:
    from codex_runner.app.token_target import Target
    from codex_runner.domain.secret import Secret

_JWT_PARTS: Final = 3


def looks_like(secret: Secret) -> CredentialKind | None:
    """Return the kind of a token by its beginning. Returns None if that is not clear."""
    text = secret.reveal()
    if text.startswith("sk-"):
        return CredentialKind.API_KEY
    if text.startswith("at-") or (text.startswith("ey") and len(text.split(".")) == _JWT_PARTS):
        return CredentialKind.ACCESS_TOKEN
    return None


def settle_kind(target: Target, secret: Secret, *, is_given: bool) -> tuple[Target, str]:
    """Return the target with the token's kind, and a sentence for the user, empty if there is nothing to say.

    `is_given`: the user has given the kind. Without that, and without a job that has it, the token's beginning decides.
    Raises CredentialError if an API key is to be stored for a job that would pass it to codex as an access token.
    """
    kind, looks = target.spec.kind, looks_like(secret)
    says = f'credential = {{ kind = "api_key", path = "{target.spec.path}" }}'
    if looks is CredentialKind.API_KEY and kind is not CredentialKind.API_KEY:
        if target.job is not None and not is_given:
            raise CredentialError(
                f"This is an API key, as its beginning `sk-` shows, but the job {target.job} takes an access token.",
                remedy=f"Set `{says}` in [jobs.{target.job}], or make an access token for it.",
            )
        if not is_given:
            target = replace(target, spec=replace(target.spec, kind=CredentialKind.API_KEY))
            return target, f"this is an API key: set `{says}` in the job that uses it"
    if looks is CredentialKind.ACCESS_TOKEN and kind is CredentialKind.API_KEY:
        return target, "this looks like an access token, but is stored as an API key: check `kind`"
    if kind is CredentialKind.API_KEY and (target.job is None or is_given):
        return target, f"set `{says}` in the job that uses it"
    return target, ""
