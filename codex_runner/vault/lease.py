"""Borrowing a job's credential: log in, read one version, judge it, and revoke the login before anything starts.

A read of KV v2 has no lease, so the login is of no use after it. A runner that is killed later then leaves nothing
behind in Vault.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Borrowed, Credential, CredentialFacts
from codex_runner.domain.errors import CredentialError, RunnerError
from codex_runner.domain.event import CredentialTaken, Guarded, Warned, to_json
from codex_runner.domain.failure import Failure
from codex_runner.engine.bounded import StopFlag
from codex_runner.engine.credential_rules import events_of, judge_credential, require
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.text.durations import format_duration
from codex_runner.vault.client import VaultClient
from codex_runner.vault.faults import VaultRefusal, part
from codex_runner.vault.holding import STOP_GRACE, held, left_behind
from codex_runner.vault.mounts import require_kv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.credential_rules import CredentialUse
    from codex_runner.vault.auth import Login

T = TypeVar("T")

LOGIN_TYPE: Final = "vault-login-type"


async def borrow(  # noqa: PLR0913 - the request, the settings, and the listeners
    spec: CredentialSpec,
    settings: VaultSettings,
    occasion: CredentialUse,
    *,
    environment: Mapping[str, str],
    on_event: Callable[[Event], None] = lambda _: None,
    on_retry: Callable[[str], None] = lambda _: None,
    on_secret: Callable[[Secret], None] = lambda _: None,
) -> Borrowed:
    """Read the credential that `spec` names from Vault, and leave no login behind.

    The login is revoked when this returns. It is revoked when this raises, too, if Vault could be reached. Otherwise
    the guard `vault-revocation` has failed and names the login's accessor. `on_event` gets every Guarded and Warned as
    it happens, so also those before an error. `on_retry` gets a line for each retry. `on_secret` gets each secret, the
    login's own too, before it is used. All are called in the caller's event loop.

    Raises CredentialError if Vault refuses the login, or the credential is missing or unfit. Raises SecretStoreError
    if Vault cannot be reached or cannot answer. Either is raised if the login could not be revoked: a run whose login
    is still valid can only end red, so no tokens are spent on it. If the caller is cancelled, the login is revoked
    first, for at most STOP_GRACE seconds. If that was not enough, `on_event` gets an event that says so.
    """
    loop = asyncio.get_running_loop()
    stop, left = StopFlag(), threading.Event()
    logins: list[Login] = []

    def in_loop(listener: Callable[[T], None]) -> Callable[[T], None]:
        return lambda value: _hand_over(loop, lambda said: None if left.is_set() else listener(said), value)

    def leave() -> None:
        left.set()
        on_event(left_behind(logins))

    listeners = _Listeners(in_loop(on_event), in_loop(on_retry), lambda secret: _hand_over(loop, on_secret, secret))
    return await _in_thread(
        lambda: _borrow(spec, settings, occasion, environment, listeners, stop, logins), stop, leave
    )


@contextlib.contextmanager
def logged_in(
    settings: VaultSettings,
    environment: Mapping[str, str],
    interruption: AbstractContextManager[StopFlag],
    *,
    on_event: Callable[[Event], None] = lambda _: None,
    on_retry: Callable[[str], None] = lambda _: None,
) -> Iterator[VaultClient]:
    """Log in for as long as the `with` lasts, and revoke the login at every end of it: for commands.

    Raises as `held` does. Each call of the client has the settings' `retry_deadline` for itself. `interruption` is
    entered around all of it: its flag waits for the answer to a request, then ends the work inside. Long work that is
    no call of the client belongs into `client.stop.interruptibly`. `on_retry` also gets a line for each warning, and
    for a login that stays valid.
    """

    def tell(event: Event) -> None:
        on_event(event)
        if isinstance(event, Warned):
            on_retry(f"{event.message} [{event.code}]")
        elif isinstance(event, Guarded) and event.failed:
            failed.append(f"{event.message} [{event.name}]")

    secrets = SecretReader(environment, warn=lambda _, sentence: on_retry(sentence))
    failed: list[str] = []
    with (
        interruption as stop,
        VaultClient(settings, environment, on_retry=on_retry, stop=stop, secrets=secrets) as client,
    ):
        try:
            with held(client, tell):
                yield client
        except BaseException as error:
            if stop.is_set():  # the signal ends the command, and would hide the error's message
                said = [f"{error.message} {error.remedy}".rstrip()] if isinstance(error, RunnerError) else failed
                for line in said:
                    on_retry(line)
            raise


@dataclass(frozen=True, slots=True)
class _Listeners:
    on_event: Callable[[Event], None]
    on_retry: Callable[[str], None]
    on_secret: Callable[[Secret], None]


async def _in_thread(work: Callable[[], T], stop: StopFlag, leave: Callable[[], None]) -> T:
    """Do `work` in a thread. On cancellation, set `stop`, wait STOP_GRACE for the thread, then `leave` it behind.

    Not asyncio.to_thread: a process cannot exit before the threads of that pool. A server that hangs may hold ours
    for longer than an interrupted run has.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    result.add_done_callback(lambda done: done.exception())  # after a cancellation no one else retrieves it

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the event loop
            _hand_over(loop, result.set_exception, error)
        else:
            _hand_over(loop, result.set_result, value)

    thread = threading.Thread(target=run, name="vault", daemon=True)
    try:
        thread.start()
        await asyncio.wait({result})
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({result}, timeout=STOP_GRACE)
        if not result.done():
            leave()
        raise
    except BaseException:  # a signal handler raised just here: the loop does not go on
        stop.set()
        if thread.ident is not None:
            thread.join(STOP_GRACE)
        if thread.is_alive():
            leave()
        raise
    return result.result()


