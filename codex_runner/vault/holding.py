"""Holding a login: it is revoked at every end, or an event says why not. Runs and commands share this way."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from codex_runner.domain.errors import CredentialError, RunnerError, SecretStoreError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.failure import Failure
from codex_runner.domain.guard_names import REVOCATION
from codex_runner.text.dates import format_date
from codex_runner.text.durations import format_duration
from codex_runner.vault.auth import log_in, require_role
from codex_runner.vault.faults import VaultRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codex_runner.domain.event import Event
    from codex_runner.vault.auth import Login
    from codex_runner.vault.client import VaultClient

LOST_LOGIN: Final = "vault-lost-login"

STOP_GRACE: Final = 3.0
"""Seconds for the revocation of a login after the caller was told to stop."""

UNKNOWN_LOGIN: Final = (
    "Vault may have made a login whose token no process holds. It ends by itself after its role's token_ttl."
)

_NO_CONTENT: Final = 204
_FORBIDDEN: Final = 403


@contextlib.contextmanager
def held(client: VaultClient, tell: Callable[[Event], None]) -> Iterator[Login]:
    """Log in for as long as the `with` lasts, and revoke the login at every end of it.

    `tell` gets the guard `vault-revocation`. It gets a warning if Vault may have made a login whose answer was lost or
    spoilt. Raises as `log_in` and `give_back` do. No signal may raise in here: see cli/signals.py.
    """
    lost = client.lost_answers
    try:
        login = log_in(client)
    finally:
        if client.lost_answers > lost:
            tell(Warned(LOST_LOGIN, _lost(client.lost_answers - lost)))
    try:
        require_role(client, login)
        yield login
    except BaseException as error:
        _give_back_after(error, client, login, tell)
        raise
    give_back(client, login, tell)


def give_back(client: VaultClient, login: Login, tell: Callable[[Event], None]) -> None:
    """Revoke the login if it is ours, and tell the result. Raises unless it is proven dead, or may well be.

    A supplied token is not ours and stays. Proofs for one of ours: Vault's 204, the end of its TTL by our monotonic
    clock, its last use by our count. A 403 proves nothing: Vault refuses a live login in the same words if its entity
    is disabled, or if the request comes from an address to which the login is not bound. If a request of ours that may
    have arrived can be the reason, the guard is unjudged, and a warning says so.
    """
    if not login.ours:
        tell(Guarded(REVOCATION, True, f"Nothing to revoke: the Vault token came by {login.method} and stays."))
        return
    if login.batch:
        tell(Guarded.unjudged(REVOCATION, f"A batch token cannot be revoked: it stays valid {_life(login)}."))
        return
    client.finish_within(STOP_GRACE if client.stop.is_set() else client.settings.revoke_deadline)
    client.ignore_stop()
    started, lost = time.monotonic(), client.lost_answers
    purpose = f"revoke the login with accessor {login.accessor}"
    error: RunnerError | None = None
    message = f"The login was revoked (accessor {login.accessor})."
    try:
        client.call(purpose, lambda api: api.auth.token.revoke_self())
        if client.last_status != _NO_CONTENT:
            error = _no_proof(client, purpose)
    except VaultRefusal as refusal:
        if refusal.status == _FORBIDDEN and _is_settled(client, login, lost):
            why = "the answer to the request was lost, and Vault has refused the login since"
            _tell_unsettled(login, why, tell, time.monotonic() - started)
            return
        error = _refused(client, purpose, refusal)
    except SecretStoreError as outage:
        error = outage
    if error is not None and (proof := _proof(client, login)):
        error, message = None, f"The login is gone: {proof} (accessor {login.accessor})."
    if error is not None:
        error.message += f" It stays valid {_life(login)}."
        error.remedy = f"Revoke it by hand: `vault token revoke -accessor {login.accessor}`. {error.remedy}".rstrip()
        message = f"{error.message} {error.remedy}"
    failure = None if error is None else Failure.CREDENTIAL.value
    tell(Guarded(REVOCATION, error is None, message, time.monotonic() - started, failure))
    if error is not None:
        raise error


def left_behind(held_logins: list[Login]) -> Event:
    """Return the event about a login that may stay valid: a runner that was told to end could wait no longer."""
    late = f"Vault did not answer within {format_duration(STOP_GRACE)} of the interruption:"
    if not held_logins:
        return Warned(LOST_LOGIN, f"{late} {UNKNOWN_LOGIN}")
    login = held_logins[0]
    if not login.ours or login.batch:
        return Warned(LOST_LOGIN, f"{late} the runner holds no login there that it could revoke.")
    message = (
        f"{late} the login with accessor {login.accessor} may stay valid {_life(login)}. "
        f"Revoke it by hand: `vault token revoke -accessor {login.accessor}`."
    )
    return Guarded(REVOCATION, False, message, failure=Failure.CREDENTIAL.value)


def _proof(client: VaultClient, login: Login) -> str:
    """Return what proves that a login is dead although Vault did not say so; empty if nothing does."""
    if login.until is not None and time.monotonic() >= login.until:
        return f"its {format_duration(login.seconds)} are over"
    if 0 < login.uses <= client.uses:
        return f"its {'use is' if login.uses == 1 else f'{login.uses} uses are'} spent"
    return ""


def _is_settled(client: VaultClient, login: Login, lost: int) -> bool:
    """Whether a request of ours whose answer was lost may have ended the login, and nothing proves that it did."""
    if _proof(client, login):
        return False
    spent = 0 < login.uses <= client.uses + client.lost_uses
    return client.lost_answers > lost or spent


def _tell_unsettled(login: Login, why: str, tell: Callable[[Event], None], seconds: float) -> None:
    message = (
        f"The login with accessor {login.accessor} may not be revoked: {why}. If it is not, it stays valid "
        f"{_life(login)}."
    )
    remedy = f"To be sure, revoke it by hand: `vault token revoke -accessor {login.accessor}`."
    tell(Guarded.unjudged(REVOCATION, message, seconds))
    tell(Warned(REVOCATION, f"{message} {remedy}"))


def _life(login: Login) -> str:
    """Return how long a login stays valid without a revocation, and until when."""
    if login.until is None:
        return "for a time that Vault did not name"
    left = max(0.0, login.until - time.monotonic())
    return f"for up to {format_duration(login.seconds)}, until {format_date(time.time() + left)}"


def _no_proof(client: VaultClient, purpose: str) -> SecretStoreError:
    return SecretStoreError(
        f"Could not {purpose}: {client.address} answered with HTTP {client.last_status}, but Vault answers "
        f"with {_NO_CONTENT}.",
        remedy="Check VAULT_ADDR (or `vault.address`) and the proxy: the server there may not be Vault.",
    )


def _refused(client: VaultClient, purpose: str, refusal: VaultRefusal) -> CredentialError:
    remedy = 'Allow it in the role\'s policy: path "auth/token/revoke-self" { capabilities = ["update"] }.'
    if refusal.status == _FORBIDDEN:
        remedy += (
            " If it is allowed, check whether the login is bound to another address than this request came from "
            "(`token_bound_cidrs`), and whether its entity is disabled."
        )
    return client.refused(purpose, refusal, remedy=remedy)


def _give_back_after(problem: BaseException, client: VaultClient, login: Login, tell: Callable[[Event], None]) -> None:
    """Revoke the login after another problem, which stays the one that is raised."""
    try:
        give_back(client, login, tell)
    except RunnerError as error:
        if isinstance(problem, RunnerError):
            problem.message += f" Besides: {error.message}"
            problem.remedy += f" {error.remedy}"


def _lost(count: int) -> str:
    requests = "1 request" if count == 1 else f"{count} requests"
    return f"The answer to {requests} to log in was lost, or was not Vault's: {UNKNOWN_LOGIN}"
