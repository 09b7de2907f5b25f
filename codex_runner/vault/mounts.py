"""What stands behind a path where nothing was found: no mount, one that is no KV version 2, or really nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError
from codex_runner.vault.faults import VaultRefusal

if TYPE_CHECKING:
    from codex_runner.vault.client import VaultClient


def require_kv2(client: VaultClient, mount: str, missing: VaultRefusal) -> None:
    """Raise CredentialError if `missing`, a 404, came from no mount of KV version 2; return if it did.

    Of a KV mount a 404 gives no reason. Vault tells what a mount is to everybody who may do anything in it; if it does
    not tell, what was found stands.
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
        remedy=f"Name another mount, or make it one: `vault kv enable-versioning {mount}`.",
    )
