"""`[vault]` and `credential`, from checked tables to the domain's values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from codex_runner.domain.credential import (
    AUTH_METHODS,
    CredentialKind,
    CredentialSource,
    CredentialSpec,
    TokenAuth,
    VaultAuth,
    VaultSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def auth_problem(table: Mapping[str, Any]) -> str | None:
    """Say what is wrong with `vault.auth`, or None. Its keys depend on its `method`."""
    method = str(table.get("method"))
    if method not in AUTH_METHODS:
        return f"`method` must be one of {', '.join(AUTH_METHODS)}"
    known = {field.name: field for field in fields(AUTH_METHODS[method])}
    for key, value in table.items():
        if key == "method":
            continue
        if key not in known:
            return f"{method} has no {key!r}; it has {', '.join(known)}"
        wanted: type = bool if known[key].type == "bool" else str
        if not isinstance(value, wanted) or value == "":
            return f"`{key}` must be {'true or false' if wanted is bool else 'a string, and not empty'}"
    missing = [
        name for name, field in known.items() if field.type == "str" and name in {"role", "username"} and name not in table
    ]
    return f"{method} needs {missing[0]!r}" if missing else None


def vault_settings(table: Mapping[str, Any]) -> VaultSettings:
    """Build the settings from a checked table."""
    values = {key: value for key, value in table.items() if key != "auth"}
    given = dict(table.get("auth", {}))
    auth: VaultAuth = AUTH_METHODS[given.pop("method")](**given) if given else TokenAuth()
    return VaultSettings(**values, auth=auth)


def credential_spec(table: Mapping[str, Any]) -> CredentialSpec:
    """Build the spec from a checked table."""
    values = dict(table)
    if "kind" in values:
        values["kind"] = CredentialKind(values["kind"])
    if "source" in values:
        values["source"] = CredentialSource(values["source"])
    return CredentialSpec(**values)


def credential_problem(table: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a job's `credential` as a whole, or None."""
    source = table.get("source", "vault")
    if table.get("kind") == "workload_identity":
        return None
    if source == "vault" and not table.get("path"):
        return "`path` is missing: where the token lies in Vault, such as acme/app/release-notes"
    if source == "file" and not table.get("file"):
        return "`file` is missing: the file that holds the credential"
    return None
