"""The tokens that Vault keeps for the workflows: stored, rotated, looked over, and destroyed.

A token and its facts lie in one version of a KV v2 path. `custom_metadata` mirrors the facts, so that they can be
listed without the right to read tokens; it is one map a path, so it says which version it mirrors, and one that is
behind is `stale`. It also remembers which versions are to be destroyed, and when.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine.credential_rules import format_date, format_duration, parse_date
from codex_runner.vault.faults import Refusal
from codex_runner.vault.mounts import require_kv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codex_runner.domain.secret import Secret
    from codex_runner.vault.client import VaultClient

TOKEN_EXPIRY: Final = "token-expiry"  # noqa: S105 - a rule's name
TOKEN_STATE: Final = "token-state"  # noqa: S105 - a rule's name
TOKEN_RETIRED: Final = "token-retired"  # noqa: S105 - a rule's name

_PUT_ID: Final = "put."  # a field of this name and a random number shows whose put a version is, without its value


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a workflow's token lies: a KV v2 mount, and a path in it."""

    mount: str
    path: str

    def __str__(self) -> str:
        """Write it as `vault kv` does."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to store. Times are seconds since the epoch; `expires_at` is None where it does not expire."""

    secret: Secret
    workflow: str
    owner: str
    issued_at: float
    expires_at: float | None
    field: str = "token"


@dataclass(frozen=True, slots=True)
class Stored:
    """A token that is in Vault now. `settled` says that the answer was lost, and the version was read back."""

    version: int
    settled: bool = False
    retire_version: int | None = None
    retire_after: float | None = None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """What is known of a stored token without reading it. Dates stand as they were written.

    `state` is `valid`, `expired`, `stale` (the facts are of another version), `deleted`, `destroyed` or `empty`.
    `live_versions` are all that Vault could still hand out, the newest last.
    """

    place: TokenPlace
    state: str
    version: int
    workflow: str | None = None
    owner: str | None = None
    issued_at: str | None = None
    expires_at: str | None = None
    created_at: str | None = None
    live_versions: tuple[int, ...] = ()
    retire_version: int | None = None
    retire_after: str | None = None


@dataclass(frozen=True, slots=True)
class _Metadata:
    """A path's metadata, as Vault has it. `current` is 0 where nothing was stored yet."""

    current: int = 0
    custom: dict[str, str] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)

    def is_live(self, version: int, now: float) -> bool:
        """Whether Vault would hand this version out to someone who may read it."""
        facts = self.versions.get(version, {})
        gone = facts.get("deletion_time")  # it may lie in the future: `delete_version_after`
        return bool(facts) and not facts.get("destroyed") and not (gone and parse_date(gone) <= now)


def put(  # noqa: PLR0913 - what, where, when; and what follows from it
    client: VaultClient,
    place: TokenPlace,
    token: NewToken,
    *,
    now: float,
    preflight: Callable[[Secret], None] | None = None,
    retire_after: float | None = None,
) -> Stored:
    """Store a token as the path's newest version, if nobody else stores one meanwhile.

    `preflight` is called first and raises where the token is no good: then nothing is stored. With `retire_after`
    (seconds since the epoch) the versions so far are marked to be destroyed then. Vault itself deletes the new
    version when the token expires. Where the answer is lost, the version is read back to see whose it is; that needs
    the right to read `subkeys`, which shows no values. CredentialError where another put came between.
    """
    if token.expires_at is not None and token.expires_at <= now:
        raise CredentialError(
            f"The token for {token.workflow} expires at {format_date(token.expires_at)}, which is over.",
            remedy="Make a fresh token and store that one.",
        )
    if preflight is not None:
        preflight(token.secret)
    before = _read_metadata(client, place)
    custom = dict(before.custom)
    if retire_after is not None and before.current:
        # Noted before the put: should it be lost half-way, the sweep still finds it, and never takes the newest.
        custom |= {"retire_version": str(before.current), "retire_after": format_date(retire_after)}
    life = "0s" if token.expires_at is None else f"{math.ceil(token.expires_at - now)}s"
    _write_metadata(client, place, custom, delete_version_after=life)
    facts = {"workflow": token.workflow, "owner": token.owner, "issued_at": format_date(token.issued_at)}
    if token.expires_at is not None:
        facts["expires_at"] = format_date(token.expires_at)
    version, settled = _write(client, place, {token.field: token.secret.reveal(), **facts}, before.current)
    mirror = {name: value for name, value in custom.items() if name.startswith("retire_")}
    _write_metadata(client, place, {**mirror, **facts, "version": str(version)}, delete_version_after=life)
    retired = before.current if retire_after is not None and before.current else None
    return Stored(version, settled, retired, retire_after if retired else None)


