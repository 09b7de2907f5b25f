"""Vault login methods. Each returns a Login, or raises an error that says in one sentence why not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import (
    AgentAuth,
    AppRoleAuth,
    CertAuth,
    JwtAuth,
    KubernetesAuth,
    TokenAuth,
    UserpassAuth,
)
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import BAO_TOKEN, VAULT_TOKEN
from codex_runner.vault.faults import VaultRefusal, part
from codex_runner.vault.oidc import Waiting, describe_claims, identity_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import hvac

    from codex_runner.vault.client import VaultClient

_BAD_REQUEST = 400  # Vault's answer to a wrapping token that it does not know, or no longer knows
_NOT_ASKED = (
    "Vault did not check the wrapping token. Check that this machine may reach sys/wrapping, and correct the "
    "namespace if it is wrong."
)
_LONGEST = 100 * 365 * 86400.0  # seconds: longer than any login lives


@dataclass(frozen=True, slots=True)
class Login:
    """A login to Vault. `token` is None if a Vault agent adds its own.

    `ours` is True if the runner logged in, so that it must revoke the login; `batch` tokens cannot be revoked.
    `seconds` is the token's TTL. `until` is its end on the monotonic clock, None if Vault did not name a TTL.
    `uses` is its limit of uses, 0 for no limit. `role_there` is the role that Vault names.
    """

    method: str
    role: str | None
    token: Secret | None
    ours: bool
    accessor: str | None = None
    batch: bool = False
    seconds: float = 0.0
    request_id: str | None = None
    until: float | None = None
    uses: int = 0
    role_there: str | None = None


def log_in(client: VaultClient) -> Login:
    """Log in as the client's settings say, and let the client use the login from now on.

    Raises CredentialError if Vault refuses or the means are missing, SecretStoreError if Vault does not answer.
    """
    auth = client.settings.auth
    match auth:
        case JwtAuth():
            login = _with_jwt(client, auth)
        case AppRoleAuth():
            login = _with_approle(client, auth)
        case KubernetesAuth():
            login = _with_kubernetes(client, auth)
        case UserpassAuth():
            login = _with_userpass(client, auth)
        case CertAuth():
            login = _with_certificate(client, auth)
        case TokenAuth():
            login = Login(auth.method, None, _supplied_token(client, auth), ours=False)
        case AgentAuth():
            login = Login(auth.method, None, None, ours=False)
    client.use(login.token)
    return login


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A login about to be tried: its name, and what to say if Vault refuses it."""

    method: str
    role: str
    mount: str
    remedy: str
    details: str = ""
    again: bool = True

    @property
    def purpose(self) -> str:
        return f"log in with {self.method} as {self.role!r} at auth/{self.mount}"


def _try(client: VaultClient, attempt: _Attempt, ask: Callable[[hvac.Client], Any]) -> Login:
    client.use(None)
    try:
        answer = client.call(attempt.purpose, ask, again=attempt.again)
    except VaultRefusal as refusal:
        raise client.refused(attempt.purpose, refusal, details=attempt.details, remedy=attempt.remedy) from None
    except SecretStoreError as error:
        if not attempt.again:
            error.remedy += " A secret id that works only once may be used up by now: then make a new one."
        raise
    answered = time.monotonic()
    try:
        auth = part(answer, "auth")
    except SecretStoreError:
        client.count_as_lost()
        raise
    token, seconds = auth.get("client_token"), _positive(auth.get("lease_duration"))
    metadata = auth.get("metadata")
    if not isinstance(token, str) or not token:
        if not _made_none(answer, auth):
            client.count_as_lost()
        raise CredentialError(
            f"Vault at {client.address} gave no token when asked to {attempt.purpose}.",
            remedy=f"Use a role without a second factor, and check that auth/{attempt.mount} is an auth method.",
        )
    return Login(
        method=attempt.method,
        role=attempt.role,
        token=Secret(VAULT_TOKEN, token),
        ours=True,
        accessor=auth.get("accessor") or None,
        batch=auth.get("token_type") == "batch",
        seconds=seconds,
        request_id=answer.get("request_id"),
        until=answered + seconds if seconds else None,
        uses=int(_positive(auth.get("num_uses"))),
        role_there=metadata.get("role_name") if isinstance(metadata, dict) else None,
    )


