"""Identity tokens (OIDC) of CI systems: how to get one, and which of its claims messages may show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import tenacity

from codex_runner.ci_systems import SYSTEMS, Pipeline
from codex_runner.ci_systems.github import api_url
from codex_runner.ci_systems.identity import IdentityEndpoint, IdentityVariable
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import GITHUB_TOKENS, proxy_passwords
from codex_runner.engine.bounded import StopFlag, StoppedError
from codex_runner.engine.credential_rules import claimed_date, unverified_claims
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.dates import format_date
from codex_runner.text.durations import format_duration
from codex_runner.vault.endpoint import proxy_of, require_ca, shown_address
from codex_runner.vault.faults import can_pass, root_cause
from codex_runner.vault.http import VaultSession, document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import JwtAuth

_NAME: Final = "CI_IDENTITY_TOKEN"
_PATIENCE: Final = 10.0  # seconds for one request, from its name to the end of its answer
_LEAST: Final = 0.1  # seconds that a last try gets in any case
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500

# The claims that roles are usually bound to: worth showing if Vault refuses, and none is secret.
_SHOWN_CLAIMS: Final = ("iss", "aud", "sub", *(claim for system in SYSTEMS for claim in system.identity_claims))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A retry deadline in seconds from each call on, the listener for retries, and the flag that ends waiting early."""

    deadline: float
    on_retry: Callable[[str], None]
    stop: StopFlag


def identity_token(auth: JwtAuth, secrets: SecretReader, waiting: Waiting) -> Secret:
    """Return the identity token that `auth` names, or the one that this CI system gives.

    Raises CredentialError if there is none, and SecretStoreError if the system's endpoint does not answer.
    """
    environment = secrets.environ
    if auth.token_file:
        return secrets.file(auth.token_file, _NAME, "the identity token (`vault.auth.token_file`)")
    if auth.token_variable:
        return _from_variable(auth.token_variable, secrets)
    pipeline = Pipeline(environment)
    match pipeline.identity():
        case IdentityEndpoint() as endpoint:
            bearer = secrets.variable(endpoint.bearer, "the right to ask for an identity token", endpoint.if_missing)
            token = _from_endpoint(endpoint, bearer, auth.audience, environment, waiting)
            return secrets.value(token, _NAME, f"{endpoint.title}'s identity token")
        case IdentityVariable(name):
            return _from_variable(name, secrets)
        case None:
            pass
    remedy = pipeline.identity_remedy(auth.audience)
    remedy = remedy or "Name it in `vault.auth.token_file` or `vault.auth.token_variable`."
    raise CredentialError("There is no identity token to log in to Vault with.", remedy=remedy)


def describe_claims(token: Secret) -> str:
    """Describe the token's claims for a message: only claims that roles are bound to, and never the token."""
    claims = unverified_claims(token.reveal())
    if not claims:
        return " The token that was sent is not a JWT."
    told = [f"{name}={claims[name]!r}" for name in _SHOWN_CLAIMS if name in claims]
    try:
        expires = claimed_date(claims, "exp")
    except ValueError as error:
        told.append(f"an `exp` that cannot be read: {error}")
    else:
        if expires is not None:
            told.append(f"exp={format_date(expires)}" + (" (expired)" if expires < time.time() else ""))
    return f" The token claims {', '.join(told)}."


def repository_id(repository: str, environment: Mapping[str, str]) -> str:
    """Return GitHub's number of the repository `owner/name`. Unlike a name, no other repository can ever get it.

    Uses the API of this job's GitHub, and GITHUB_TOKEN or GH_TOKEN if set (a private repository needs one).
    """
    headers = {"Accept": "application/vnd.github+json"}
    secrets = SecretReader(environment)
    token = next((found for name in GITHUB_TOKENS if (found := secrets.find(name))), None)
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    base = api_url(environment)
    remedy = "Give the number with `--repository-id`: `gh api repos/OWNER/NAME --jq .id` shows it."

    try:
        with _session(environment, base) as session:
            answer = session.within(_PATIENCE, lambda: _get(session, f"{base}/repos/{repository}", headers), StopFlag())
    except requests.RequestException as error:
        told = _told(error, token, environment, base)
        raise SecretStoreError(
            f"GitHub's API at {shown_address(base)} cannot be reached: {told}.", remedy=remedy
        ) from None
    number = _json(answer).get("id")
    if answer.status_code != _OK or not isinstance(number, int):
        raise CredentialError(f"GitHub does not know {repository} (HTTP {answer.status_code}).", remedy=remedy)
    return str(number)