def rotate(  # noqa: PLR0913 - what, where, when; and two proofs
    client: VaultClient,
    place: TokenPlace,
    token: NewToken,
    *,
    now: float,
    grace: float,
    preflight: Callable[[Secret], None],
    canary: Callable[[Secret], None],
) -> Stored:
    """Replace a token by one that has proven itself; the old versions are to be destroyed after `grace` seconds.

    `preflight`, then `canary`, are called with the new token and raise where it is no good: then nothing is stored.
    A run that started on the old version has it already and finishes on it.
    """
    preflight(token.secret)
    canary(token.secret)
    return put(client, place, token, now=now, retire_after=now + grace)


def list_tokens(client: VaultClient, mount: str, *, now: float, prefix: str = "") -> tuple[TokenEntry, ...]:
    """Look over all tokens of a mount below `prefix`, by path. Needs list and read of metadata, not of tokens."""
    return tuple(entry_of(client, TokenPlace(mount, path), now=now) for path in sorted(_paths(client, mount, prefix)))


def entry_of(client: VaultClient, place: TokenPlace, *, now: float) -> TokenEntry:
    """Look one token over, by its metadata alone."""
    metadata = _read_metadata(client, place)
    custom, current = metadata.custom, metadata.current
    retire = custom.get("retire_version", "")
    return TokenEntry(
        place=place,
        state=_state(metadata, now),
        version=current,
        workflow=custom.get("workflow"),
        owner=custom.get("owner"),
        issued_at=custom.get("issued_at"),
        expires_at=custom.get("expires_at"),
        created_at=metadata.versions.get(current, {}).get("created_time"),
        live_versions=tuple(version for version in sorted(metadata.versions) if metadata.is_live(version, now)),
        retire_version=int(retire) if retire.isdecimal() else None,
        retire_after=custom.get("retire_after"),
    )


def check(entry: TokenEntry, *, now: float, within: float) -> tuple[Finding, ...]:
    """Judge one entry: refused where it is due to expire within so many seconds, or where that cannot be known."""
    place = entry.place
    store = f"Store a fresh token with `codex-runner token rotate {entry.workflow or place.path}`."
    findings = []
    if entry.state in {"valid", "expired"}:
        findings.append(_check_expiry(entry, now, within, store))
    else:
        message = f"{place} is {entry.state}, so its expiry is not known."
        findings.append(Finding(TOKEN_STATE, Outcome.REFUSED, message, store))
    due = _due(entry, now)
    if due:
        old = f"{place} still has the retired version{'s' if len(due) > 1 else ''} {', '.join(map(str, due))}."
        findings.append(Finding(TOKEN_RETIRED, Outcome.WARNED, old, "Run `codex-runner token sweep`."))
    return tuple(findings)


def sweep(client: VaultClient, entries: Sequence[TokenEntry], *, now: float) -> dict[TokenPlace, tuple[int, ...]]:
    """Destroy the retired versions that are due, and return them. The newest version is never among them."""
    swept = {}
    for entry in entries:
        due = _due(entry, now)
        if due:
            _destroy(client, entry.place, due)
            swept[entry.place] = due
    return swept


