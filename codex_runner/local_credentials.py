"""Credentials without a store: a variable, a file, or the CI system's identity. Vault is the better place.

The same rules hold as far as the dates are known: from the job's settings, or from the token itself where it is a JWT.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.domain.credential import Borrowed, Credential, CredentialFacts, CredentialSource
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import CredentialTaken, Guarded, Warned, to_json
from codex_runner.engine.credential_rules import (
    claimed_date,
    clean_secret,
    events_of,
    format_date,
    format_duration,
    judge_credential,
    require,
    unverified_claims,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import CredentialSpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.credential_rules import Occasion

SOURCE = "credential-source"
IDENTITY = "workload-identity"

FEDERATION_RULE = "OPENAI_FEDERATION_RULE_ID"
IDENTITY_TOKEN_FILE = "OPENAI_IDENTITY_TOKEN_FILE"  # noqa: S105 - a variable's name

_LARGEST = 64 * 1024  # bytes: no token is longer


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """What codex needs to exchange the CI system's identity for a token: the variables, and what was checked."""

    environment: Mapping[str, str]
    events: tuple[Event, ...]


def take(
    spec: CredentialSpec,
    occasion: Occasion,
    *,
    environment: Mapping[str, str],
    on_event: Callable[[Event], None] = lambda _: None,
) -> Borrowed:
    """Take the credential from the variable or the file that `spec` names, and judge it by what is known of it.

    `occasion` should not be `complete`. A file must be readable by nobody else (mode 0600 or less). `on_event` gets
    each event as it happens. Raises CredentialError where it is missing or unfit.
    """
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        on_event(event)

    value = _from_file(spec) if spec.source is CredentialSource.FILE else _from_variable(spec, environment)
    secret = clean_secret(value, spec)
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
            f"The credential comes from {spec.place}: it is not bound to this workflow and nobody rotates it. "
            "Vault is the better place for it.",
        )
    )
    return Borrowed(Credential(secret, facts), tuple(events))


def check_workload_identity(environment: Mapping[str, str], *, now: float) -> WorkloadIdentity:
    """Check what codex exchanges by itself: the federation rule, and the file with the CI system's identity token.

    codex reads both; here they are only looked at, since it says little when one is wrong. The file has to be named
    by an absolute path, readable, and hold a JWT that is not expired at `now`. CredentialError says what is not so.
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
            f"{IDENTITY_TOKEN_FILE}={path} is not an absolute path.", remedy="Name the file from the root on."
        )
    claims = unverified_claims(_read(path).strip())
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


def _from_variable(spec: CredentialSpec, environment: Mapping[str, str]) -> str:
    name = spec.variable or spec.environment_variable
    value = environment.get(name, "")
    if not value.strip():
        raise CredentialError(
            f"The variable {name}, which should hold the credential, is not set.",
            remedy="Set it in the pipeline, as a masked secret, or correct the job's `credential.variable`.",
        )
    return value


def _from_file(spec: CredentialSpec) -> str:
    if not spec.file:
        raise CredentialError("The credential's file is not named.", remedy="Name it in the job's `credential.file`.")
    return _read(spec.file, private=True)


def _read(path: str, *, private: bool = False) -> str:
    """Read a small regular file; `private` asks that nobody but its owner, who is us or root, may touch it."""
    try:
        # Not blocking: a pipe of that name must not hang the run. The checks are made on what is open, not on a name.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open takes no descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CredentialError(f"{path} is not a regular file.", remedy="Name a file with the token in it.")
            if private and (status.st_mode & 0o077 or status.st_uid not in {os.geteuid(), 0}):
                mode = stat.S_IMODE(status.st_mode)
                raise CredentialError(
                    f"{path} has mode {mode:04o} and belongs to user {status.st_uid}: others may read the token.",
                    remedy=f"Make it yours alone, `chmod 600 {path}`, and replace the token if others have read it.",
                )
            return file.read(_LARGEST).decode()
    except OSError as error:
        remedy = "Give this user the right to read it." if isinstance(error, PermissionError) else "Correct the path."
        raise CredentialError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from None
    except UnicodeDecodeError:
        raise CredentialError(f"{path} is not text.", remedy="Name a file with the token in it.") from None


def _dates(spec: CredentialSpec, secret: Secret) -> tuple[str | None, str | None]:
    """What the job's settings say of the dates, else what the token says of itself, if it is a JWT."""
    claims = unverified_claims(secret.reveal())
    return spec.issued_at or _own_date(claims, "iat"), spec.expires_at or _own_date(claims, "exp")


def _own_date(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a date of a JWT as RFC 3339. One that cannot be read stays as it is: the rule on dates refuses it."""
    try:
        seconds = claimed_date(claims, name)
    except ValueError:
        return str(claims[name])[:40]
    return None if seconds is None else format_date(seconds)
