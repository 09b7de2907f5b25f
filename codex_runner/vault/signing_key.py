"""A signing key in Vault: read with a login that is given back at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.credential import AUDIT_KEY
from codex_runner.domain.errors import CredentialError
from codex_runner.vault.faults import VaultRefusal, part
from codex_runner.vault.lease import logged_in
from codex_runner.vault.mounts import require_kv2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from codex_runner.domain.credential import KeyPlace, VaultSettings
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.bounded import StopFlag


def read_signing_key(  # noqa: PLR0913 - the place, the way to it, and the listeners
    place: KeyPlace,
    settings: VaultSettings,
    environ: Mapping[str, str],
    interruption: AbstractContextManager[StopFlag],
    *,
    on_retry: Callable[[str], None],
    learn: Callable[[Secret], None],
) -> Secret:
    """Return the key at a place. Raises as `logged_in` does, and CredentialError if there is none."""
    with logged_in(settings, environ, interruption, on_retry=on_retry) as client:
        purpose = f"read the key at {place.mount}/data/{place.path}"
        try:
            answer = client.call(
                purpose,
                lambda api: api.secrets.kv.v2.read_secret_version(
                    place.path, mount_point=place.mount, raise_on_deleted_version=True
                ),
            )
        except VaultRefusal as refusal:
            if refusal.status == 404 and not part(refusal.data, "metadata"):
                require_kv2(client, place.mount, refusal)
            remedy = (
                f"Correct `audit.key_vault`, or store the key: `vault kv put -mount={place.mount} {place.path} "
                f"{place.field}=@FILE`."
            )
            raise client.refused(purpose, refusal, remedy=remedy) from None
        value = part(part(answer, "data"), "data").get(place.field)
        if not isinstance(value, str):
            raise CredentialError(
                f"The key at {place.mount}/{place.path} has no text in its field {place.field!r}.",
                remedy="Correct `audit.key_vault.field`.",
            )
        where = f"the key at {place.mount}/{place.path}"
        return client.secrets.telling(learn).value(value, AUDIT_KEY, where, word=False, lines=True)
