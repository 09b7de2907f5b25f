"""Credentials: their place, their facts, the findings of the rules, and the settings of Vault. Plain values.

Durations are in seconds. `config` builds the settings; `vault` and the rules use them.
"""

from __future__ import annotations

from dataclasses import field as setting  # `field` is also a key: that of a secret in Vault
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, get_args

from codex_runner.dataclass import dataclass
from codex_runner.domain.key import FILE, SECRET_FILE, SECRET_VARIABLE, SHOWN, Form, key
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
    """The kind of a credential, as codex takes it."""

    ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind's name, not a token
    API_KEY = "api_key"
    WORKLOAD_IDENTITY = "workload_identity"


class CredentialSource(StrEnum):
    """The source that the credential is read from."""

    VAULT = "vault"
    ENV = "env"
    FILE = "file"


_VARIABLES = {CredentialKind.ACCESS_TOKEN: ACCESS_TOKEN, CredentialKind.API_KEY: API_KEY}


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """The place of a job's credential, and the conditions for its use.

    `mount`, `path` and `field` name one field of a KV v2 secret (source `vault`); `variable` names an environment
    variable (source `env`), `file` a file (source `file`). `env_key` is the variable in which codex gets the value:
    by default that of its kind. `min_ttl` is the least lifetime that must be left; the job's timeout and a margin are
    always required. `issued_at` and `expires_at` (RFC 3339) are for a source without fields.
    """

    kind: CredentialKind = setting(default=CredentialKind.ACCESS_TOKEN, metadata=SHOWN)
    source: CredentialSource = setting(default=CredentialSource.VAULT, metadata=SHOWN)
    mount: str = setting(default="codex", metadata=SHOWN)
    path: str = setting(default="", metadata=SHOWN)
    field: str = "token"
    variable: str | None = setting(default=None, metadata=SECRET_VARIABLE)
    file: str | None = setting(default=None, metadata=SECRET_FILE)
    env_key: str | None = setting(default=None, metadata=key(form=Form.FREE_VARIABLE))
    workflow: str | None = setting(default=None, metadata=SHOWN)
    min_ttl: float | None = setting(default=None, metadata=SHOWN)
    warn_ttl: float = setting(default=3 * 86400.0, metadata=SHOWN)
    max_age: float | None = setting(default=None, metadata=SHOWN)
    issued_at: str | None = setting(default=None, metadata=key(form=Form.DATE, shown=True))
    expires_at: str | None = setting(default=None, metadata=key(form=Form.DATE, shown=True))
    allow_unexpiring: bool = setting(default=False, metadata=SHOWN)
    allow_batch: bool = setting(default=False, metadata=SHOWN)
    preflight_url: str | None = setting(default=None, metadata=key(form=Form.URL))
    identify: bool = False

    @property
    def environment_variable(self) -> str:
        """The variable in which codex gets the value. It is also the name in the secret's mask."""
        return self.env_key or _VARIABLES.get(self.kind, CREDENTIAL)

    @property
    def place(self) -> str:
        """The credential's place, for messages; never the value."""
        match self.source:
            case CredentialSource.VAULT:
                return f"{self.mount}/{self.path}"
            case CredentialSource.ENV:
                return f"${self.variable or self.environment_variable}"
            case CredentialSource.FILE:
                return self.file or "a file that is not named"


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """The facts of a credential, without its value. They are public, and go into run.json.

    `issued_at` and `expires_at` are kept as they were written (RFC 3339 if they can be read). `created_at` is when the
    store got this version. `workflow` is the workflow that the credential names. The login's facts are None if there
    was no login; `lease_seconds` is the lifetime that the login had.
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
    """A credential as read from its source: the value, and its facts."""

    secret: Secret
    facts: CredentialFacts


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A borrowed credential, and the events of its checks in their order."""

    credential: Credential
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """The credential as codex gets it: environment variables, and the public facts.

    `kind` is None if the job names no credential.
    """

    kind: CredentialKind | None = None
    environment: Mapping[str, str | Secret] = setting(default_factory=lambda: MappingProxyType({}))
    facts: CredentialFacts | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The values that must not be shown."""
        return tuple(value for value in self.environment.values() if not isinstance(value, str))


class Outcome(StrEnum):
    """The result of a rule."""

    PASSED = "passed"
    WARNED = "warned"
    REFUSED = "refused"
    UNJUDGED = "not judged"  # the facts that the rule needs are not known


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule for one credential. `rule` is its stable name; `remedy` is "" if nothing is wrong."""

    rule: str
    outcome: Outcome
    message: str
    remedy: str = ""


