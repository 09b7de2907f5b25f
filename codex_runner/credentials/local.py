"""Credentials without a store: a variable, a file, or the CI system's identity. Vault is the better place.

The same rules hold if the dates are known: from the job's settings, or from the token itself if it is a JWT.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Borrowed, Credential, CredentialFacts, CredentialSource
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import CredentialTaken, Guarded, Warned, to_json
from codex_runner.engine.credential_rules import claimed_date, events_of, judge_credential, require, unverified_claims
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.text.dates import format_date
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import CredentialSpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.credential_rules import CredentialUse

SOURCE = "credential-source"
IDENTITY = "workload-identity"

FEDERATION_RULE = "OPENAI_FEDERATION_RULE_ID"
IDENTITY_TOKEN_FILE = "OPENAI_IDENTITY_TOKEN_FILE"  # noqa: S105 - a variable's name

_IDENTITY_MASK = "OPENAI_IDENTITY_TOKEN"


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """The variables with which codex exchanges the CI system's identity for a token, and the events of the check."""

    environment: Mapping[str, str]
    events: tuple[Event, ...]


def take(
    spec: CredentialSpec,
    occasion: CredentialUse,
    *,
    environment: Mapping[str, str],
    on_event: Callable[[Event], None] = lambda _: None,
    on_secret: Callable[[Secret], None] = lambda _: None,
) -> Borrowed:
    """Read the credential from the variable or the file that `spec` names, and judge it by the facts known.

    `occasion` should not be `complete`. No other user may be able to read a file (mode 0600 or less). `on_event` gets
    each event as it happens, `on_secret` the value before anything else does. Raises CredentialError if it is missing
    or unfit.
    """
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        on_event(event)

    reader = SecretReader(environment, on_secret, lambda code, sentence: tell(Warned(code, sentence)))
    secret = _from_file(spec, reader) if spec.source is CredentialSource.FILE else _from_variable(spec, reader)
    issued_at, expires_at = _dates(spec, secret)
    facts = CredentialFacts(
        source=spec.source.value, place=spec.place, issued_at=issued_at, expires_at=expires_at, max_age=spec.max_age
    )
    tell(CredentialTaken(to_json(facts)))
    findings = judge_credential(facts, spec, occasion)
    for event in events_of(findings):
        tell(event)
    require(findings)
    tell(
        Warned(
            SOURCE,
            f"The credential comes from {spec.place}: it is not bound to this workflow, and nothing rotates it. "
            "Keep it in Vault instead.",
        )
    )
    return Borrowed(Credential(secret, facts), tuple(events))


def check_workload_identity(environment: Mapping[str, str], *, now: float) -> WorkloadIdentity:
    """Check the inputs of codex's token exchange: the federation rule, and the file with the CI identity token.

    codex reads both itself, but says little if one is wrong. The file must have an absolute path, be readable, and hold
    a JWT that is not expired at `now`. Raises CredentialError if one of these fails.
    """
    rule, path = environment.get(FEDERATION_RULE, "").strip(), environment.get(IDENTITY_TOKEN_FILE, "").strip()
    for name, value in ((FEDERATION_RULE, rule), (IDENTITY_TOKEN_FILE, path)):
        if not value:
            raise CredentialError(
                f"Workload identity needs {name}, which is not set.",
                remedy=f"Set {FEDERATION_RULE} and {IDENTITY_TOKEN_FILE} in the pipeline.",
            )
    if not Path(path).is_absolute():
        raise CredentialError(
            f"{IDENTITY_TOKEN_FILE}={path} is not an absolute path.", remedy="Give the file's absolute path."
        )
    token = SecretReader(environment).file(path, _IDENTITY_MASK, "the identity token")
    claims = unverified_claims(token.reveal())
    try:
        expires = claimed_date(claims, "exp")
    except ValueError as error:
        raise CredentialError(
            f"The identity token in {path}: {error}.", remedy="Let the CI system write its identity token there."
        ) from None
    if expires is None:
        raise CredentialError(
            f"{path} holds no JWT with an expiry.", remedy="Let the CI system write its identity token there."
        )
    if expires <= now:
        raise CredentialError(
            f"The identity token in {path} expired {format_duration(now - expires)} ago, at {format_date(expires)}.",
            remedy="Fetch a new one just before this step.",
        )
    message = f"The identity token in {path} is valid until {format_date(expires)}."
    return WorkloadIdentity({FEDERATION_RULE: rule, IDENTITY_TOKEN_FILE: path}, (Guarded(IDENTITY, True, message),))


def _from_variable(spec: CredentialSpec, reader: SecretReader) -> Secret:
    return reader.variable(
        spec.variable or spec.environment_variable,
        "the credential",
        "Set it in the pipeline, as a masked secret, or correct the job's `credential.variable`.",
        mask=spec.environment_variable,
    )


def _from_file(spec: CredentialSpec, reader: SecretReader) -> Secret:
    if not spec.file:
        raise CredentialError("The credential's file is missing.", remedy="Name it in the job's `credential.file`.")
    return reader.file(spec.file, spec.environment_variable, "the credential", private=True)


def _dates(spec: CredentialSpec, secret: Secret) -> tuple[str | None, str | None]:
    """Return issue and expiry from the job's settings, or else from the token itself if it is a JWT."""
    claims = unverified_claims(secret.reveal())
    return spec.issued_at or _own_date(claims, "iat"), spec.expires_at or _own_date(claims, "exp")


def _own_date(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a date of a JWT as RFC 3339. An unreadable date stays as it is: the rule on dates refuses it."""
    try:
        seconds = claimed_date(claims, name)
    except ValueError:
        return str(claims[name])[:40]
    return None if seconds is None else format_date(seconds)
