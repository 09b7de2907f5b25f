"""Listing, checking, sweeping and destroying the workflows' tokens in Vault. `storing` stores and rotates them.

One version of a KV v2 path holds a token and its facts. Custom metadata holds the facts too, so that a lister needs no
right to read tokens. It also says which versions are to be destroyed, and when. A newest version whose facts are not
in custom metadata is `stale`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.errors import CredentialError, RunnerError
from codex_runner.engine.credential_rules import CLOCK_SKEW
from codex_runner.text.counts import plural
from codex_runner.text.dates import format_date, parse_date
from codex_runner.text.durations import format_duration
from codex_runner.vault.faults import VaultRefusal
from codex_runner.vault.mounts import require_kv2
from codex_runner.vault.storing import NewToken, Stored, put, rotate
from codex_runner.vault.token_metadata import Metadata, TokenPlace, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codex_runner.vault.client import VaultClient

__all__ = [  # with `storing`'s: callers import all that concerns tokens from here
    "NewToken",
    "Stored",
    "TokenEntry",
    "TokenPlace",
    "VaultRefusal",
    "check",
    "destroy",
    "entry_of",
    "list_tokens",
    "put",
    "rotate",
    "sweep",
]

TOKEN_EXPIRY: Final = "token-expiry"  # noqa: S105 - a rule's name
TOKEN_DATES: Final = "token-dates"  # noqa: S105 - a rule's name
TOKEN_STATE: Final = "token-state"  # noqa: S105 - a rule's name
TOKEN_RETIRED: Final = "token-retired"  # noqa: S105 - a rule's name


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A stored token's facts, known without reading the token. Dates are as they were written.

    `state` is `valid`, `expired`, `stale` (the facts are another version's), `deleted`, `destroyed` or `empty`.
    `live_versions` are all that Vault could still return, the newest last. `retirements` pairs a version with the date
    from which all versions up to it may be destroyed. `retire_version` and `retire_after` are the last pair.
    `deleted_at` is when Vault deletes the newest version by itself.
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
    retirements: tuple[tuple[int, str], ...] = ()
    deleted_at: str | None = None


def list_tokens(client: VaultClient, mount: str, *, now: float, prefix: str = "") -> tuple[TokenEntry, ...]:
    """List all tokens of a mount below `prefix`, by path. Needs list and read on metadata, not on tokens."""
    return tuple(entry_of(client, TokenPlace(mount, path), now=now) for path in sorted(_paths(client, mount, prefix)))


def entry_of(client: VaultClient, place: TokenPlace, *, now: float) -> TokenEntry:
    """Return one token's entry, from its metadata alone."""
    metadata = read_metadata(client, place)
    current, retirements = metadata.current, metadata.retirements
    facts = metadata.facts_of(current) or metadata.custom
    last = max(retirements, default=None)
    gone = metadata.deletion_of(current)
    return TokenEntry(
        place=place,
        state=_state(metadata, now),
        version=current,
        workflow=facts.get("workflow"),
        owner=facts.get("owner"),
        issued_at=facts.get("issued_at"),
        expires_at=facts.get("expires_at"),
        created_at=metadata.versions.get(current, {}).get("created_time"),
        live_versions=tuple(version for version in sorted(metadata.versions) if metadata.is_live(version, now)),
        retire_version=last,
        retire_after=None if last is None else retirements[last],
        retirements=tuple(sorted(retirements.items())),
        deleted_at=None if gone is None else format_date(gone),
    )