# --- the settings of Vault -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """A login with an identity token of the CI system.

    The token comes from `token_file`, else from the variable `token_variable`, else from GitHub Actions' endpoint
    with `audience`, else from GitLab's usual variable VAULT_ID_TOKEN.
    """

    method: ClassVar[str] = "jwt"
    role: str = setting(metadata=SHOWN)
    mount: str = setting(default="jwt", metadata=SHOWN)
    audience: str = setting(default="codex-runner", metadata=SHOWN)
    token_file: str | None = setting(default=None, metadata=SECRET_FILE)
    token_variable: str | None = setting(default=None, metadata=SECRET_VARIABLE)


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """A login with a role id and a secret id, for hosts without an identity of their own.

    `role` is the role's name: with `wrapped`, the secret id is a wrapping token that must come from that role. A
    `single_use` secret id is tried only once; a wrapped one always counts as single-use.
    """

    method: ClassVar[str] = "approle"
    role: str = setting(metadata=SHOWN)
    mount: str = setting(default="approle", metadata=SHOWN)
    role_id: str | None = None
    role_id_variable: str = setting(default=VAULT_ROLE_ID, metadata=SECRET_VARIABLE)
    secret_id_file: str | None = setting(default=None, metadata=SECRET_FILE)
    secret_id_variable: str = setting(default=VAULT_SECRET_ID, metadata=SECRET_VARIABLE)
    wrapped: bool = False
    single_use: bool = False


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """A login with the pod's service account."""

    method: ClassVar[str] = "kubernetes"
    role: str = setting(metadata=SHOWN)
    mount: str = setting(default="kubernetes", metadata=SHOWN)
    token_file: str = setting(default="/var/run/secrets/kubernetes.io/serviceaccount/token", metadata=SECRET_FILE)


@dataclass(frozen=True, slots=True)
class UserpassAuth:
    """A login with a user's name and password."""

    method: ClassVar[str] = "userpass"
    username: str = setting(metadata=SHOWN)
    mount: str = setting(default="userpass", metadata=SHOWN)
    password_file: str | None = setting(default=None, metadata=SECRET_FILE)
    password_variable: str = setting(default=VAULT_PASSWORD, metadata=SECRET_VARIABLE)


@dataclass(frozen=True, slots=True)
class CertAuth:
    """A login with a TLS client certificate. The files fall back to VAULT_CLIENT_CERT and VAULT_CLIENT_KEY."""

    method: ClassVar[str] = "cert"
    role: str = setting(metadata=SHOWN)
    mount: str = setting(default="cert", metadata=SHOWN)
    cert_file: str | None = setting(default=None, metadata=FILE)
    key_file: str | None = setting(default=None, metadata=SECRET_FILE)


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """No login: an existing Vault token, in `token_file`, VAULT_TOKEN or ~/.vault-token."""

    method: ClassVar[str] = "token"
    token_file: str | None = setting(default=None, metadata=SECRET_FILE)


@dataclass(frozen=True, slots=True)
class AgentAuth:
    """No login: a Vault agent or proxy on this machine adds its own token. Falls back to VAULT_AGENT_ADDR."""

    method: ClassVar[str] = "agent"
    address: str | None = setting(default=None, metadata=key(form=Form.URL))


VaultAuth = JwtAuth | AppRoleAuth | KubernetesAuth | UserpassAuth | CertAuth | TokenAuth | AgentAuth

AUTH_METHODS: Mapping[str, type[VaultAuth]] = {cls.method: cls for cls in get_args(VaultAuth)}
"""The login methods by their name in the configuration. Metadata marks the fields that name a secret's place."""


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to reach Vault and log in. A setting that is None falls back to the VAULT_* variable of the same meaning.

    `request_timeout` limits one request. A failure that can pass is retried until `retry_deadline` after the first try,
    a sealed Vault only until `sealed_deadline`. The revocation has its own `revoke_deadline`.
    """

    address: str | None = setting(default=None, metadata=key(form=Form.URL))
    auth: VaultAuth = setting(default_factory=TokenAuth, metadata=key(form=Form.LOGIN))
    namespace: str | None = setting(default=None, metadata=SHOWN)
    ca_file: str | None = setting(default=None, metadata=key(form=Form.FILE, shown=True))
    proxy: str | None = None
    connect_timeout: float = setting(default=5.0, metadata=SHOWN)
    request_timeout: float = setting(default=10.0, metadata=SHOWN)
    retry_deadline: float = setting(default=60.0, metadata=SHOWN)
    sealed_deadline: float = setting(default=20.0, metadata=SHOWN)
    revoke_deadline: float = setting(default=20.0, metadata=SHOWN)
