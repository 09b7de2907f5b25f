"""Borrowing a job's credential: log in, read one version, judge it, and give the login back before anything starts.

A read of KV v2 has no lease of its own, so holding on to the login buys nothing; and a runner that is killed later
then leaves nothing behind in Vault.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from codex_runner.domain.credential import Borrowed, Credential, CredentialFacts
from codex_runner.domain.errors import CredentialError, RunnerError, SecretStoreError
from codex_runner.domain.event import CredentialTaken, Guarded, Warned, to_json
from codex_runner.domain.run import Failure
from codex_runner.engine.credential_rules import events_of, format_duration, judge_credential, require
from codex_runner.engine.secret_reading import SecretReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.credential_rules import Occasion
    from codex_runner.vault.auth import Login
    from codex_runner.vault.client import VaultClient
    from codex_runner.vault.faults import Refusal

T = TypeVar("T")

REVOCATION: Final = "vault-revocation"
LOGIN_TYPE: Final = "vault-login-type"
LOST_LOGIN: Final = "vault-lost-login"

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_UNKNOWN_LOGIN: Final = (
    "a login may have been made that nobody knows. It has no user, and ends by itself with its role's token_ttl."
)
_STOP_GRACE: Final = 3.0  # seconds for the login to be given back after the caller was cancelled


async def borrow(  # noqa: PLR0913 - what is asked, where, for what; and two ears
    spec: CredentialSpec,
    settings: VaultSettings,
    occasion: Occasion,
    *,
    environment: Mapping[str, str],
    on_event: Callable[[Event], None] = lambda _: None,
    on_retry: Callable[[str], None] = lambda _: None,
    on_secret: Callable[[Secret], None] = lambda _: None,
) -> Borrowed:
    """Take the credential that `spec` names out of Vault, and leave nothing behind.

    When this returns, the login that was made for it is revoked. When it raises, too, as far as Vault could be
    reached; where it could not, the guard `vault-revocation` has failed and names the login's accessor. `on_event`
    gets every Guarded and Warned as it happens, so also those before an error; `on_retry` gets a line for each new
    try; `on_secret` each secret, the login's own too, before it is used. All are called in the caller's event loop.

    Raises CredentialError where the login is refused or the credential is missing or unfit, SecretStoreError where
    Vault cannot be reached or cannot answer. Either is raised where the login could not be given back: a run whose
    login is still alive can only end red, so nothing is spent on it. When the caller is cancelled, the login is given
    back first, for at most three seconds; `on_event` is told where that was not enough.
    """
    loop = asyncio.get_running_loop()
    stop, left = threading.Event(), threading.Event()
    held: list[Login] = []

    def ear(listener: Callable[[T], None]) -> Callable[[T], None]:
        return lambda value: _hand_over(loop, lambda said: None if left.is_set() else listener(said), value)

    def leave() -> None:
        left.set()
        on_event(_left_behind(held))

    ears = _Ears(ear(on_event), ear(on_retry), lambda secret: _hand_over(loop, on_secret, secret))
    return await _in_thread(lambda: _borrow(spec, settings, occasion, environment, ears, stop, held), stop, leave)


@contextlib.contextmanager
def logged_in(
    settings: VaultSettings,
    environment: Mapping[str, str],
    *,
    on_event: Callable[[Event], None] = lambda _: None,
    on_retry: Callable[[str], None] = lambda _: None,
) -> Iterator[VaultClient]:
    """Log in for as long as the `with` lasts, and give the login back at its end, whatever the end: for commands.

    Raises as `log_in` and `give_back` do. Each call of the client has the settings' `retry_deadline` for itself.
    """
    from codex_runner.vault.auth import log_in  # noqa: PLC0415 - late: it brings hvac
    from codex_runner.vault.client import VaultClient  # noqa: PLC0415 - late: it brings hvac

    secrets = SecretReader(environment, warn=lambda _, sentence: on_retry(sentence))
    with VaultClient(settings, environment, on_retry=on_retry, secrets=secrets) as client:
        login = log_in(client)
        try:
            yield client
        except BaseException as error:
            with _uninterrupted():
                _give_back_after(error, client, login, on_event)
            raise
        with _uninterrupted():
            give_back(client, login, on_event)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back the signals that would end what must come to its end; they count afterwards. For the main thread."""
    # Not by a mask: Python hands a signal that any thread got to the main one.
    got: list[int] = []
    before = {each: signal.signal(each, lambda number, _: got.append(number)) for each in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if got:
            signal.raise_signal(got[0])


@dataclass(frozen=True, slots=True)
class _Ears:
    on_event: Callable[[Event], None]
    on_retry: Callable[[str], None]
    on_secret: Callable[[Secret], None]


async def _in_thread(work: Callable[[], T], stop: threading.Event, leave: Callable[[], None]) -> T:
    """Do `work` beside the event loop. On cancellation, set `stop` and wait for it a moment; then `leave` it behind.

    Not asyncio.to_thread: a process cannot exit before the threads of that pool, and a server that hangs may hold
    ours for longer than an interrupted run has.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    result.add_done_callback(lambda done: done.exception())  # nobody asks for it after a cancellation

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the event loop
            _hand_over(loop, result.set_exception, error)
        else:
            _hand_over(loop, result.set_result, value)

    threading.Thread(target=run, name="vault", daemon=True).start()
    try:
        await asyncio.wait({result})
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({result}, timeout=_STOP_GRACE)
        if not result.done():
            leave()
        raise
    return result.result()


def _hand_over(loop: asyncio.AbstractEventLoop, listener: Callable[[T], Any], value: T) -> None:
    try:
        loop.call_soon_threadsafe(listener, value)
    except RuntimeError:
        return  # the loop is closed: whoever asked has been cancelled and has not waited


def _borrow(  # noqa: PLR0913, PLR0917 - the door's own arguments, passed on
    spec: CredentialSpec,
    settings: VaultSettings,
    occasion: Occasion,
    environment: Mapping[str, str],
    ears: _Ears,
    stop: threading.Event,
    held: list[Login],
) -> Borrowed:
    from codex_runner.vault.auth import log_in  # noqa: PLC0415 - late: it brings hvac
    from codex_runner.vault.client import VaultClient  # noqa: PLC0415 - late: it brings hvac

    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        ears.on_event(event)

    secrets = SecretReader(environment, ears.on_secret, lambda code, sentence: tell(Warned(code, sentence)))
    with VaultClient(settings, environment, on_retry=ears.on_retry, stop=stop, secrets=secrets) as client:
        client.finish_within(settings.retry_deadline)
        try:
            login = log_in(client)
        finally:
            if client.lost_answers:
                tell(Warned(LOST_LOGIN, _lost(client.lost_answers)))
        held.append(login)
        try:
            _require_revocable(login, spec, tell)
            credential = read_credential(client, spec, login, occasion.version)
            tell(CredentialTaken(to_json(credential.facts)))
            findings = judge_credential(credential.facts, spec, occasion)
            for event in events_of(findings):
                tell(event)
            require(findings)
        except BaseException as error:
            _give_back_after(error, client, login, tell)
            raise
        give_back(client, login, tell)
    return Borrowed(credential, tuple(events))


def read_credential(client: VaultClient, spec: CredentialSpec, login: Login, version: int | None = None) -> Credential:
    """Read the newest version of what `spec` names, or this one.

    CredentialError where it is missing or not what it should be.
    """
    from codex_runner.vault.faults import Refusal, part  # noqa: PLC0415 - late: it brings requests

    purpose = f"read the credential at {spec.mount}/data/{spec.path}"
    try:
        answer = client.call(
            purpose,
            lambda api: api.secrets.kv.v2.read_secret_version(
                spec.path, version=version, mount_point=spec.mount, raise_on_deleted_version=True
            ),
        )
    except Refusal as refusal:
        raise _not_read(client, spec, login, purpose, refusal) from None
    stored = part(answer, "data")
    data, metadata = part(stored, "data"), part(stored, "metadata")
    value = data.get(spec.field)
    version = metadata.get("version")
    if not isinstance(value, str):
        raise CredentialError(
            f"{spec.place} (version {version}) has no text in its field {spec.field!r}; "
            f"its fields are: {', '.join(name for name in sorted(data) if not name.startswith('put.')) or 'none'}.",
            remedy="Correct the job's `credential.field`, or store the token again with `codex-runner token put`.",
        )

    def text(name: str) -> str | None:
        return None if data.get(name) is None else str(data[name])

    facts = CredentialFacts(
        source=spec.source.value,
        place=spec.place,
        workflow=text("workflow"),
        owner=text("owner"),
        issued_at=text("issued_at"),
        expires_at=text("expires_at"),
        created_at=metadata.get("created_time"),
        version=version,
        mount=spec.mount,
        path=spec.path,
        field=spec.field,
        max_age=spec.max_age,
        request_id=answer.get("request_id"),
        auth_method=login.method,
        auth_role=login.role,
        accessor=login.accessor,
        lease_seconds=login.seconds or None,
    )
    where = f"the credential at {spec.place}"
    return Credential(client.secrets.value(value, spec.environment_variable, where), facts)


def give_back(client: VaultClient, login: Login, tell: Callable[[Event], None]) -> None:
    """Revoke the login if it is ours, and tell how that went. Raises where it is still alive.

    A supplied token is somebody else's and stays. A token that Vault no longer knows (expired, its uses spent, or
    revoked by a request whose answer was lost) is as good as revoked.
    """
    from codex_runner.vault.faults import Refusal  # noqa: PLC0415 - late: it brings requests

    if not login.ours:
        tell(Guarded(REVOCATION, True, f"Nothing to give back: the Vault token came by {login.method} and stays."))
        return
    if login.batch:
        return  # told by its own guard or warning: it cannot be revoked
    client.finish_within(_STOP_GRACE if client.stop.is_set() else client.settings.revoke_deadline)
    client.ignore_stop()
    started = time.monotonic()
    purpose = f"revoke the login with accessor {login.accessor}"
    error: RunnerError | None = None
    message = f"The login was revoked (accessor {login.accessor})."
    try:
        client.call(purpose, lambda api: api.auth.token.revoke_self())
    except Refusal as refusal:
        if refusal.dead_token:
            message = f"The login is gone already (accessor {login.accessor})."
        else:
            remedy = 'Allow it in the role\'s policy: path "auth/token/revoke-self" { capabilities = ["update"] }.'
            error = client.refused(purpose, refusal, remedy=remedy)
    except SecretStoreError as outage:
        error = outage
    if error is not None:
        error.message += f" It lives on for up to {format_duration(login.seconds)}."
        error.remedy = f"Revoke it by hand: `vault token revoke -accessor {login.accessor}`. {error.remedy}".rstrip()
        message = f"{error.message} {error.remedy}"
    failure = None if error is None else Failure.CREDENTIAL.value
    tell(Guarded(REVOCATION, error is None, message, time.monotonic() - started, failure))
    if error is not None:
        raise error


def _give_back_after(problem: BaseException, client: VaultClient, login: Login, tell: Callable[[Event], None]) -> None:
    """Give the login back although something else went wrong: that problem stays the one that is raised."""
    try:
        give_back(client, login, tell)
    except RunnerError as error:
        if isinstance(problem, RunnerError):
            problem.message += f" Besides: {error.message}"
            problem.remedy += f" {error.remedy}"


def _require_revocable(login: Login, spec: CredentialSpec, tell: Callable[[Event], None]) -> None:
    if not login.batch:
        return
    message = (
        f"The login with {login.method} as {login.role!r} is a batch token: it cannot be revoked and lives for "
        f"{format_duration(login.seconds)}."
    )
    if spec.allow_batch:
        tell(Warned(LOGIN_TYPE, message))
        return
    tell(Guarded(LOGIN_TYPE, False, message, failure=Failure.CREDENTIAL.value))
    raise CredentialError(
        message, remedy="Set the role's token_type to `service`, or say `allow_batch = true` in the job's credential."
    )


def _not_read(
    client: VaultClient, spec: CredentialSpec, login: Login, purpose: str, refusal: Refusal
) -> CredentialError:
    from codex_runner.vault.faults import part  # noqa: PLC0415 - late: it brings requests

    metadata = part(refusal.data, "metadata")
    if metadata:
        what = "destroyed" if metadata.get("destroyed") else f"deleted ({metadata.get('deletion_time')})"
        return CredentialError(
            f"Version {metadata.get('version')} at {spec.place} is {what}; no other is used in its place.",
            remedy=f"Store a fresh token with `codex-runner token put {spec.path}`.",
        )
    if refusal.status == 404:
        return CredentialError(
            f"There is nothing at {spec.place} in Vault at {client.address}.",
            remedy=f"Correct the job's `credential.path`, or store a token with `codex-runner token put {spec.path}`.",
        )
    who = f"{login.method}{f' as {login.role!r}' if login.role else ''}"
    return client.refused(
        purpose,
        refusal,
        details=f" The login with {who} has no right to it, or the path is wrong.",
        remedy=f"Compare the job's `credential.path` with the policy of the role; it needs: "
        f'path "{spec.mount}/data/{spec.path}" {{ capabilities = ["read"] }}.',
    )


def _left_behind(held: list[Login]) -> Event:
    """Say what may live on in Vault where a runner that was told to end could not wait for it any longer."""
    late = f"Vault did not answer within {_STOP_GRACE:g} s of the wish to end:"
    if not held:
        return Warned(LOST_LOGIN, f"{late} {_UNKNOWN_LOGIN}")
    if not held[0].ours or held[0].batch:
        return Warned(LOST_LOGIN, f"{late} no login of ours is left there that could be given back.")
    message = (
        f"{late} the login with accessor {held[0].accessor} may live on for up to {format_duration(held[0].seconds)}. "
        f"Revoke it by hand: `vault token revoke -accessor {held[0].accessor}`."
    )
    return Guarded(REVOCATION, False, message, failure=Failure.CREDENTIAL.value)


def _lost(count: int) -> str:
    return f"Vault did not answer {count} request{'s' if count > 1 else ''} in time while logging in: {_UNKNOWN_LOGIN}"