def _told(error: BaseException | None, token: Secret | None, environment: Mapping[str, str], url: str) -> str:
    """Return a library's words, redacted: they may quote the token or the proxy's password."""
    if error is None or isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    secrets = [Secret("PROXY_PASSWORD", word) for word in proxy_passwords(proxy_of(environment, url) or "")]
    return Redactor([*secrets, *([token] if token else [])]).text(root_cause(error))


def _from_variable(name: str, secrets: SecretReader) -> Secret:
    remedy = "Set it in the pipeline, or correct `vault.auth.token_variable`."
    return secrets.variable(name, "the identity token", remedy, mask=_NAME)


def _from_endpoint(
    endpoint: IdentityEndpoint, bearer: Secret, audience: str, environment: Mapping[str, str], waiting: Waiting
) -> str:
    url, owner = endpoint.url, f"{endpoint.title}'s"
    with _session(environment, url) as session:
        asking = _Asking(
            session, endpoint, {"audience": audience}, waiting, lambda error: _told(error, bearer, environment, url)
        )
        try:
            answer = asking.until_answered(f"Bearer {bearer.reveal()}")
        except StoppedError:
            raise SecretStoreError(f"Interrupted while waiting for {owner} identity token.", remedy="") from None
        except requests.RequestException as error:
            raise SecretStoreError(
                f"{owner} identity endpoint gave no token for the audience {audience!r}: {asking.reason(error)}.",
                remedy=endpoint.if_silent,
            ) from None
    token = _json(answer).get("value")
    if answer.status_code != _OK or not isinstance(token, str) or not token:
        raise CredentialError(
            f"{owner} identity endpoint refused a token for the audience {audience!r}: HTTP {answer.status_code}.",
            remedy=endpoint.if_refused,
        )
    return token


class _Asking:
    """Retries of the endpoint with backoff, until it answers or the deadline is over.

    Logs one line when it does not answer, and one when it answers again.
    """

    def __init__(
        self,
        session: VaultSession,
        endpoint: IdentityEndpoint,
        params: Mapping[str, str],
        waiting: Waiting,
        reason: Callable[[BaseException | None], str],
    ) -> None:
        self._session, self._url, self._params, self._waiting = session, endpoint.url, params, waiting
        self._asked = f"{endpoint.title}'s identity endpoint"
        self.reason = reason
        self._began = time.monotonic()
        self._told = False

    def until_answered(self, authorization: str) -> requests.Response:
        """Return the answer. Raises StoppedError if the caller was told to stop."""
        headers = {"Authorization": authorization, "Accept": "application/json"}
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            stop=tenacity.stop_before_delay(self._waiting.deadline),
            wait=tenacity.wait_random_exponential(multiplier=0.4, min=0.1, max=5.0),
            before_sleep=self._tell,
            sleep=self._pause,
            reraise=True,
        )
        answer = retrying(self._once, headers)
        if self._told:
            self._waiting.on_retry(f"{self._asked} answers again, after {format_duration(self._seconds)}.")
        return answer

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _once(self, headers: Mapping[str, str]) -> requests.Response:
        seconds = min(_PATIENCE, max(_LEAST, self._waiting.deadline - self._seconds))
        answer: requests.Response = self._session.within(
            seconds, lambda: _get(self._session, self._url, headers, self._params), self._waiting.stop
        )
        if answer.status_code == _TOO_MANY or answer.status_code >= _SERVER_ERROR:
            raise requests.HTTPError(f"HTTP {answer.status_code}", response=answer)
        return answer

    def _tell(self, state: tenacity.RetryCallState) -> None:
        if not self._told:
            left = max(0.0, self._waiting.deadline - self._seconds)
            why = self.reason(state.outcome.exception() if state.outcome else None)
            self._waiting.on_retry(
                f"{self._asked}: {why}. Asking again in {format_duration(state.upcoming_sleep)}, and for up to "
                f"{format_duration(left)} more."
            )
        self._told = True

    def _pause(self, seconds: float) -> None:
        if self._waiting.stop.wait(seconds):
            raise StoppedError


def _passes(error: BaseException) -> bool:
    return isinstance(error, requests.HTTPError) or (isinstance(error, requests.RequestException) and can_pass(error))


def _get(
    session: VaultSession, url: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None
) -> requests.Response:
    return session.request("GET", url, headers=headers, params=params, timeout=_PATIENCE)


def _json(answer: requests.Response) -> dict[str, Any]:
    body = document(answer)
    return body if isinstance(body, dict) else {}


def _session(environment: Mapping[str, str], url: str) -> VaultSession:
    """Open a session with the proxy and the CA of `environment`, not of this process."""
    proxy = proxy_of(environment, url)
    ca_file = environment.get("SSL_CERT_FILE")
    if ca_file:
        require_ca(ca_file, "SSL_CERT_FILE")
    return VaultSession(ca_file or True, None, {urlsplit(url).scheme: proxy} if proxy else {})
