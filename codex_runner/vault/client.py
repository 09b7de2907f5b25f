"""A connection to Vault or OpenBao: what is tried again, for how long, and how a failure reads.

hvac builds the requests. What can pass (refused connections, timeouts, 412, 429, 5xx, a seal) is tried again with
jitter until a deadline, with a line in the log for each try; what cannot is told at once.
"""

from __future__ import annotations

import http
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

import hvac
import requests
import tenacity
from hvac.adapters import JSONAdapter

from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine.redact import Redactor
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.vault.endpoint import resolve_endpoint
from codex_runner.vault.faults import Refusal, can_pass, never_sent, root_cause

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
    """How a server says it is. `version` is its own word."""

    initialized: bool
    sealed: bool
    version: str


class VaultClient:
    """One connection, for one login. Not safe to share between threads. Use it as a context manager.

    `on_retry` gets one line before each new try. `stop` ends all waiting early: the call that waits then raises.
    `secrets` reads what a login needs, and learns of each secret that is used.
    `lost_answers` counts requests whose answer never came although the server may have acted on them.
    """

    def __init__(
        self,
        settings: VaultSettings,
        environment: Mapping[str, str],
        *,
        on_retry: Callable[[str], None] = lambda _: None,
        stop: threading.Event | None = None,
        secrets: SecretReader | None = None,
    ) -> None:
        """Connect to nothing yet. ConfigurationError where the settings or VAULT_* are wrong."""
        self.settings = settings
        self.environment = environment
        self.endpoint = resolve_endpoint(settings, environment)
        self.address = self.endpoint.address
        # No text of a library, a proxy or Vault itself is told with one of these in it.
        self._redactor = Redactor(self.endpoint.secrets)
        self.secrets = (secrets or SecretReader(environment)).telling(self._redactor.learn)
        self.on_retry = on_retry
        self.stop = stop or threading.Event()
        self.lost_answers = 0
        self._deadline: float | None = None
        self._session = _Session()
        self._session.verify = self.endpoint.verify
        self._session.cert = self.endpoint.certificate
        self._session.proxies = self.endpoint.proxies
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
        """Close the connection. A login is not given back here: see `lease`."""
        self.use(None)
        self._session.close()

    def use(self, token: Secret | None) -> None:
        """Send this token with every request from now on, or none."""
        if token is not None:
            self.secrets.learn(token)
        self.api.token = "" if token is None else token.reveal()

    def finish_within(self, seconds: float) -> None:
        """Give all calls from now on this many seconds together."""
        self._deadline = time.monotonic() + seconds

    def ignore_stop(self) -> None:
        """From now on, wait as if nobody had asked to stop: for what must be given back in any case."""
        self.stop = threading.Event()

    def call(self, purpose: str, ask: Callable[[hvac.Client], Any], *, again: bool = True) -> dict[str, Any]:
        """Return the JSON object that `ask` gets. Tries again what can pass, unless `again` is False.

        `purpose` completes "could not ..." in messages. Raises Refusal where Vault refused for good, and
        SecretStoreError where it cannot be reached or cannot answer.
        """
        trial = _Trial(self, purpose, again=again)
        try:
            return trial.run(lambda: self._ask(ask, trial))
        except Refusal as refusal:
            if refusal.is_outage:
                raise self._unreachable(trial, refusal) from None
            raise
        except requests.RequestException as error:
            raise self._unreachable(trial, error) from None

    def health(self) -> Health:
        """Ask how the server is; needs no login. SecretStoreError where it cannot be reached."""
        codes = {"standbyok": "true", "perfstandbyok": "true", "sealedcode": "200", "uninitcode": "200"}
        try:
            answer = self.call("ask for its health", lambda api: api.adapter.get("/v1/sys/health", params=codes))
        except Refusal as refusal:
            said = self.reason(refusal)
            raise SecretStoreError(f"Vault at {self.address} does not tell its health: {said}.") from None
        return Health(bool(answer.get("initialized")), bool(answer.get("sealed")), str(answer.get("version", "")))

    def refused(self, purpose: str, refusal: Refusal, *, details: str = "", remedy: str) -> CredentialError:
        """Make the error for a refusal: who refused what, in its own words."""
        said = self._redactor.text(str(refusal))
        return CredentialError(f"Vault at {self.address} refused to {purpose}: {said}.{details}", remedy=remedy)

    @property
    def until(self) -> float:
        """When a call that begins now has to be over, on the monotonic clock."""
        return self._deadline or time.monotonic() + self.settings.retry_deadline

    def reason(self, error: BaseException | None) -> str:
        """Say in a few words why there was no good answer, without a secret that a library quotes."""
        # Cut behind the redactor: half of a secret would not be found.
        return self._redactor.text(self._words(error))[:_SHOWN]

    def _words(self, error: BaseException | None) -> str:
        match error:
            case requests.exceptions.ConnectTimeout():
                return f"no connection within {self._adapter.timeout[0]:.1f} s"
            case requests.exceptions.Timeout():
                return f"no answer within {self._adapter.timeout[1]:.1f} s"
            case requests.exceptions.TooManyRedirects():
                return "it redirects in circles"
            case requests.RequestException():
                return root_cause(error)
            case _:
                return str(error)

    def _ask(self, ask: Callable[[hvac.Client], Any], trial: _Trial) -> dict[str, Any]:
        left = max(_FIRST_WAIT, trial.until - time.monotonic())
        self._adapter.timeout = (min(self.endpoint.connect_timeout, left), min(self.endpoint.request_timeout, left))
        try:
            answer = ask(self.api)
        except requests.RequestException as error:
            self.lost_answers += not never_sent(error)
            raise
        if isinstance(answer, requests.Response):  # 200, and no JSON: a web page in Vault's place
            raise Refusal(answer)
        if not isinstance(answer, dict):
            raise SecretStoreError(f"Something at {self.address} answers with JSON that is not Vault's.")
        return answer

    def _unreachable(self, trial: _Trial, error: Exception) -> SecretStoreError:
        remedy = "Check that VAULT_ADDR (or `vault.address`) is right and that the server is up; then run again."
        if isinstance(error, Refusal) and error.sealed:
            remedy = "Unseal it: `vault operator unseal`."
        elif isinstance(error, Refusal) and not error.is_vaults:
            remedy = "Something that is not Vault answers there: check VAULT_ADDR (or `vault.address`) and the proxy."
        elif isinstance(error, Refusal) and error.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            remedy = "Its rate-limit quota is used up: run fewer jobs at once, or raise the quota."
        elif isinstance(error, requests.exceptions.SSLError):
            remedy = "Name the CA that signed the server's certificate in VAULT_CACERT (or `vault.ca_file`)."
        tried = "" if trial.tries == 1 else f" (tried {trial.tries} times)"
        return SecretStoreError(
            f"Could not {trial.purpose}: Vault at {self.address}: {self.reason(error)}{tried}.", remedy=remedy
        )


