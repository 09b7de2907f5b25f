"""The metadata of a token's path in KV v2: Vault's own for each version, and our facts as custom metadata.

A path has one map of custom metadata. It holds the newest version's facts under their own names, with `version`. It
also holds each version's facts under names that begin with its number (`3.owner`), and each retirement under a name
of its own (`retire.2`). So two concurrent writers, each with a merge patch, do not overwrite each other's facts.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass
from codex_runner.text.dates import parse_date
from codex_runner.text.durations import parse_go_duration
from codex_runner.vault.faults import VaultRefusal
from codex_runner.vault.mounts import require_kv2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.vault.client import VaultClient

FACTS: Final = ("workflow", "owner", "issued_at", "expires_at")
LONGEST_FACT: Final = 512  # bytes: Vault's own limit for a value of custom metadata

_MOST_RETIREMENTS: Final = 30  # Vault takes 64 names in all
_RETIRE: Final = "retire."
_OF_A_VERSION = re.compile(rf"([0-9]{{1,9}})\.(?:{'|'.join(FACTS)})")


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """The place of a workflow's token: a KV v2 mount, and a path in it."""

    mount: str
    path: str

    def __str__(self) -> str:
        """Write it as `vault kv` does."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """A path's metadata in Vault. `current` is 0 if nothing was stored yet.

    `life` is for how many seconds Vault keeps versions that are stored from now on, 0 for ever.
    """

    current: int = 0
    custom: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    life: float = 0.0

    def is_live(self, version: int, now: float) -> bool:
        """Whether Vault would give this version to a reader that has the right."""
        facts = self.versions.get(version, {})
        gone = facts.get("deletion_time")  # it may lie in the future: `delete_version_after`
        return bool(facts) and not facts.get("destroyed") and not (gone and parse_date(gone) <= now)

    def deletion_of(self, version: int) -> float | None:
        """Return when Vault deletes this version by itself, in seconds since the epoch. Returns None if never."""
        gone = self.versions.get(version, {}).get("deletion_time")
        return parse_date(gone) if gone else None

    def life_of(self, version: int) -> float | None:
        """Return for how many seconds after its writing Vault keeps this version. Returns None if for ever."""
        gone, made = self.deletion_of(version), self.versions.get(version, {}).get("created_time")
        return gone - parse_date(made) if gone is not None and made else None

    def facts_of(self, version: int) -> Mapping[str, str] | None:
        """Return a version's facts. Returns None if there are none."""
        if self.custom.get("version") == str(version):
            return {name: self.custom[name] for name in FACTS if name in self.custom}
        own = {name: self.custom[f"{version}.{name}"] for name in FACTS if f"{version}.{name}" in self.custom}
        return own or None

    @property
    def retirements(self) -> dict[int, str]:
        """The dates, as written, from which all versions up to the key may be destroyed."""
        noted = {}
        if (last := self.custom.get("retire_version", "")).isdecimal() and "retire_after" in self.custom:
            noted[int(last)] = self.custom["retire_after"]
        for name, date in self.custom.items():
            if (last := name.removeprefix(_RETIRE)) != name and last.isdecimal():
                noted[int(last)] = date
        return noted


def read_metadata(client: VaultClient, place: TokenPlace) -> Metadata:
    """Read a path's metadata; empty if the path does not exist. Raises CredentialError if the right is missing."""
    purpose = f"read {place.mount}/metadata/{place.path}"
    try:
        answer = client.call(
            purpose, lambda api: api.secrets.kv.v2.read_secret_metadata(place.path, mount_point=place.mount)
        )
    except VaultRefusal as refusal:
        if refusal.status == 404:
            require_kv2(client, place.mount, refusal)
            return Metadata()
        raise client.refused(
            purpose, refusal, remedy=f"Allow read on {place.mount}/metadata/{place.path}, as in the rotator's policy."
        ) from None
    data = answer["data"]
    versions = {int(number): facts for number, facts in (data.get("versions") or {}).items()}
    custom = dict(data.get("custom_metadata") or {})
    return Metadata(
        int(data["current_version"]), custom, versions, parse_go_duration(str(data.get("delete_version_after"))) or 0.0
    )


def set_life(client: VaultClient, place: TokenPlace, seconds: int) -> None:
    """Set for how many seconds Vault keeps later versions, 0 for ever. Idempotent. Changes no facts."""
    purpose = f"write {place.mount}/metadata/{place.path}"
    url = f"/v1/{place.mount}/metadata/{place.path}"  # hvac's own method would reset what is not named here
    try:
        client.call(purpose, lambda api: api.adapter.post(url, json={"delete_version_after": f"{seconds}s"}))
    except VaultRefusal as refusal:
        raise client.refused(purpose, refusal, remedy=_rights(place)) from None


def note(
    client: VaultClient, place: TokenPlace, version: int, facts: Mapping[str, str], retire: tuple[int, str] | None
) -> None:
    """Write a stored version's facts, and the date from which all versions up to `retire` may go. Idempotent.

    A writer of a later version loses nothing: these facts have names with their own version.
    """
    purpose = f"note the facts of version {version} at {place.mount}/metadata/{place.path}"
    before = read_metadata(client, place)
    changes = _changes(before, version, facts, retire)
    url = f"/v1/{place.mount}/metadata/{place.path}"
    headers = {"Content-Type": "application/merge-patch+json"}
    try:
        client.call(
            purpose,
            lambda api: api.adapter.request("patch", url, headers=dict(headers), json={"custom_metadata": changes}),
        )
    except VaultRefusal as refusal:
        if refusal.status not in {403, 405}:
            raise client.refused(purpose, refusal, remedy=_rights(place)) from None
    else:
        return
    # The policy lacks `patch`, or Vault does not know it: write the whole map, merged with what was just read.
    whole = {name: value for name, value in {**before.custom, **changes}.items() if value is not None}
    try:
        client.call(purpose, lambda api: api.adapter.post(url, json={"custom_metadata": whole}))
    except VaultRefusal as refusal:
        raise client.refused(purpose, refusal, remedy=_rights(place)) from None


def _changes(
    before: Metadata, version: int, facts: Mapping[str, str], retire: tuple[int, str] | None
) -> dict[str, str | None]:
    """Return the changes to custom metadata. A value of None removes the name."""
    changes: dict[str, str | None] = {}
    for name in before.custom:
        numbered = _OF_A_VERSION.fullmatch(name)
        if numbered and int(numbered[1]) < version:
            changes[name] = None
    changes |= {f"{version}.{name}": facts.get(name) for name in FACTS}
    if before.current <= version:
        changes |= {name: facts.get(name) for name in FACTS}
        changes["version"] = str(version)
    kept = {last: date for last, date in before.retirements.items() if last < version - (retire is None)}
    if retire is not None:
        kept[retire[0]] = retire[1]
    there = [number for number, each in before.versions.items() if not each.get("destroyed")]
    kept = {last: date for last, date in kept.items() if any(number <= last for number in there)}
    while len(kept) > _MOST_RETIREMENTS:
        del kept[sorted(kept)[-2]]  # its versions wait for the next retirement: later, never earlier
    changes |= {f"{_RETIRE}{last}": None for last in before.retirements if last < version and last not in kept}
    changes |= {f"{_RETIRE}{last}": date for last, date in kept.items()}
    if before.current <= version:
        newest = max(kept, default=None)
        changes["retire_version"] = None if newest is None else str(newest)
        changes["retire_after"] = None if newest is None else kept[newest]
    return changes


def _rights(place: TokenPlace) -> str:
    return f"Allow create, update and patch on {place.mount}/metadata/{place.path}, as in the rotator's policy."
