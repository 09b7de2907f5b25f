"""A connection to Vault or OpenBao: retries, deadlines, and the wording of failures.

hvac builds the requests. Transient failures (refused connections, timeouts, 412, 429, 5xx, a sealed Vault) are
retried with backoff and jitter until a deadline. All others are raised at once. The log gets one line when Vault
stops answering, and one when it answers again.
"""

from __future__ import annotations

import http
import re
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

import hvac
import requests
import tenacity
from hvac.adapters import RawAdapter

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine.bounded import StopFlag, StoppedError
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.durations import format_duration
from codex_runner.vault.endpoint import resolve_endpoint
from codex_runner.vault.faults import VaultRefusal, can_pass, never_sent, remedy_for, root_cause
from codex_runner.vault.http import VaultSession, document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from codex_runner.domain.credential import VaultSettings
    from codex_runner.domain.secret import Secret

T = TypeVar("T")

_FIRST_WAIT: Final = 0.1
_SHOWN: Final = 400  # characters of what a library or a server says
_WAIT = tenacity.wait_random_exponential(multiplier=4 * _FIRST_WAIT, min=_FIRST_WAIT, max=5.0)


@dataclass(frozen=True, slots=True)
class Health:
    """A server's health, in its own words. A `secondary` is for disaster recovery, and serves no requests."""

    initialized: bool
    sealed: bool
    version: str
    secondary: bool = False


