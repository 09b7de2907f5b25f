"""Why a path gave a 404: no mount, a mount that is not KV version 2, or no secret at that path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError
from codex_runner.vault.faults import VaultRefusal

if TYPE_CHECKING:
    from codex_runner.vault.client import VaultClient


def require_kv2(client: VaultClient, mount: str, missing: VaultRefusal) -> None:
    """Raise CredentialError if `missing`, a 404, did not come from a mount of KV version 2.

    A KV mount gives no reason with its 404. Vault names a mount's type to every login with a right in it. If Vault does
    not name it, this returns.
    """
    if not missing.is_bare:
        raise CredentialError(
            f"Vault at {client.address} has no mount {mount!r}: {missing}.",
            remedy="Correct the mount (`credential.mount`, `--mount`), the namespace, or VAULT_ADDR.",
        )
    url = f"/v1/sys/internal/ui/mounts/{mount}"
    try:
        answer = client.call(f"look at the mount {mount}", lambda api: api.adapter.get(url), open_to_all=True)
    except VaultRefusal:
        return
    data = answer.get("data")
    facts = data if isinstance(data, dict) else {}
    options = facts.get("options")
    version = options.get("version") if isinstance(options, dict) else None
    kind = facts.get("type")
    if kind is None or (kind == "kv" and version == "2"):
        return
    what = f"is KV version {version or 1}" if kind in {"kv", "generic"} else f"keeps {kind}, not KV"
    raise CredentialError(
        f"The mount {mount!r} in Vault at {client.address} {what}; tokens need KV version 2.",
        remedy=f"Name another mount, or convert it with `vault kv enable-versioning {mount}`.",
    )
