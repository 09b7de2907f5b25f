"""`vault.auth` and `credential`: which keys belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex_runner.config.tables import METHOD, keys_of_class
from codex_runner.domain.credential import AUTH_METHODS, CredentialKind, CredentialSource

if TYPE_CHECKING:
    from collections.abc import Mapping


def auth_problem(table: Mapping[str, Any]) -> tuple[str, str] | None:
    """Say which key of `vault.auth` is wrong for its `method`, and what is wrong with it. Returns None if all fit."""
    method = str(table[METHOD])
    known = dict(keys_of_class(AUTH_METHODS[method]))
    for key in table:
        if key != METHOD and key not in known:
            return key, f"a login with {method} has no such key; it has {', '.join(known) or 'none'}"
    for name, each in known.items():
        if each.required and name not in table:
            return name, f"missing; a login with {method} needs it"
    return None


def credential_problem(table: Mapping[str, Any]) -> tuple[str, str] | None:
    """Say which key a job's whole `credential` lacks, and why it is needed. Returns None if it lacks none."""
    source = table.get("source", CredentialSource.VAULT)
    if table.get("kind") == CredentialKind.WORKLOAD_IDENTITY:
        return None
    if source == CredentialSource.VAULT and "path" not in table:
        other = next((name for name in ("variable", "file") if name in table), None)
        hint = f'; with `{other}`, set `source = "{"env" if other == "variable" else other}"`' if other else ""
        return "path", f"missing: the token's path in Vault, such as acme/app/release-notes{hint}"
    if source == CredentialSource.FILE and "file" not in table:
        return "file", "missing: the file that holds the credential"
    return None
