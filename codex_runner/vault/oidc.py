"""Identity tokens of CI systems: where to get one, and what may be shown of it."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import GITHUB_ID_TOKEN, GITHUB_TOKENS, GITLAB_ID_TOKEN, proxy_passwords
from codex_runner.engine.credential_rules import format_date, unverified_claims
from codex_runner.engine.redact import Redactor
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.vault.endpoint import proxy_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    import httpx
    import tenacity

    from codex_runner.domain.credential import JwtAuth

_NAME: Final = "CI_IDENTITY_TOKEN"

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
    stop: threading.Event


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
    expires = claims.get("exp")
    if isinstance(expires, int | float):
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
    import httpx  # noqa: PLC0415 - late: it costs 0.2 s

    try:
        with httpx.Client(timeout=10.0, trust_env=False, **_http_options(environment, base)) as client:
            answer = client.get(f"{base}/repos/{repository}", headers=headers)
    except httpx.HTTPError as error:
        told = _told(error, token, environment, base)
        raise SecretStoreError(f"GitHub's API at {base} cannot be reached: {told}.", remedy=remedy) from None
    number = _json(answer).get("id")
    if answer.status_code != httpx.codes.OK or not isinstance(number, int):
        raise CredentialError(f"GitHub does not know {repository} (HTTP {answer.status_code}).", remedy=remedy)
    return str(number)


def _told(error: BaseException | None, token: Secret | None, environment: Mapping[str, str], url: str) -> str:
    """Return a library's words, which may quote what was sent, without the token and the proxy's password."""
    import httpx  # noqa: PLC0415 - late: it costs 0.2 s

    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    secrets = [Secret("PROXY_PASSWORD", word) for word in proxy_passwords(proxy_of(environment, url) or "")]
    return Redactor([*secrets, *([token] if token else [])]).text(" ".join(str(error).split()))


def _from_variable(name: str, secrets: SecretReader) -> Secret:
    remedy = "Set it in the pipeline, or correct `vault.auth.token_variable`."
    return secrets.variable(name, "the identity token", remedy, mask=_NAME)


def _from_github(
    url: str, request_token: Secret, audience: str, environment: Mapping[str, str], waiting: Waiting
) -> str:
    import httpx  # noqa: PLC0415 - late: it costs 0.2 s
    import tenacity  # noqa: PLC0415 - late, likewise

    def ask() -> httpx.Response:
        answer = client.get(
            httpx.URL(url).copy_merge_params({"audience": audience}),
            headers={"Authorization": f"Bearer {request_token.reveal()}", "Accept": "application/json"},
        )
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            answer.raise_for_status()
        return answer

    def reason(error: BaseException | None) -> str:
        return _told(error, request_token, environment, url)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        waiting.on_retry(
            f"GitHub's identity endpoint: {reason(error)}. Asking again in {state.upcoming_sleep:.1f} s "
            f"(try {state.attempt_number + 1})."
        )

    def pause(seconds: float) -> None:
        if waiting.stop.wait(seconds):
            raise SecretStoreError("Interrupted while waiting for GitHub's identity token.", remedy="")

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((httpx.TransportError, httpx.HTTPStatusError)),
        stop=tenacity.stop_before_delay(waiting.deadline),
        wait=tenacity.wait_random_exponential(multiplier=0.4, min=0.1, max=5.0),
        before_sleep=tell,
        sleep=pause,
        reraise=True,
    )
    with httpx.Client(timeout=10.0, trust_env=False, **_http_options(environment, url)) as client:
        try:
            answer = retrying(ask)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SecretStoreError(
                f"GitHub's identity endpoint gave no token for the audience {audience!r}: {reason(error)}.",
                remedy="Run the job again; https://www.githubstatus.com tells whether GitHub Actions has an outage.",
            ) from None
    token = _json(answer).get("value")
    if answer.status_code != httpx.codes.OK or not isinstance(token, str) or not token:
        raise CredentialError(
            f"GitHub's identity endpoint refused a token for the audience {audience!r}: HTTP {answer.status_code}.",
            remedy="Give the workflow's job `permissions: { id-token: write }`; a request token ends with its job.",
        )
    return token


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _http_options(environment: Mapping[str, str], url: str) -> dict[str, Any]:
    """Proxy and CA as the environment given to us has them, not as this process happens to have them."""
    options: dict[str, Any] = {}
    if proxy := proxy_of(environment, url):
        options["proxy"] = proxy
    if ca_file := environment.get("SSL_CERT_FILE"):
        options["verify"] = ssl.create_default_context(cafile=ca_file)
    return options
