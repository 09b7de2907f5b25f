"""`[vault]` and `credential`, from checked tables to the domain's values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from codex_runner.config.paths import below
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
    from pathlib import Path

_FILES = ("ca_file", "token_file", "secret_id_file", "password_file", "cert_file", "key_file", "file")


def auth_problem(table: Mapping[str, Any]) -> tuple[str, str] | None:
    """Say which key of `vault.auth` is wrong for its `method`, and what is wrong with it; None where all fit."""
    method = str(table["method"])
    known = {field.name: field for field in fields(AUTH_METHODS[method])}
    for key in table:
        if key != "method" and key not in known:
            return key, f"a login with {method} has no such key; it has {', '.join(known) or 'none'}"
    for name, field in known.items():
        if field.type == "str" and name in {"role", "username"} and name not in table:
            return name, f"missing; a login with {method} needs it"
    return None


def credential_problem(table: Mapping[str, Any]) -> tuple[str, str] | None:
    """Say which key a job's whole `credential` lacks, and why it is needed; None where nothing does."""
    source = table.get("source", CredentialSource.VAULT)
    if table.get("kind") == CredentialKind.WORKLOAD_IDENTITY:
        return None
    if source == CredentialSource.VAULT and "path" not in table:
        other = next((name for name in ("variable", "file") if name in table), None)
        hint = f'; with `{other}`, say `source = "{"env" if other == "variable" else other}"`' if other else ""
        return "path", f"missing: where the token lies in Vault, such as acme/app/release-notes{hint}"
    if source == CredentialSource.FILE and "file" not in table:
        return "file", "missing: the file that holds the credential"
    return None


def vault_settings(table: Mapping[str, Any], root: Path) -> VaultSettings:
    """Build the settings from a checked table. Files come out absolute: relative ones start at `root`."""
    values = _with_files({key: value for key, value in table.items() if key != "auth"}, root)
    given = _with_files(table.get("auth", {}), root)
    auth: VaultAuth = AUTH_METHODS[given.pop("method")](**given) if given else TokenAuth()
    return VaultSettings(**values, auth=auth)


def credential_spec(table: Mapping[str, Any], root: Path) -> CredentialSpec:
    """Build the spec from a checked and whole table. Its file comes out absolute: a relative one starts at `root`."""
    values = _with_files(table, root)
    if "kind" in values:
        values["kind"] = CredentialKind(values["kind"])
    if "source" in values:
        values["source"] = CredentialSource(values["source"])
    return CredentialSpec(**values)


def _with_files(table: Mapping[str, Any], root: Path) -> dict[str, Any]:
    return {key: str(below(root, value)) if key in _FILES else value for key, value in table.items()}