def check(entry: TokenEntry, *, now: float, within: float) -> tuple[Finding, ...]:
    """Judge one entry. Refused if it expires `within` that many seconds, or if its expiry is unknown."""
    place = entry.place
    store = f"Store a fresh token with `codex-runner token rotate {entry.workflow or place.path}`."
    findings = []
    if entry.state in {"valid", "expired"}:
        findings.append(_check_expiry(entry, now, within, store))
        if wrong := _wrong_dates(entry, now):
            message = f"{place}: {wrong}, so runs refuse it."
            findings.append(Finding(TOKEN_DATES, Outcome.REFUSED, message, store))
    else:
        message = f"{place} is {entry.state}, so its expiry is unknown."
        findings.append(Finding(TOKEN_STATE, Outcome.REFUSED, message, store))
    due = _due(entry, now)
    if due:
        message = f"{place} still has the retired {_versions(due)}."
        findings.append(Finding(TOKEN_RETIRED, Outcome.WARNED, message, "Run `codex-runner token sweep`."))
    elif entry.state == "valid" and (left := _unretired(entry)):
        message = f"{place} still has the old {_versions(left)}, and nothing says when to destroy {_them(left)}."
        remedy = "Store or rotate the token: that retires all versions before it, for `codex-runner token sweep`."
        findings.append(Finding(TOKEN_RETIRED, Outcome.WARNED, message, remedy))
    return tuple(findings)