class _Trial:
    """One call and its tries: how long it may take, and what is said before each new one."""

    def __init__(self, client: VaultClient, purpose: str, *, again: bool) -> None:
        self.purpose = purpose
        self.tries = 0
        self.until = client.until
        self._client = client
        self._again = again
        self._sealed_until = min(self.until, time.monotonic() + client.settings.sealed_deadline)

    def run(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, a refusal, or no time left."""
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
        limit = self._sealed_until if isinstance(error, Refusal) and error.sealed else self.until
        return time.monotonic() + state.upcoming_sleep > limit

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after if isinstance(error, Refusal) else None
        return max(_WAIT(state), float(asked) if asked and asked.isdecimal() else 0.0)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        self._client.on_retry(
            f"Vault at {self._client.address}: {self._client.reason(_error(state))}. Trying to {self.purpose} again "
            f"in {state.upcoming_sleep:.1f} s (try {state.attempt_number + 1}, for up to "
            f"{max(0.0, self.until - time.monotonic()):.0f} s more)."
        )

    def _pause(self, seconds: float) -> None:
        if self._client.stop.wait(seconds):
            raise SecretStoreError(f"Interrupted: Vault at {self._client.address} was to {self.purpose}.", remedy="")


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


class _Adapter(JSONAdapter):
    """hvac's adapter with its answers told apart: a dict, an empty dict where there is no body, or a Refusal."""

    timeout: tuple[float, float] = (5.0, 10.0)  # to connect, to answer; in seconds

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002 - hvac's own signature
        **kwargs: Any,
    ) -> Any:
        kwargs = {"timeout": self.timeout, **kwargs}
        answer = super().request(method, url, headers=headers, raise_exception=False, **kwargs)
        if not isinstance(answer, requests.Response):
            return answer
        if answer.status_code == http.HTTPStatus.NO_CONTENT or (answer.ok and not answer.content):
            return {}
        if raise_exception:
            raise Refusal(answer)
        return answer


class _Session(requests.Session):
    """A session that reads nothing from the environment and never follows a redirect out of TLS."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = 3  # a standby points to the active node: one is usual

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and urlsplit(str(resp.url)).scheme == "https" and urlsplit(target).scheme == "http":
            raise requests.exceptions.InvalidSchema("it redirects from https to http, which would show the token")
        return target
