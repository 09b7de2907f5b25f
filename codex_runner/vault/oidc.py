"""Identity tokens of CI systems: where to get one, and what may be shown of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import tenacity

from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import GITHUB_ID_TOKEN, GITHUB_TOKENS, GITLAB_ID_TOKEN, proxy_passwords
from codex_runner.engine.bounded import StoppedError, Wish
from codex_runner.engine.credential_rules import claimed_date, format_date, unverified_claims
from codex_runner.engine.redact import Redactor
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.vault.endpoint import proxy_of, require_ca, shown_address
from codex_runner.vault.faults import can_pass, root_cause
from codex_runner.vault.wire import Session, document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import JwtAuth

_NAME: Final = "CI_IDENTITY_TOKEN"
_PATIENCE: Final = 10.0  # seconds for one request, from its name to the end of its answer
_LEAST: Final = 0.1  # seconds: what a last try gets in any case
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500

# What roles are usually bound to: worth showing where Vault refused, and none of it is secret.
_SHOWN_CLAIMS: Final = (
    *("iss", "aud", "sub", "repository", "repository_id", "ref", "workflow_ref", "job_workflow_ref", "event_name"),
    *("environment", "project_path", "project_id", "ref_protected", "pipeline_source", "ci_config_ref_uri"),
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to try, whom to tell, and what ends it early. `deadline` is in seconds, from each call on."""

    deadline: float
    on_retry: Callable[[str], None]
    stop: Wish


def identity_token(auth: JwtAuth, secrets: SecretReader, waiting: Waiting) -> Secret:
    """Get the identity token that `auth` names, or the one that this CI system gives.

    Raises CredentialError where there is none, and SecretStoreError where GitHub's endpoint does not answer.
    """
    environment = secrets.environ
    if auth.token_file:
        return secrets.file(auth.token_file, _NAME, "the identity token (`vault.auth.token_file`)")
    if auth.token_variable:
        return _from_variable(auth.token_variable, secrets)
    if url := environment.get("ACTIONS_ID_TOKEN_REQUEST_URL"):
        remedy = "GitHub sets it beside ACTIONS_ID_TOKEN_REQUEST_URL: hand both on, or neither."
        request_token = secrets.variable(GITHUB_ID_TOKEN, "the right to ask for an identity token", remedy)
        token = _from_github(url, request_token, auth.audience, environment, waiting)
        return secrets.value(token, _NAME, "GitHub's identity token")
    if environment.get(GITLAB_ID_TOKEN):
        return _from_variable(GITLAB_ID_TOKEN, secrets)
    remedy = "Name it in `vault.auth.token_file` or `vault.auth.token_variable`."
    if environment.get("GITHUB_ACTIONS") == "true":
        remedy = "Give the workflow's job `permissions: { id-token: write }`, so that GitHub offers it a token."
    elif environment.get("GITLAB_CI"):
        remedy = f"Give the job `id_tokens: {{ {GITLAB_ID_TOKEN}: {{ aud: {auth.audience} }} }}`."
    raise CredentialError("There is no identity token to log in to Vault with: nothing here offers one.", remedy=remedy)


def describe_claims(token: Secret) -> str:
    """Say, for a message, what this token claims: never the token, and only claims that roles are bound to."""
    claims = unverified_claims(token.reveal())
    if not claims:
        return " What was sent is not a JWT."
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
    """Ask GitHub for the number of `owner/name`: unlike the name, nobody else can get it after a rename.

    Uses GITHUB_API_URL, and GITHUB_TOKEN or GH_TOKEN where set (a private repository needs one).
    """
    headers = {"Accept": "application/vnd.github+json"}
    secrets = SecretReader(environment)
    token = next((found for name in GITHUB_TOKENS if (found := secrets.find(name))), None)
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    base = environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    remedy = "Give the number with `--repository-id`: `gh api repos/OWNER/NAME --jq .id` shows it."

    try:
        with _session(environment, base) as session:
            answer = session.within(_PATIENCE, lambda: _get(session, f"{base}/repos/{repository}", headers), Wish())
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
    """Return a library's words, which may quote what was sent, without the token and the proxy's password."""
    if error is None or isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    secrets = [Secret("PROXY_PASSWORD", word) for word in proxy_passwords(proxy_of(environment, url) or "")]
    return Redactor([*secrets, *([token] if token else [])]).text(root_cause(error))


def _from_variable(name: str, secrets: SecretReader) -> Secret:
    remedy = "Set it in the pipeline, or correct `vault.auth.token_variable`."
    return secrets.variable(name, "the identity token", remedy, mask=_NAME)


def _from_github(
    url: str, request_token: Secret, audience: str, environment: Mapping[str, str], waiting: Waiting
) -> str:
    with _session(environment, url) as session:
        asking = _Asking(
            session, url, {"audience": audience}, waiting, lambda error: _told(error, request_token, environment, url)
        )
        try:
            answer = asking.until_answered(f"Bearer {request_token.reveal()}")
        except StoppedError:
            raise SecretStoreError("Interrupted while waiting for GitHub's identity token.", remedy="") from None
        except requests.RequestException as error:
            raise SecretStoreError(
                f"GitHub's identity endpoint gave no token for the audience {audience!r}: {asking.reason(error)}.",
                remedy="Run the job again; https://www.githubstatus.com tells whether GitHub Actions has an outage.",
            ) from None
    token = _json(answer).get("value")
    if answer.status_code != _OK or not isinstance(token, str) or not token:
        raise CredentialError(
            f"GitHub's identity endpoint refused a token for the audience {audience!r}: HTTP {answer.status_code}.",
            remedy="Give the workflow's job `permissions: { id-token: write }`; a request token ends with its job.",
        )
    return token


class _Asking:
    """Asks GitHub's endpoint until it answers or time is over. Says once that it does not, and once that it does."""

    def __init__(
        self,
        session: Session,
        url: str,
        params: Mapping[str, str],
        waiting: Waiting,
        reason: Callable[[BaseException | None], str],
    ) -> None:
        self._session, self._url, self._params, self._waiting = session, url, params, waiting
        self.reason = reason
        self._began = time.monotonic()
        self._told = False

    def until_answered(self, authorization: str) -> requests.Response:
        """Return the answer. StoppedError if the caller was told to stop."""
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
            self._waiting.on_retry(f"GitHub's identity endpoint answers again, after {self._seconds:.1f} s.")
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
                f"GitHub's identity endpoint: {why}. Asking again in {state.upcoming_sleep:.1f} s, and for up to "
                f"{left:.0f} s more."
            )
        self._told = True

    def _pause(self, seconds: float) -> None:
        if self._waiting.stop.wait(seconds):
            raise StoppedError


def _passes(error: BaseException) -> bool:
    return isinstance(error, requests.HTTPError) or (isinstance(error, requests.RequestException) and can_pass(error))


def _get(
    session: Session, url: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None
) -> requests.Response:
    return session.request("GET", url, headers=headers, params=params, timeout=_PATIENCE)


def _json(answer: requests.Response) -> dict[str, Any]:
    body = document(answer)
    return body if isinstance(body, dict) else {}


def _session(environment: Mapping[str, str], url: str) -> Session:
    """Proxy and CA as the environment given to us has them, not as this process happens to have them."""
    proxy = proxy_of(environment, url)
    ca_file = environment.get("SSL_CERT_FILE")
    if ca_file:
        require_ca(ca_file, "SSL_CERT_FILE")
    return Session(ca_file or True, None, {urlsplit(url).scheme: proxy} if proxy else {})