def sweep(
    client: VaultClient,
    entries: Sequence[TokenEntry],
    *,
    now: float,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[TokenPlace, tuple[int, ...]]:
    """Destroy the retired versions that are due, and return them. Never destroys a newest version.

    If one place's versions cannot be destroyed, the others are swept all the same. Its error is raised at the end,
    after `tell` got a line for each place that was swept.
    """
    swept, failed = {}, []
    for entry in entries:
        due = _due(entry, now)
        if not due:
            continue
        try:
            _destroy(client, entry.place, due)
        except RunnerError as error:
            failed.append(error)
            continue
        tell(f"destroyed the retired {_versions(due)} of {entry.place}")
        swept[entry.place] = due
    if failed:
        more = f" (and {len(failed) - 1} more like it)" if len(failed) > 1 else ""
        failed[0].message += more
        raise failed[0]
    return swept


def destroy(client: VaultClient, place: TokenPlace, *, up_to: int | None = None) -> tuple[int, ...]:
    """Destroy Vault's copies of a token for good: every version, or those `up_to` one. Returns those that existed.

    The token itself stays valid until its owner revokes it at its issuer. Raises CredentialError if another process
    stored a newer version meanwhile, unless `up_to` excludes it: that version still exists.
    """
    metadata = read_metadata(client, place)
    if not metadata.versions:
        raise CredentialError(f"There is no token at {place}.", remedy="List them with `codex-runner token list`.")
    last = metadata.current if up_to is None else up_to
    left = tuple(version for version in _existing(metadata) if version <= last)
    if left:
        _destroy(client, place, left)
        new = [version for version in _existing(read_metadata(client, place)) if version > last]
        if new and up_to is None:
            raise CredentialError(
                f"{_versions(left).capitalize()} of {place} {'are' if len(left) > 1 else 'is'} destroyed, but another "
                f"process stored {_versions(new)} meanwhile, which still exists.",
                remedy="Run the command again to destroy that one too.",
            )
    return left


def _existing(metadata: Metadata) -> list[int]:
    return [version for version, facts in sorted(metadata.versions.items()) if not facts.get("destroyed")]


def _versions(versions: Sequence[int]) -> str:
    return f"{plural(len(versions), 'version')} {', '.join(map(str, versions))}"


def _them(versions: Sequence[int]) -> str:
    return "them" if len(versions) > 1 else "it"


def _state(metadata: Metadata, now: float) -> str:
    if not metadata.current:
        return "empty"
    if metadata.versions.get(metadata.current, {}).get("destroyed"):
        return "destroyed"
    facts = metadata.facts_of(metadata.current)
    expires = _seconds((metadata.custom if facts is None else facts).get("expires_at"))
    is_over = expires is not None and expires <= now
    if not metadata.is_live(metadata.current, now):
        return "expired" if is_over else "deleted"
    if facts is None:
        return "stale"
    return "expired" if is_over else "valid"


def _check_expiry(entry: TokenEntry, now: float, within: float, remedy: str) -> Finding:
    owner = f" (owner: {entry.owner})" if entry.owner else ""
    deleted, expires = _seconds(entry.deleted_at), _seconds(entry.expires_at)
    if expires is None and entry.expires_at is not None:
        message = f"{entry.place} has an expiry that cannot be read: {entry.expires_at!r}{owner}."
        return Finding(TOKEN_EXPIRY, Outcome.REFUSED, message, remedy)
    if deleted is not None and (expires is None or deleted < expires - CLOCK_SKEW):
        told = f"until {entry.expires_at}" if entry.expires_at else "for ever"
        message = f"Vault deletes {entry.place} in {format_duration(deleted - now)}, at {entry.deleted_at}"
        outcome = Outcome.REFUSED if deleted - now <= within else Outcome.WARNED
        return Finding(TOKEN_EXPIRY, outcome, f"{message}, although the token is good {told}{owner}.", remedy)
    if expires is None:
        message = f"{entry.place} has no expiry{owner}."
        return Finding(TOKEN_EXPIRY, Outcome.UNJUDGED, message, "Store it again with `--expires`.")
    left = expires - now
    told = f"expired {format_duration(-left)} ago" if left <= 0 else f"expires in {format_duration(left)}"
    outcome = Outcome.REFUSED if left <= within else Outcome.PASSED
    message = f"{entry.place} {told}, at {entry.expires_at}{owner}."
    return Finding(TOKEN_EXPIRY, outcome, message, remedy if outcome is Outcome.REFUSED else "")


def _wrong_dates(entry: TokenEntry, now: float) -> str:
    """Return what is wrong with the date of issue, by the rule that a run applies; empty if nothing is."""
    if entry.issued_at is None:
        return ""
    issued, expires = _seconds(entry.issued_at), _seconds(entry.expires_at)
    if issued is None:
        return f"its date of issue cannot be read: {entry.issued_at!r}"
    if issued > now + CLOCK_SKEW:
        return f"its date of issue, {entry.issued_at}, lies in the future"
    if expires is not None and expires <= issued:
        return f"its expiry, {entry.expires_at}, is not after its date of issue, {entry.issued_at}"
    return ""


def _due(entry: TokenEntry, now: float) -> tuple[int, ...]:
    """Return the retired versions that are due and still exist, never the newest.

    A retirement holds for all versions up to its own, so the earliest that holds for a version counts.
    """
    over = [last for last, date in entry.retirements if (after := _seconds(date)) is not None and after <= now]
    last = min(max(over, default=0), entry.version - 1)
    return tuple(version for version in entry.live_versions if version <= last)


def _unretired(entry: TokenEntry) -> tuple[int, ...]:
    """Return the old versions that still exist and have no retirement."""
    last = max((last for last, _ in entry.retirements), default=0)
    return tuple(version for version in entry.live_versions if last < version < entry.version)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else parse_date(text)
    except (ValueError, OverflowError):
        return None


def _paths(client: VaultClient, mount: str, folder: str) -> Iterator[str]:
    purpose = f"list {mount}/metadata/{folder}"
    try:
        answer = client.call(purpose, lambda api: api.secrets.kv.v2.list_secrets(folder, mount_point=mount))
    except VaultRefusal as refusal:
        if refusal.status == 404:
            require_kv2(client, mount, refusal)
            return
        raise client.refused(
            purpose, refusal, remedy=f"Allow list on {mount}/metadata/*, as in the lister's policy."
        ) from None
    for key in answer["data"]["keys"]:
        path = f"{folder.rstrip('/')}/{key}".lstrip("/")
        if key.endswith("/"):
            yield from _paths(client, mount, path)
        else:
            yield path


def _destroy(client: VaultClient, place: TokenPlace, versions: Sequence[int]) -> None:
    purpose = f"destroy versions {', '.join(map(str, versions))} of {place}"
    try:
        client.call(
            purpose,
            lambda api: api.secrets.kv.v2.destroy_secret_versions(
                place.path, versions=list(versions), mount_point=place.mount
            ),
        )
    except VaultRefusal as refusal:
        remedy = f"Allow update on {place.mount}/destroy/{place.path}, as in the rotator's policy."
        raise client.refused(purpose, refusal, remedy=remedy) from None
