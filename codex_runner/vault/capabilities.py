"""What a login may do in Vault, by Vault's own words: capabilities-self, and the mounts that it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.errors import RunnerError
from codex_runner.domain.governance import Attested, Topic
from codex_runner.vault.faults import VaultRefusal, part
from codex_runner.vault.lease import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.engine.bounded import StopFlag
    from codex_runner.vault.client import VaultClient

_PROBE: Final = "codex-runner-probe"  # a path that nobody has
_SOURCE: Final = "Vault sys/capabilities-self"


def vault_answers(
    spec: CredentialSpec,
    settings: VaultSettings,
    environ: Mapping[str, str],
    interruption: AbstractContextManager[StopFlag],
    *,
    on_retry: Callable[[str], None],
) -> list[Attested]:
    """Log in as a run of the job would, and ask what the login may do. The login is given back.

    What Vault does not answer is not known.
    """
    try:
        with logged_in(settings, environ, interruption, on_retry=on_retry) as client:
            return [*_capabilities(client, spec), *_mounts(client, spec)]
    except RunnerError as error:
        return [
            Attested(Topic.SECRETS, fact, why=error.message)
            for fact in ("vault_own_path", "vault_other_paths", "vault_mounts")
        ]


def _capabilities(client: VaultClient, spec: CredentialSpec) -> Iterator[Attested]:
    own, above = f"{spec.mount}/data/{spec.path}", spec.path.rpartition("/")[0]
    beside = f"{spec.mount}/data/{above}/{_PROBE}" if above else f"{spec.mount}/data/{_PROBE}"
    others = dict.fromkeys(
        [
            beside,
            f"{spec.mount}/data/{_PROBE}",
            f"{spec.mount}/metadata/",
            f"secret/data/{_PROBE}",
            "auth/token/create",
            f"sys/policies/acl/{_PROBE}",
        ]
    )
    purpose = "ask what the login may do"
    try:
        answer = client.call(
            purpose, lambda api: api.adapter.post("/v1/sys/capabilities-self", json={"paths": [own, *others]})
        )
    except VaultRefusal as refusal:
        why = f"Vault refused to {purpose}: {client.reason(refusal)}"
        yield Attested(Topic.SECRETS, "vault_own_path", why=why)
        yield Attested(Topic.SECRETS, "vault_other_paths", why=why)
        return
    told = {**answer, **part(answer, "data")}
    yield _known("vault_own_path", {own: told.get(own)})
    yield _known("vault_other_paths", {path: told.get(path) for path in others})


def _known(fact: str, asked: Mapping[str, Any]) -> Attested:
    """Return the capabilities of some paths. Not known unless Vault has named each of them."""
    if all(_is_words(each) for each in asked.values()):
        return Attested(Topic.SECRETS, fact, {path: sorted(each) for path, each in asked.items()}, _SOURCE)
    return Attested(Topic.SECRETS, fact, why="Vault does not name each path that was asked for")


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _mounts(client: VaultClient, spec: CredentialSpec) -> Iterator[Attested]:
    """Vault shows a login the mounts in which it may do anything at all."""
    purpose = "list the mounts that the login sees"
    try:
        answer = client.call(purpose, lambda api: api.adapter.get("/v1/sys/internal/ui/mounts"))
        mounts: Sequence[str] = sorted(part(part(answer, "data"), "secret"))
    except VaultRefusal as refusal:
        yield Attested(Topic.SECRETS, "vault_mounts", why=f"Vault refused to {purpose}: {client.reason(refusal)}")
        return
    if f"{spec.mount}/" not in mounts:  # it reads there, so an answer without it is another program's
        yield Attested(Topic.SECRETS, "vault_mounts", why="Vault's answer lacks the mount of the job's own token")
        return
    yield Attested(Topic.SECRETS, "vault_mounts", mounts, "Vault sys/internal/ui/mounts")