def _hand_over(loop: asyncio.AbstractEventLoop, listener: Callable[[T], Any], value: T) -> None:
    try:
        loop.call_soon_threadsafe(listener, value)
    except RuntimeError:
        return  # the loop is closed: the caller was cancelled and has not waited


def _borrow(  # noqa: PLR0913, PLR0917 - the arguments of `borrow`, passed on
    spec: CredentialSpec,
    settings: VaultSettings,
    occasion: CredentialUse,
    environment: Mapping[str, str],
    listeners: _Listeners,
    stop: StopFlag,
    logins: list[Login],
) -> Borrowed:
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        listeners.on_event(event)

    secrets = SecretReader(environment, listeners.on_secret, lambda code, sentence: tell(Warned(code, sentence)))
    with VaultClient(settings, environment, on_retry=listeners.on_retry, stop=stop, secrets=secrets) as client:
        client.finish_within(settings.retry_deadline)
        with held(client, tell) as login:
            logins.append(login)
            _require_revocable(login, spec, tell)
            credential = read_credential(client, spec, login, occasion.version)
            tell(CredentialTaken(to_json(credential.facts)))
            findings = judge_credential(credential.facts, spec, occasion)
            for event in events_of(findings):
                tell(event)
            require(findings)
    return Borrowed(credential, tuple(events))


def read_credential(client: VaultClient, spec: CredentialSpec, login: Login, version: int | None = None) -> Credential:
    """Read the credential that `spec` names: its newest version, or `version`.

    Raises CredentialError if it is missing or malformed.
    """
    purpose = f"read the credential at {spec.mount}/data/{spec.path}"
    try:
        answer = client.call(
            purpose,
            lambda api: api.secrets.kv.v2.read_secret_version(
                spec.path, version=version, mount_point=spec.mount, raise_on_deleted_version=True
            ),
        )
    except VaultRefusal as refusal:
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
        message, remedy="Set the role's token_type to `service`, or set `allow_batch = true` in the job's credential."
    )


def _not_read(
    client: VaultClient, spec: CredentialSpec, login: Login, purpose: str, refusal: VaultRefusal
) -> CredentialError:
    metadata = part(refusal.data, "metadata")
    if metadata:
        what = "destroyed" if metadata.get("destroyed") else f"deleted ({metadata.get('deletion_time')})"
        return CredentialError(
            f"Version {metadata.get('version')} at {spec.place} is {what}, and the runner uses no older one.",
            remedy=f"Store a fresh token with `codex-runner token put {spec.path}`.",
        )
    if refusal.status == 404:
        require_kv2(client, spec.mount, refusal)
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
