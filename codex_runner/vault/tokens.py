"""The tokens that Vault keeps for the workflows: looked over, swept, and destroyed. `storing` stores and rotates them.

A token and its facts lie in one version of a KV v2 path. Custom metadata has the facts too, so that they can be listed
without the right to read tokens, and which versions are to be destroyed, and when. A newest version whose facts are
not in it is `stale`.
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

__all__ = [  # with `storing`'s: one room for whoever keeps tokens
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
    """What is known of a stored token without reading it. Dates stand as they were written.

    `state` is `valid`, `expired`, `stale` (the facts are of another version), `deleted`, `destroyed` or `empty`.
    `live_versions` are all that Vault could still hand out, the newest last. `retirements` says from when on all
    versions up to one may be destroyed; `retire_version` and `retire_after` are the last of them. `deleted_at` is when
    Vault deletes the newest version by itself.
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
    """Look over all tokens of a mount below `prefix`, by path. Needs list and read of metadata, not of tokens."""
    return tuple(entry_of(client, TokenPlace(mount, path), now=now) for path in sorted(_paths(client, mount, prefix)))


def entry_of(client: VaultClient, place: TokenPlace, *, now: float) -> TokenEntry:
    """Look one token over, by its metadata alone."""
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
    """Judge one entry: refused where it is due to expire within so many seconds, or where that cannot be known."""
    place = entry.place
    store = f"Store a fresh token with `codex-runner token rotate {entry.workflow or place.path}`."
    findings = []
    if entry.state in {"valid", "expired"}:
        findings.append(_check_expiry(entry, now, within, store))
        if wrong := _wrong_dates(entry, now):
            message = f"{place}: {wrong}, so runs refuse it."
            findings.append(Finding(TOKEN_DATES, Outcome.REFUSED, message, store))
    else:
        message = f"{place} is {entry.state}, so its expiry is not known."
        findings.append(Finding(TOKEN_STATE, Outcome.REFUSED, message, store))
    due = _due(entry, now)
    if due:
        message = f"{place} still has the retired {_versions(due)}."
        findings.append(Finding(TOKEN_RETIRED, Outcome.WARNED, message, "Run `codex-runner token sweep`."))
    elif entry.state == "valid" and (left := _unretired(entry)):
        message = f"{place} still has the old {_versions(left)}, and nothing says when to destroy {_them(left)}."
        remedy = "Storing or rotating the token retires all versions before it, for `codex-runner token sweep`."
        findings.append(Finding(TOKEN_RETIRED, Outcome.WARNED, message, remedy))
    return tuple(findings)


def sweep(
    client: VaultClient,
    entries: Sequence[TokenEntry],
    *,
    now: float,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[TokenPlace, tuple[int, ...]]:
    """Destroy the retired versions that are due, and return them. The newest version is never among them.

    A place whose versions cannot be destroyed does not keep the others: its error is raised at the end, and `tell` has
    said by then what is destroyed.
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
    """Remove Vault's copies of a token: every version, or those `up_to` one, for good. Returns those that were there.

    The token itself lives on where it was issued: its owner revokes it there. Raises CredentialError if another
    version was stored meanwhile and `up_to` does not leave it out: it is still there.
    """
    metadata = read_metadata(client, place)
    if not metadata.versions:
        raise CredentialError(f"There is no token at {place}.", remedy="`codex-runner token list` shows them all.")
    last = metadata.current if up_to is None else up_to
    left = tuple(version for version in _existing(metadata) if version <= last)
    if left:
        _destroy(client, place, left)
        new = [version for version in _existing(read_metadata(client, place)) if version > last]
        if new and up_to is None:
            raise CredentialError(
                f"{_versions(left).capitalize()} of {place} {'are' if len(left) > 1 else 'is'} destroyed, but somebody "
                f"stored {_versions(new)} meanwhile: that is still there.",
                remedy="Run the command again if that one is to go too.",
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
        return Finding(TOKEN_EXPIRY, Outcome.UNJUDGED, message, "Give it one: store it again with `--expires`.")
    left = expires - now
    told = f"expired {format_duration(-left)} ago" if left <= 0 else f"expires in {format_duration(left)}"
    outcome = Outcome.REFUSED if left <= within else Outcome.PASSED
    message = f"{entry.place} {told}, at {entry.expires_at}{owner}."
    return Finding(TOKEN_EXPIRY, outcome, message, remedy if outcome is Outcome.REFUSED else "")


def _wrong_dates(entry: TokenEntry, now: float) -> str:
    """Say what is wrong with the date of issue, in the way that a run judges it; empty for nothing."""
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
    """The retired versions whose time has come: still there, and never the newest.

    A retirement is for all versions up to its own, so the earliest of those that hold for a version counts.
    """
    over = [last for last, date in entry.retirements if (after := _seconds(date)) is not None and after <= now]
    last = min(max(over, default=0), entry.version - 1)
    return tuple(version for version in entry.live_versions if version <= last)


def _unretired(entry: TokenEntry) -> tuple[int, ...]:
    """The old versions that are still there, and that no retirement holds for."""
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
            purpose, refusal, remedy=f"It needs list on {mount}/metadata/*: the lister's policy."
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
        remedy = f"It needs update on {place.mount}/destroy/{place.path}: see the rotator's policy."
        raise client.refused(purpose, refusal, remedy=remedy) from None
