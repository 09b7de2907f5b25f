"""Applying a setup's steps through Vault's API. Idempotent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError
from codex_runner.vault.faults import VaultRefusal
from codex_runner.vault.setup import AuthMount, KvMount, Policy, Role, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.errors import CredentialError
    from codex_runner.vault.client import VaultClient


def apply(client: VaultClient, steps: Sequence[Step]) -> tuple[str, ...]:
    """Apply the steps with the client's login. Returns one line for each. Idempotent: leaves what fits as it is.

    Raises ConfigurationError, before it changes anything, if a mount of that name has another type. Raises
    CredentialError if a right is missing.
    """
    for step in steps:
        match step:
            case KvMount():
                _look_at_kv(client, step)
            case AuthMount():
                _look_at_auth(client, step)
            case _:
                pass
    return tuple(_make(client, step) for step in steps)


def _make(client: VaultClient, step: Step) -> str:
    match step:
        case KvMount():
            return _make_kv(client, step)
        case Policy():
            _write(client, f"sys/policies/acl/{step.name}", {"policy": step.text})
            return f"wrote the policy {step.name}"
        case AuthMount():
            return _make_auth(client, step)
        case Role():
            _write(client, f"auth/{step.mount}/role/{step.name}", step.body)
            return f"wrote the role {step.name} at auth/{step.mount}"


def _look_at_kv(client: VaultClient, step: KvMount) -> bool:
    """Return whether the mount exists. Raises ConfigurationError if it is not KV version 2."""
    mounted = _read(client, f"sys/mounts/{step.path}")
    if mounted is not None and (mounted.get("type") != "kv" or (mounted.get("options") or {}).get("version") != "2"):
        raise ConfigurationError(
            f"The mount {step.path} in Vault at {client.address} is not KV version 2.",
            remedy="Choose another mount with `--mount`.",
        )
    return mounted is not None


def _make_kv(client: VaultClient, step: KvMount) -> str:
    mounted = _look_at_kv(client, step)
    if not mounted:
        _write(client, f"sys/mounts/{step.path}", {"type": "kv", "options": {"version": "2"}})
    deadline = time.monotonic() + 10
    while True:
        try:
            _write(client, f"{step.path}/config", {"cas_required": True}, raw=True)
        except VaultRefusal as refusal:
            # A new KV mount refuses for some milliseconds: "Upgrading from non-versioned to versioned data".
            if "pgrading" not in str(refusal) or time.monotonic() > deadline:
                raise _refused(client, f"{step.path}/config", refusal) from None
            time.sleep(0.05)
        else:
            return f"{'kept' if mounted else 'mounted'} KV version 2 at {step.path}, with check-and-set required"


def _look_at_auth(client: VaultClient, step: AuthMount) -> tuple[bool, bool]:
    """Return whether the auth method is mounted, and whether it is configured.

    Raises ConfigurationError if it has another type or another configuration.
    """
    mounted = _read(client, f"sys/auth/{step.path}")
    if mounted is None:
        return False, False
    if mounted.get("type") != step.type:
        raise ConfigurationError(
            f"auth/{step.path} in Vault at {client.address} is a {mounted.get('type')} login, not {step.type}.",
            remedy=f"Choose another mount with `--{step.type}-mount`.",
        )
    config = _read(client, f"auth/{step.path}/config") if step.config else None
    if config is not None and any(config.get(name) != value for name, value in step.config.items()):
        raise ConfigurationError(
            f"auth/{step.path} trusts the issuer {config.get('bound_issuer')!r}, "
            f"not {step.config.get('bound_issuer')!r}.",
            remedy=f"Choose another mount with `--{step.type}-mount`: changing this one would break its roles.",
        )
    return True, config is not None


def _make_auth(client: VaultClient, step: AuthMount) -> str:
    mounted, configured = _look_at_auth(client, step)
    if not mounted:
        _write(client, f"sys/auth/{step.path}", {"type": step.type})
    if step.config and not configured:
        _write(client, f"auth/{step.path}/config", step.config)
    return f"{'kept' if mounted else 'enabled'} {step.type} logins at auth/{step.path}"


def _read(client: VaultClient, path: str) -> dict[str, Any] | None:
    try:
        answer = client.call(f"read {path}", lambda api: api.adapter.get(f"/v1/{path}"))
    except VaultRefusal as refusal:
        # 404 if a mount has no such path; 400 if there is no mount: "No secret engine mount at x/", "No auth engine at"
        if refusal.status == 404 or str(refusal).startswith("No "):
            return None
        raise _refused(client, path, refusal) from None
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def _write(client: VaultClient, path: str, body: Mapping[str, Any], *, raw: bool = False) -> None:
    try:
        client.call(f"write {path}", lambda api: api.adapter.post(f"/v1/{path}", json=dict(body)))
    except VaultRefusal as refusal:
        if raw:
            raise
        raise _refused(client, path, refusal) from None


def _refused(client: VaultClient, path: str, refusal: VaultRefusal) -> CredentialError:
    return client.refused(
        f"set up {path}", refusal, remedy="Use a login that may set Vault up, or print the steps for an administrator."
    )
