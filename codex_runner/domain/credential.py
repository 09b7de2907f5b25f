"""What a job needs to prove who it is: where its credential lies, what is known of it, and how Vault is reached.

Durations are in seconds. Everything here is a plain value: `config` builds it, `vault` and the rules use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from codex_runner.domain.secret_names import (
    ACCESS_TOKEN,
    API_KEY,
    CREDENTIAL,
    VAULT_PASSWORD,
    VAULT_ROLE_ID,
    VAULT_SECRET_ID,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret


class CredentialKind(StrEnum):
    """What codex takes the credential for."""

    ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind's name, not a token
    API_KEY = "api_key"
    WORKLOAD_IDENTITY = "workload_identity"


class CredentialSource(StrEnum):
    """Where the credential is taken from."""

    VAULT = "vault"
    ENV = "env"
    FILE = "file"


_VARIABLES = {CredentialKind.ACCESS_TOKEN: ACCESS_TOKEN, CredentialKind.API_KEY: API_KEY}


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """Where a job's credential lies, and what must hold before it is used.

    `mount`, `path` and `field` name one field of a KV v2 secret (source `vault`); `variable` names an environment
    variable (source `env`), `file` a file (source `file`). `env_key` is the variable in which codex gets the value:
    by default that of its kind. `min_ttl` is the least life the credential must have left; the job's own timeout and
    a margin are asked for in any case. `issued_at` and `expires_at` (RFC 3339) say what a source without fields
    cannot say.
    """

    kind: CredentialKind = CredentialKind.ACCESS_TOKEN
    source: CredentialSource = CredentialSource.VAULT
    mount: str = "codex"
    path: str = ""
    field: str = "token"
    variable: str | None = None
    file: str | None = None
    env_key: str | None = None
    workflow: str | None = None
    min_ttl: float | None = None
    warn_ttl: float = 3 * 86400.0
    max_age: float | None = None
    issued_at: str | None = None
    expires_at: str | None = None
    allow_unexpiring: bool = False
    allow_batch: bool = False
    preflight_url: str | None = None
    identify: bool = False

    @property
    def environment_variable(self) -> str:
        """The variable in which codex gets the value; it is also the name on the secret's mask."""
        return self.env_key or _VARIABLES.get(self.kind, CREDENTIAL)

    @property
    def place(self) -> str:
        """Where it lies, for messages: never the value."""
        match self.source:
            case CredentialSource.VAULT:
                return f"{self.mount}/{self.path}"
            case CredentialSource.ENV:
                return f"${self.variable or self.environment_variable}"
            case CredentialSource.FILE:
                return self.file or "a file that is not named"


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """What is known of a credential beside its value; all of it may be shown. It goes into run.json.

    `issued_at` and `expires_at` stand as they were written (RFC 3339 if they can be read); `created_at` is when the
    store got this version. `workflow` is the one that the credential names for itself. The login's facts are empty
    where nobody logged in; `lease_seconds` is how long the login would have lived.
    """

    source: str
    place: str
    workflow: str | None = None
    owner: str | None = None
    issued_at: str | None = None
    expires_at: str | None = None
    created_at: str | None = None
    version: int | None = None
    mount: str | None = None
    path: str | None = None
    field: str | None = None
    max_age: float | None = None
    request_id: str | None = None
    auth_method: str | None = None
    auth_role: str | None = None
    accessor: str | None = None
    lease_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that has been taken from its source: the value, and what is known of it."""

    secret: Secret
    facts: CredentialFacts


@dataclass(frozen=True, slots=True)
class Borrowed:
    """What a run gets: the credential, and what was proven on the way, in the order in which it happened."""

    credential: Credential
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """What codex gets so that it can prove who it is: variables of its environment, and what may be told of them.

    `kind` is None where the job names no credential at all.
    """

    kind: CredentialKind | None = None
    environment: Mapping[str, str | Secret] = field(default_factory=lambda: MappingProxyType({}))
    facts: CredentialFacts | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The values that must not be shown."""
        return tuple(value for value in self.environment.values() if not isinstance(value, str))


class Outcome(StrEnum):
    """What a rule says."""

    PASSED = "passed"
    WARNED = "warned"
    REFUSED = "refused"
    UNJUDGED = "not judged"  # nothing is known that the rule could judge


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one credential. `rule` is its stable name; `remedy` is empty where nothing is wrong."""

    rule: str
    outcome: Outcome
    message: str
    remedy: str = ""


# --- how Vault is reached --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """A login with an identity token of the CI system.

    The token comes from `token_file`, else from the variable `token_variable`, else from GitHub Actions' endpoint
    with `audience`, else from GitLab's usual variable VAULT_ID_TOKEN.
    """

    method: ClassVar[str] = "jwt"
    role: str
    mount: str = "jwt"
    audience: str = "codex-runner"
    token_file: str | None = None
    token_variable: str | None = None


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """A login with a role id and a secret id, for hosts without an identity of their own.

    `role` is the role's name: with `wrapped`, the secret id is a wrapping token whose origin must be that role. A
    `single_use` secret id is tried once and never again; a wrapped one always counts as such.
    """

    method: ClassVar[str] = "approle"
    role: str
    mount: str = "approle"
    role_id: str | None = None
    role_id_variable: str = VAULT_ROLE_ID
    secret_id_file: str | None = None
    secret_id_variable: str = VAULT_SECRET_ID
    wrapped: bool = False
    single_use: bool = False


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """A login with the pod's service account."""

    method: ClassVar[str] = "kubernetes"
    role: str
    mount: str = "kubernetes"
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a file's name


@dataclass(frozen=True, slots=True)
class UserpassAuth:
    """A login with a user's name and password."""

    method: ClassVar[str] = "userpass"
    username: str
    mount: str = "userpass"
    password_file: str | None = None
    password_variable: str = VAULT_PASSWORD


@dataclass(frozen=True, slots=True)
class CertAuth:
    """A login with a TLS client certificate. The files fall back to VAULT_CLIENT_CERT and VAULT_CLIENT_KEY."""

    method: ClassVar[str] = "cert"
    role: str
    mount: str = "cert"
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """No login: a Vault token that is already there, in `token_file`, VAULT_TOKEN or ~/.vault-token."""

    method: ClassVar[str] = "token"
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class AgentAuth:
    """No login: a Vault agent or proxy on this machine adds its own token. Falls back to VAULT_AGENT_ADDR."""

    method: ClassVar[str] = "agent"
    address: str | None = None


VaultAuth = JwtAuth | AppRoleAuth | KubernetesAuth | UserpassAuth | CertAuth | TokenAuth | AgentAuth

AUTH_METHODS: Mapping[str, type[VaultAuth]] = MappingProxyType(
    {cls.method: cls for cls in (JwtAuth, AppRoleAuth, KubernetesAuth, UserpassAuth, CertAuth, TokenAuth, AgentAuth)}
)


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach Vault and log in. What is None falls back to the VAULT_* variable of the same meaning.

    A request may take `request_timeout`; whatever can pass is tried again until `retry_deadline` after the first
    try, a sealed Vault only until `sealed_deadline`. The revocation has `revoke_deadline` of its own.
    """

    address: str | None = None
    auth: VaultAuth = field(default_factory=TokenAuth)
    namespace: str | None = None
    ca_file: str | None = None
    proxy: str | None = None
    connect_timeout: float = 5.0
    request_timeout: float = 10.0
    retry_deadline: float = 60.0
    sealed_deadline: float = 20.0
    revoke_deadline: float = 20.0
