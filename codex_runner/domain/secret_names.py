"""The single table of environment variables from which the runner reads a secret.

Code that reads a secret takes the variable's name from here. Code that starts a program with the caller's environment
removes these. `named` are further variables that a configuration names (`credential.variable`, `url_variable`, ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# Vault and OpenBao: tokens, and the secrets of a login.
VAULT_TOKEN: Final = "VAULT_TOKEN"  # noqa: S105 - a variable's name, like those below
BAO_TOKEN: Final = "BAO_TOKEN"  # noqa: S105
VAULT_SECRET_ID: Final = "VAULT_SECRET_ID"  # noqa: S105
VAULT_ROLE_ID: Final = "VAULT_ROLE_ID"  # no secret by itself, and half of one
VAULT_PASSWORD: Final = "VAULT_PASSWORD"  # noqa: S105
# Identities of CI systems.
GITLAB_ID_TOKEN: Final = "VAULT_ID_TOKEN"  # noqa: S105 - the name that GitLab's documentation gives `id_tokens`
GITHUB_ID_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105
# APIs of the systems. GitHub's variables are Forgejo's too.
GITHUB_TOKENS: Final = ("GITHUB_TOKEN", "GH_TOKEN")
FORGEJO_TOKENS: Final = ("FORGEJO_TOKEN", "GITEA_TOKEN")
ACTIONS_TOKEN: Final = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - a variable's name: artifacts and caches
AZURE_TOKEN: Final = "SYSTEM_ACCESSTOKEN"  # noqa: S105
# Codex's own variables, by the kind of the credential.
ACCESS_TOKEN: Final = "CODEX_ACCESS_TOKEN"  # noqa: S105
API_KEY: Final = "CODEX_API_KEY"
CREDENTIAL: Final = "CODEX_CREDENTIAL"
# Headers of a collector of spans: usually a key.
OTEL_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")

NAMES: Final = frozenset(
    (
        *(VAULT_TOKEN, BAO_TOKEN, VAULT_SECRET_ID, VAULT_ROLE_ID, VAULT_PASSWORD),
        *(GITLAB_ID_TOKEN, GITHUB_ID_TOKEN, *GITHUB_TOKENS, *FORGEJO_TOKENS, ACTIONS_TOKEN, AZURE_TOKEN),
        *(ACCESS_TOKEN, API_KEY, CREDENTIAL, *OTEL_HEADERS),
    )
)
"""The variables that the runner reads without any configuration."""

SETTINGS: Final = "CODEX_RUNNER_"
"""The prefix of the runner's own settings. `codex.env`, with its secrets, is among them."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROXIES: Final = frozenset(
    (
        *(*_PROXIES, *map(str.lower, _PROXIES)),
        *(f"{vendor}_{name}" for vendor in ("VAULT", "BAO") for name in ("PROXY_ADDR", "HTTP_PROXY")),
    )
)
"""Variables with addresses of proxies: secret if the address has a password."""


def holds_secret(name: str, value: str, named: Collection[str] = ()) -> bool:
    """Whether the runner reads a secret from this variable."""
    if name in NAMES or name in named or name.startswith(SETTINGS):
        return True
    return name in PROXIES and any(proxy_passwords(value))


def without_secrets(
    environ: Mapping[str, str], named: Collection[str] = (), given: Collection[str] = ()
) -> dict[str, str]:
    """Return the environment without the variables from which the runner reads a secret, except those `given`."""
    return {key: value for key, value in environ.items() if key in given or not holds_secret(key, value, named)}


def environment_secrets(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each secret in an environment."""
    for name, value in environ.items():
        if name in PROXIES:
            yield from (("PROXY_PASSWORD", password) for password in proxy_passwords(value))
        elif name in NAMES - {VAULT_ROLE_ID}:
            yield name, value


def proxy_passwords(address: str) -> Iterator[str]:
    """Yield the password in a proxy's address, as written and decoded: codex gets it, and errors may quote it."""
    # Not urlsplit: addresses without a scheme are common, and a broken one must not hide its password.
    login, at, _ = address.rpartition("@")
    _, colon, password = login.rpartition("//")[2].partition(":")
    if at and colon and password:
        yield password
        if (decoded := unquote(password)) != password:
            yield decoded