class VaultClient:
    """One connection, for one login. A context manager; not thread-safe.

    `on_retry` gets a line for each new reason to retry, and one once Vault answers again. `stop` ends all waiting
    early: the waiting call raises. `lost_answers` counts requests that the server may have acted on although their
    answer never came, or was not Vault's. For the token in use, `uses` counts the requests that Vault certainly
    counted, and `lost_uses` those that it may have counted. `last_status` is the HTTP status of the last answer.
    `secrets` reads what a login needs, and learns each secret that is used.
    """

    def __init__(
        self,
        settings: VaultSettings,
        environment: Mapping[str, str],
        *,
        on_retry: Callable[[str], None] = lambda _: None,
        stop: StopFlag | None = None,
        secrets: SecretReader | None = None,
    ) -> None:
        """Opens no connection yet. Raises ConfigurationError if the settings or VAULT_* are wrong."""
        self.settings = settings
        self.environment = environment
        self.endpoint = resolve_endpoint(settings, environment)
        self.address = self.endpoint.address
        # Redacts what a library, a proxy or Vault itself says.
        self._redactor = Redactor(self.endpoint.secrets)
        self.secrets = (secrets or SecretReader(environment)).telling(self._redactor.learn)
        self.on_retry = on_retry
        self.stop = stop or StopFlag()
        self.lost_answers = self.uses = self.lost_uses = 0
        self._deadline: float | None = None
        self._outage = _Outage()
        self._session = VaultSession(self.endpoint.verify, self.endpoint.certificate, self.endpoint.proxies)
        self.api = hvac.Client(
            url=self.address,
            token="",  # with None, hvac looks for a token of its own
            cert=self._session.cert or (),  # type: ignore[arg-type] # with None, it reads VAULT_CLIENT_CERT by itself
            verify=self._session.verify,
            session=self._session,
            adapter=_Adapter,
            namespace=self.endpoint.namespace,
            strict_http=True,  # LIST as GET: some proxies let no other verbs through
        )
        self._adapter = cast("_Adapter", self.api.adapter)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection. This revokes no login: see `lease`."""
        self.use(None)
        self._session.close()

    def use(self, token: Secret | None) -> None:
        """Send this token with every request from now on, or none."""
        if token is not None:
            self.secrets.learn(token)
        self.api.token = "" if token is None else token.reveal()
        self.uses = self.lost_uses = 0

    def finish_within(self, seconds: float) -> None:
        """Set one deadline for all calls from now on, in `seconds` from now."""
        self._deadline = time.monotonic() + seconds

    def ignore_stop(self) -> None:
        """Ignore stop requests from now on: the revocation must be tried in any case."""
        self.stop = StopFlag()

    @property
    def last_status(self) -> int:
        """The HTTP status of the last answer; 0 if there was none."""
        return self._adapter.status

    def call(
        self, purpose: str, ask: Callable[[hvac.Client], Any], *, again: bool = True, open_to_all: bool = False
    ) -> dict[str, Any]:
        """Return the JSON object that `ask` gets. Retries transient failures, unless `again` is False.

        `purpose` completes "could not ..." in messages. `open_to_all` marks a request that needs no login. Raises
        VaultRefusal if Vault refused for good, SecretStoreError if Vault cannot be reached or cannot answer, and
        ConfigurationError if a named certificate is not one.
        """
        trial = _Trial(self, purpose, again=again)
        try:
            return trial.run(lambda: self._ask(ask, trial, counted=bool(self.api.token) and not open_to_all))
        except VaultRefusal as refusal:
            if refusal.is_outage:
                raise self._unreachable(trial, refusal) from None
            raise
        except requests.RequestException as error:
            if isinstance(error, requests.exceptions.SSLError):
                self.endpoint.require_certificates()
            raise self._unreachable(trial, error) from None

    def health(self) -> Health:
        """Ask for the server's health. Needs no login. Raises SecretStoreError if it cannot be reached."""
        codes = {"standbyok": "true", "perfstandbyok": "true", "sealedcode": "200", "uninitcode": "200"}
        codes["drsecondarycode"] = "200"

        def ask(api: hvac.Client) -> Any:
            return api.adapter.get("/v1/sys/health", params=codes)

        try:
            answer = self.call("ask for its health", ask, open_to_all=True)
        except VaultRefusal as refusal:
            said = self.reason(refusal)
            raise SecretStoreError(f"Vault at {self.address} does not report its health: {said}.") from None
        secondary = answer.get("replication_dr_mode") == "secondary"
        return Health(
            bool(answer.get("initialized")), bool(answer.get("sealed")), str(answer.get("version", "")), secondary
        )

    def refused(self, purpose: str, refusal: VaultRefusal, *, details: str = "", remedy: str) -> CredentialError:
        """Return the error for a refusal, with Vault's own words in it."""
        said = self._redactor.text(str(refusal))
        return CredentialError(f"Vault at {self.address} refused to {purpose}: {said}.{details}", remedy=remedy)

    @property
    def until(self) -> float:
        """The deadline of a call that begins now, on the monotonic clock."""
        return self._deadline or time.monotonic() + self.settings.retry_deadline

    def reason(self, error: BaseException | None) -> str:
        """Say in a few words why there was no good answer. Redacts secrets that a library quotes."""
        # Redact, then cut: the redactor would not find half of a secret.
        return self._redactor.text(self._words(error))[:_SHOWN]

    def _words(self, error: BaseException | None) -> str:
        match error:
            case requests.exceptions.ConnectTimeout():
                return f"no connection within {format_duration(self._adapter.timeout[0])}"
            case requests.exceptions.ReadTimeout():
                return f"no answer within {format_duration(self._adapter.timeout[1])}"
            case requests.RequestException():
                return root_cause(error)
            case _:
                return str(error)

    def failed_peer(self, error: BaseException | None) -> str:
        """Name what failed: Vault, or the proxy before it."""
        if isinstance(error, requests.exceptions.ProxyError):
            return f"the proxy {self.endpoint.proxy_shown} before Vault at {self.address}"
        by_proxy = self.endpoint.proxies and isinstance(error, VaultRefusal) and not error.is_vaults
        return f"Vault at {self.address}" + (f" by way of the proxy {self.endpoint.proxy_shown}" if by_proxy else "")

    def _ask(self, ask: Callable[[hvac.Client], Any], trial: _Trial, *, counted: bool) -> dict[str, Any]:
        left = max(_FIRST_WAIT, trial.until - time.monotonic())
        connect, whole = self.endpoint.connect_timeout, self.endpoint.connect_timeout + self.endpoint.request_timeout
        self._adapter.timeout = (min(connect, left), min(self.endpoint.request_timeout, left))
        try:
            answer = self._session.within(min(whole, left), lambda: ask(self.api), self.stop)
        except StoppedError:
            self._lose(counted=counted)
            raise trial.interrupted() from None
        except requests.RequestException as error:
            if not never_sent(error):
                self._lose(counted=counted)
            raise
        except VaultRefusal as refusal:
            if refusal.may_have_acted:
                self._lose(counted=counted)
            self.uses += counted and refusal.status == http.HTTPStatus.NOT_FOUND and refusal.is_bare
            if not refusal.can_pass:
                self._outage.end(self)
            raise
        self._outage.end(self)
        if isinstance(answer, requests.Response):  # 200 without JSON: a web page instead of Vault
            self._lose(counted=counted)
            raise VaultRefusal(answer)
        if not isinstance(answer, dict):
            self._lose(counted=counted)
            raise SecretStoreError(f"Something at {self.address} answers with JSON that is not Vault's.")
        self.uses += counted
        return answer

    def count_as_lost(self) -> None:
        """Count the last answer as lost: Vault does not answer such a request so."""
        self._lose(counted=False)

    def _lose(self, *, counted: bool) -> None:
        self.lost_answers += 1
        self.lost_uses += counted

    def _unreachable(self, trial: _Trial, error: Exception) -> SecretStoreError:
        tried = "" if trial.tries == 1 else f" (tried {trial.tries} times)"
        return SecretStoreError(
            f"Could not {trial.purpose}: {self.failed_peer(error)}: {self.reason(error)}{tried}.",
            remedy=remedy_for(error),
        )