def _made_none(answer: Mapping[str, Any], auth: Mapping[str, Any]) -> bool:
    """Whether Vault itself says that it made no login: it wants a second factor, or this is no auth method."""
    return isinstance(auth.get("mfa_requirement"), dict) or ("request_id" in answer and answer.get("auth", "") is None)


def _positive(value: Any) -> float:
    """Return a number from an answer; 0 if it is missing or out of range."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LONGEST
    return float(value) if known else 0.0


def require_role(client: VaultClient, login: Login) -> None:
    """Raise CredentialError if the login has another role than the configuration: a role id may belong to any role."""
    there = login.role_there
    if login.method == AppRoleAuth.method and there and there.lower() != str(login.role).lower():
        raise CredentialError(
            f"The role id belongs to {there!r} in Vault at {client.address}, but `vault.auth.role` is {login.role!r}.",
            remedy="Correct the role, or give the role id that belongs to it.",
        )


def _with_jwt(client: VaultClient, auth: JwtAuth) -> Login:
    waiting = Waiting(client.settings.retry_deadline, client.on_retry, client.stop)
    token = identity_token(auth, client.secrets, waiting)
    attempt = _Attempt(
        auth.method,
        auth.role,
        auth.mount,
        f"Compare these claims with the role's bound_claims and bound_audiences (`vault read auth/{auth.mount}/role/"
        f"{auth.role}`). `codex-runner vault setup` makes a role that fits.",
        details=describe_claims(token),
    )
    return _try(
        client,
        attempt,
        lambda api: api.auth.jwt.jwt_login(role=auth.role, jwt=token.reveal(), path=auth.mount, use_token=False),
    )


def _with_approle(client: VaultClient, auth: AppRoleAuth) -> Login:
    environment = client.environment
    role_id = auth.role_id or environment.get(auth.role_id_variable)
    if not role_id:
        raise CredentialError(
            f"The role id of {auth.role!r} is missing: set `vault.auth.role_id` or {auth.role_id_variable}.",
            remedy=f"Show it with `vault read auth/{auth.mount}/role/{auth.role}/role-id`.",
        )
    source = auth.secret_id_file, auth.secret_id_variable
    # A wrapping token goes into a header.
    secret_id = _given(client, *source, "VAULT_SECRET_ID", "the secret id", word=auth.wrapped)
    if auth.wrapped:
        secret_id = _unwrap(client, auth, secret_id)
    attempt = _Attempt(
        auth.method,
        auth.role,
        auth.mount,
        f"Make a new secret id (`vault write -f auth/{auth.mount}/role/{auth.role}/secret-id`) if it is used up or "
        "expired. Check the role id, and that this machine's address is in the role's CIDRs.",
        again=not (auth.wrapped or auth.single_use),
    )
    return _try(
        client,
        attempt,
        lambda api: api.auth.approle.login(role_id, secret_id.reveal(), use_token=False, mount_point=auth.mount),
    )


def _unwrap(client: VaultClient, auth: AppRoleAuth, wrapping: Secret) -> Secret:
    """Unwrap the secret id, after a lookup has proven that the wrapping token was made for this role."""
    theft = (
        "The wrapping token is used, expired or wrong. If you did not use it, treat it as a possible "
        "theft: destroy the role's secret ids, and search Vault's audit log for its use."
    )
    purpose = f"look up the wrapping token of {auth.role!r}'s secret id"
    try:
        answer = client.call(
            purpose, lambda api: api.adapter.post("/v1/sys/wrapping/lookup", json={"token": wrapping.reveal()})
        )
    except VaultRefusal as refusal:
        raise client.refused(purpose, refusal, remedy=theft if refusal.status == _BAD_REQUEST else _NOT_ASKED) from None
    origin = str((answer.get("data") or {}).get("creation_path", ""))
    if not origin.endswith(f"/role/{auth.role}/secret-id"):
        raise CredentialError(
            f"The wrapping token was made at {origin!r}, not at auth/{auth.mount}/role/{auth.role}/secret-id.",
            remedy="Another process may have swapped it for the real one: treat it as a possible theft, and do not "
            "unwrap it.",
        )
    purpose = f"unwrap the secret id of {auth.role!r}"
    client.use(wrapping)
    try:
        answer = client.call(purpose, lambda api: api.adapter.post("/v1/sys/wrapping/unwrap"), again=False)
    except VaultRefusal as refusal:
        raise client.refused(purpose, refusal, remedy=theft if refusal.status == _BAD_REQUEST else _NOT_ASKED) from None
    except SecretStoreError as error:
        error.remedy += " The wrapping token may be used up by now: then deliver a new one."
        raise
    finally:
        client.use(None)
    secret_id = (answer.get("data") or {}).get("secret_id")
    if not secret_id:
        raise CredentialError("The wrapping token held no secret id.", remedy=theft)
    return client.secrets.value(str(secret_id), "VAULT_SECRET_ID", "the secret id in its wrapping", word=False)


def _with_kubernetes(client: VaultClient, auth: KubernetesAuth) -> Login:
    token = client.secrets.file(auth.token_file, "KUBERNETES_TOKEN", "the service account's token")
    attempt = _Attempt(
        auth.method,
        auth.role,
        auth.mount,
        f"Compare the service account and namespace with `vault read auth/{auth.mount}/role/{auth.role}`.",
        details=describe_claims(token),
    )
    return _try(
        client,
        attempt,
        lambda api: api.auth.kubernetes.login(auth.role, token.reveal(), use_token=False, mount_point=auth.mount),
    )


def _with_userpass(client: VaultClient, auth: UserpassAuth) -> Login:
    password = _given(client, auth.password_file, auth.password_variable, "VAULT_PASSWORD", "the password")
    attempt = _Attempt(auth.method, auth.username, auth.mount, "Check the user's name and password.")
    return _try(
        client,
        attempt,
        lambda api: api.auth.userpass.login(auth.username, password.reveal(), use_token=False, mount_point=auth.mount),
    )


def _with_certificate(client: VaultClient, auth: CertAuth) -> Login:
    certificate = client.endpoint.certificate
    attempt = _Attempt(
        auth.method,
        auth.role,
        auth.mount,
        f"Compare the certificate {certificate[0] if certificate else ''} (its CA, names and dates) with "
        f"`vault read auth/{auth.mount}/certs/{auth.role}`.",
    )
    # hvac's own auth.cert.login insists on files that the session already has.
    return _try(client, attempt, lambda api: api.adapter.post(f"/v1/auth/{auth.mount}/login", json={"name": auth.role}))


def _supplied_token(client: VaultClient, auth: TokenAuth) -> Secret:
    if auth.token_file:
        return client.secrets.file(auth.token_file, VAULT_TOKEN, "the Vault token (`vault.auth.token_file`)")
    for name in (BAO_TOKEN, VAULT_TOKEN):
        if token := client.secrets.find(name, mask=VAULT_TOKEN):
            return token
    kept = Path(client.environment.get("HOME", "/")) / ".vault-token"
    if kept.is_file():
        return client.secrets.file(str(kept), VAULT_TOKEN, "the Vault token")
    raise CredentialError(
        f"There is no Vault token: VAULT_TOKEN is not set, and {kept} does not exist.",
        remedy="Log in with `vault login`, or choose a login for machines in `vault.auth` (jwt, approle).",
    )


def _given(  # noqa: PLR0913 - its place and its names
    client: VaultClient, file: str | None, name: str, mask: str, what: str, *, word: bool = False
) -> Secret:
    """Read a secret from `file`, or from the variable `name` if there is no file.

    A value that goes into a request body need not be a `word`.
    """
    if file:
        return client.secrets.file(file, mask, what, word=word)
    remedy = "Set it in the pipeline, or name a file in `vault.auth`."
    return client.secrets.variable(name, what, remedy, mask=mask, word=word)