def destroy(client: VaultClient, place: TokenPlace) -> tuple[int, ...]:
    """Remove Vault's copies of a token: every version, for good. Returns those that were still there.

    The token itself lives on where it was issued: its owner revokes it there.
    """
    metadata = _read_metadata(client, place)
    if not metadata.versions:
        raise CredentialError(f"There is no token at {place}.", remedy="`codex-runner token list` shows them all.")
    left = tuple(version for version, facts in sorted(metadata.versions.items()) if not facts.get("destroyed"))
    if left:
        _destroy(client, place, left)
    return left


def _state(metadata: _Metadata, now: float) -> str:
    if not metadata.current:
        return "empty"
    if metadata.versions.get(metadata.current, {}).get("destroyed"):
        return "destroyed"
    if not metadata.is_live(metadata.current, now):
        expired = _seconds(metadata.custom.get("expires_at"))
        return "expired" if expired is not None and expired <= now else "deleted"
    if metadata.custom.get("version") != str(metadata.current):
        return "stale"
    expires = _seconds(metadata.custom.get("expires_at"))
    return "expired" if expires is not None and expires <= now else "valid"


def _check_expiry(entry: TokenEntry, now: float, within: float, remedy: str) -> Finding:
    owner = f" (owner: {entry.owner})" if entry.owner else ""
    if entry.expires_at is None:
        message = f"{entry.place} has no expiry{owner}."
        return Finding(TOKEN_EXPIRY, Outcome.UNJUDGED, message, "Give it one: store it again with `--expires`.")
    expires = _seconds(entry.expires_at)
    if expires is None:
        message = f"{entry.place} has an expiry that cannot be read: {entry.expires_at!r}{owner}."
        return Finding(TOKEN_EXPIRY, Outcome.REFUSED, message, remedy)
    left = expires - now
    told = f"expired {format_duration(left)} ago" if left <= 0 else f"expires in {format_duration(left)}"
    outcome = Outcome.REFUSED if left <= within else Outcome.PASSED
    message = f"{entry.place} {told}, at {entry.expires_at}{owner}."
    return Finding(TOKEN_EXPIRY, outcome, message, remedy if outcome is Outcome.REFUSED else "")


def _due(entry: TokenEntry, now: float) -> tuple[int, ...]:
    """The retired versions whose time has come: all up to `retire_version` that are still there, never the newest."""
    after = _seconds(entry.retire_after)
    if entry.retire_version is None or after is None or after > now:
        return ()
    last = min(entry.retire_version, entry.version - 1)
    return tuple(version for version in entry.live_versions if version <= last)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else parse_date(text)
    except (ValueError, OverflowError):
        return None


def _paths(client: VaultClient, mount: str, folder: str) -> Iterator[str]:
    purpose = f"list {mount}/metadata/{folder}"
    try:
        answer = client.call(purpose, lambda api: api.secrets.kv.v2.list_secrets(folder, mount_point=mount))
    except Refusal as refusal:
        if refusal.status == 404:
            require_kv2(client, mount, refusal)
            return
        raise client.refused(
            purpose, refusal, remedy=f"It needs list on {mount}/metadata/*: the lister's policy."
        ) from None
    for key in answer["data"]["keys"]:
        path = f"{folder.rstrip('/')}/{key}".lstrip("/")
        if key.endswith("/"):
            yield from _paths(client, mount, path)
        else:
            yield path


def _read_metadata(client: VaultClient, place: TokenPlace) -> _Metadata:
    purpose = f"read {place.mount}/metadata/{place.path}"
    try:
        answer = client.call(
            purpose, lambda api: api.secrets.kv.v2.read_secret_metadata(place.path, mount_point=place.mount)
        )
    except Refusal as refusal:
        if refusal.status == 404:
            require_kv2(client, place.mount, refusal)
            return _Metadata()
        raise client.refused(
            purpose, refusal, remedy=f"It needs read on {place.mount}/metadata/{place.path}: see the rotator's policy."
        ) from None
    data = answer["data"]
    versions = {int(number): facts for number, facts in (data.get("versions") or {}).items()}
    return _Metadata(int(data["current_version"]), dict(data.get("custom_metadata") or {}), versions)