class _Outage:
    """The lines about one outage of Vault: each reason once, and its end."""

    def __init__(self) -> None:
        self._since = 0.0
        self._told: set[str] = set()

    def is_new(self, reason: str) -> bool:
        """Whether this reason, numbers aside, was not logged yet. Marks it as logged."""
        if not self._told:
            self._since = time.monotonic()
        kind = re.sub(r"[0-9.]+", "", reason)
        told = kind in self._told
        self._told.add(kind)
        return not told

    def end(self, client: VaultClient) -> None:
        """Log that Vault answers again, if its outage was logged."""
        if self._told:
            client.on_retry(
                f"Vault at {client.address} answers again, after {format_duration(time.monotonic() - self._since)}."
            )
        self._told.clear()


class _Trial:
    """One call and its tries: its deadline, and the line before each retry."""

    def __init__(self, client: VaultClient, purpose: str, *, again: bool) -> None:
        self.purpose = purpose
        self.tries = 0
        self.until = client.until
        self._client = client
        self._again = again
        self._sealed_until = min(self.until, time.monotonic() + client.settings.sealed_deadline)

    def run(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, a refusal, or the deadline is over."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: self._again and can_pass(error)),
            stop=self._is_over,
            wait=self._wait,
            before=self._count,
            before_sleep=self._tell,
            sleep=self._pause,
            reraise=True,
        )
        self._pause(0)
        return retrying(ask)

    def _count(self, state: tenacity.RetryCallState) -> None:
        self.tries = state.attempt_number

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        attempts = self._client.endpoint.attempts
        if attempts is not None and state.attempt_number >= attempts:
            return True
        error = _error(state)
        limit = self._sealed_until if isinstance(error, VaultRefusal) and error.sealed else self.until
        return time.monotonic() + state.upcoming_sleep > limit

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after if isinstance(error, VaultRefusal) else None
        return max(_WAIT(state), float(asked) if asked and asked.isdecimal() else 0.0)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = _error(state)
        reason = f"{self._client.failed_peer(error)}: {self._client.reason(error)}"
        if self._client._outage.is_new(reason):  # noqa: SLF001 - the client's own
            self._client.on_retry(
                f"{reason[0].upper()}{reason[1:]}. Trying to {self.purpose} again in "
                f"{format_duration(state.upcoming_sleep)}, and for up to "
                f"{format_duration(self.until - time.monotonic())} more."
            )

    def _pause(self, seconds: float) -> None:
        if self._client.stop.wait(seconds):
            raise self.interrupted()

    def interrupted(self) -> SecretStoreError:
        """Return the error for a caller that was told to stop."""
        return SecretStoreError(f"Interrupted: Vault at {self._client.address} was to {self.purpose}.", remedy="")


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


class _Adapter(RawAdapter):
    """hvac's adapter. Returns a dict, or an empty dict if there is no body. Raises VaultRefusal."""

    timeout: tuple[float, float] = (5.0, 10.0)  # to connect, to answer; in seconds
    status = 0  # of the last answer

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002 - hvac's own signature
        **kwargs: Any,
    ) -> Any:
        self.status = 0
        kwargs = {"timeout": self.timeout, **kwargs}
        answer = super().request(method, url, headers=headers, raise_exception=False, **kwargs)
        self.status = answer.status_code
        if not answer.ok:
            if raise_exception:
                raise VaultRefusal(answer)
            return answer
        if answer.status_code == http.HTTPStatus.NO_CONTENT or not answer.content:
            return {}
        body = document(answer)
        return answer if body is None else body