def _write_metadata(
    client: VaultClient, place: TokenPlace, custom: dict[str, str], *, delete_version_after: str
) -> None:
    purpose = f"write {place.mount}/metadata/{place.path}"
    try:
        client.call(
            purpose,
            lambda api: api.secrets.kv.v2.update_metadata(
                place.path,
                mount_point=place.mount,
                delete_version_after=delete_version_after,
                custom_metadata=custom,
            ),
        )
    except Refusal as refusal:
        remedy = f"It needs create and update on {place.mount}/metadata/{place.path}: see the rotator's policy."
        raise client.refused(purpose, refusal, remedy=remedy) from None


def _write(client: VaultClient, place: TokenPlace, data: dict[str, str], cas: int) -> tuple[int, bool]:
    """Write version `cas` + 1. Returns it, and whether it had to be read back to know that it is ours."""
    purpose = f"store a token at {place.mount}/data/{place.path}"
    put_id = f"{_PUT_ID}{secrets.token_hex(8)}"
    lost = client.lost_answers
    try:
        answer = client.call(
            purpose,
            lambda api: api.secrets.kv.v2.create_or_update_secret(
                place.path, {**data, put_id: ""}, cas=cas, mount_point=place.mount
            ),
        )
    except Refusal as refusal:
        if "check-and-set" not in str(refusal):
            remedy = f"It needs create and update on {place.mount}/data/{place.path}: see the rotator's policy."
            raise client.refused(purpose, refusal, remedy=remedy) from None
        if client.lost_answers == lost:
            raise _overtaken(place, cas) from None
    except SecretStoreError:
        if client.lost_answers == lost:
            raise
    else:
        return int(answer["data"]["version"]), False
    return _settle(client, place, put_id, cas + 1), True


def _settle(client: VaultClient, place: TokenPlace, put_id: str, version: int) -> int:
    """Find out whether `version` is the one that we wrote, after the answer to our write was lost."""
    purpose = f"see whether version {version} of {place} is the one just stored"
    url = f"/v1/{place.mount}/subkeys/{place.path}"
    try:
        answer = client.call(purpose, lambda api: api.adapter.get(url, params={"version": version}))
    except Refusal as refusal:
        if refusal.status == 404:
            raise SecretStoreError(
                f"The token was not stored: Vault at {client.address} has no version {version} of {place}.",
                remedy="Run the same command again.",
            ) from None
        remedy = f"It needs read on {place.mount}/subkeys/{place.path}. `codex-runner token list` shows the version."
        raise client.refused(purpose, refusal, remedy=remedy) from None
    if put_id not in answer["data"]["subkeys"]:
        raise _overtaken(place, version - 1)
    return version


def _overtaken(place: TokenPlace, cas: int) -> CredentialError:
    return CredentialError(
        f"Somebody else stored version {cas + 1} of {place} meanwhile; this token was not stored.",
        remedy="Look at it with `codex-runner token list`, then run the command again if it is still wanted.",
    )


def _destroy(client: VaultClient, place: TokenPlace, versions: Sequence[int]) -> None:
    purpose = f"destroy versions {', '.join(map(str, versions))} of {place}"
    try:
        client.call(
            purpose,
            lambda api: api.secrets.kv.v2.destroy_secret_versions(
                place.path, versions=list(versions), mount_point=place.mount
            ),
        )
    except Refusal as refusal:
        remedy = f"It needs update on {place.mount}/destroy/{place.path}: see the rotator's policy."
        raise client.refused(purpose, refusal, remedy=remedy) from None
