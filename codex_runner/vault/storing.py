"""Storing a token: one write with check-and-set decides, and the report always says what is stored.

A put that loses the race changes nothing that another writer relies on. If Vault refuses, loses or damages an answer
after the deciding write, the error names the version that is stored.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import requests

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError, RunnerError, SecretStoreError, UsageError
from codex_runner.engine.credential_rules import CLOCK_SKEW
from codex_runner.text.dates import format_date
from codex_runner.vault.faults import VaultRefusal, never_sent
from codex_runner.vault.token_metadata import FACTS, LONGEST_FACT, TokenPlace, note, read_metadata, set_life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import hvac

    from codex_runner.domain.secret import Secret
    from codex_runner.vault.client import VaultClient

_PUT_ID: Final = "put."  # prefix of a field that shows, without its value, which put wrote a version
_WRITES: Final = 4  # how often one put stores its token if another writer's lifetime hits it each time


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to store. Times are seconds since the epoch; `expires_at` is None if it does not expire."""

    secret: Secret
    workflow: str
    owner: str
    issued_at: float
    expires_at: float | None
    field: str = "token"

    @property
    def facts(self) -> dict[str, str]:
        """The facts that are stored beside the token, and in the metadata."""
        facts = {"workflow": self.workflow, "owner": self.owner, "issued_at": format_date(self.issued_at)}
        return facts if self.expires_at is None else {**facts, "expires_at": format_date(self.expires_at)}


@dataclass(frozen=True, slots=True)
class Stored:
    """A token that is in Vault now. Times are seconds since the epoch.

    `settled` is True if the answer was lost, and the version was read back. `deleted_at` is when Vault deletes it, if
    that is before it expires. `followed_by` is the version that another put has already stored after it.
    """

    version: int
    settled: bool = False
    retire_version: int | None = None
    retire_after: float | None = None
    deleted_at: float | None = None
    followed_by: int | None = None


def put(  # noqa: PLR0913 - the token, its place, the time and the checks
    client: VaultClient,
    place: TokenPlace,
    token: NewToken,
    *,
    now: float,
    preflight: Callable[[Secret], None] | None = None,
    retire_after: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Stored:
    """Store a token as the path's newest version, with check-and-set.

    `preflight` is called first and raises if the token does not work: then nothing is stored. With `retire_after`
    (seconds since the epoch) the older versions are marked to be destroyed then. Vault itself deletes the new version
    when the token expires. If the answer is lost, the version is read back to see which put wrote it. That needs the
    right to read `subkeys`, which shows no values. Raises CredentialError if another put came between.

    An error after the token is stored says so, with its version. `tell` gets a line if the put is interrupted then.
    """
    _require_storable(place, token, now)
    if preflight is not None:
        preflight(token.secret)
    before = read_metadata(client, place)
    writing = _Writing(
        client, place, token, None if token.expires_at is None else math.ceil(token.expires_at - now), tell
    )
    writing.write(before.current)
    with writing.once_stored():
        stored = writing.keep()
        retire = None
        if retire_after is not None and stored.version > 1:
            retire = (stored.version - 1, format_date(retire_after))
            stored = replace(stored, retire_version=stored.version - 1, retire_after=retire_after)
        note(client, place, stored.version, token.facts, retire)
    return stored


def rotate(  # noqa: PLR0913 - the token, its place, the time and two checks
    client: VaultClient,
    place: TokenPlace,
    token: NewToken,
    *,
    now: float,
    grace: float,
    preflight: Callable[[Secret], None],
    canary: Callable[[Secret], None],
    tell: Callable[[str], None] = lambda _: None,
) -> Stored:
    """Replace a token by one that passed its checks, and mark the old versions for destruction in `grace` seconds.

    `preflight`, then `canary`, are called with the new token and raise if it does not work: then nothing is stored.
    A run that started with the old version finishes with it.
    """
    _require_storable(place, token, now)
    preflight(token.secret)
    canary(token.secret)
    return put(client, place, token, now=now, retire_after=now + grace, tell=tell)


def _require_storable(place: TokenPlace, token: NewToken, now: float) -> None:
    """Raise if runs would refuse the token for its dates, or Vault would refuse its facts once it is stored."""
    if token.expires_at is not None and token.expires_at <= now:
        raise CredentialError(
            f"The token for {token.workflow} expired at {format_date(token.expires_at)}.",
            remedy="Make a fresh token and store that one.",
        )
    if token.issued_at > now + CLOCK_SKEW:
        raise CredentialError(
            f"The token for {token.workflow} is issued at {format_date(token.issued_at)}, which lies in the future: "
            "every run would refuse it.",
            remedy="Correct `--issued`, or this machine's clock.",
        )
    if token.expires_at is not None and int(token.expires_at) <= int(token.issued_at):
        raise CredentialError(
            f"The token for {token.workflow} expires at {format_date(token.expires_at)}, not after it is issued, at "
            f"{format_date(token.issued_at)}: every run would refuse it.",
            remedy="Correct `--issued` or `--expires`.",
        )
    for name, value in token.facts.items():
        size = len(value.encode("utf-8", "surrogatepass"))
        if value.strip() and value.isprintable() and size <= LONGEST_FACT:
            continue
        wrong = (
            f"has {size} bytes"
            if size > LONGEST_FACT
            else "has unprintable characters"
            if value.strip()
            else "is empty"
        )
        raise UsageError(
            f"The {name.removesuffix('_at')} of the token {wrong}, and Vault cannot store that beside it.",
            remedy=f"Give it as one line of at most {LONGEST_FACT} bytes.",
        )
    if token.field in FACTS or token.field.startswith(_PUT_ID):
        raise UsageError(
            f"The field {token.field!r} of {place} is reserved for facts about the token.",
            remedy="Choose another name with `--field`, and in the job's `credential.field`.",
        )


class _OvertakenError(CredentialError):
    """Another put has stored the version that this put was to store."""


class _Writing:
    """The writes of one put. `version` is the one that it stored last, 0 if none yet."""

    def __init__(
        self, client: VaultClient, place: TokenPlace, token: NewToken, life: int | None, tell: Callable[[str], None]
    ) -> None:
        """Writes nothing yet. Vault is to keep the token for `life` seconds, None for ever."""
        self.client, self.place, self.token, self.life, self.tell = client, place, token, life, tell
        self.version, self.settled = 0, False

    def write(self, current: int) -> None:
        """Store the token as the version after `current`. Raises _OvertakenError if another put has."""
        set_life(self.client, self.place, self.life or 0)
        data = {self.token.field: self.token.secret.reveal(), **self.token.facts}
        self.version, settled = _write(self.client, self.place, data, current, self.tell)
        self.settled = self.settled or settled

    def keep(self) -> Stored:
        """Check that Vault keeps the token for as long as it is valid, and store it again if not.

        A path has one lifetime, for the next write: another put may set its own between our two requests.
        """
        for tries in range(1, _WRITES + 1):
            now = read_metadata(self.client, self.place)
            kept = now.life_of(self.version)
            is_short = kept is not None and (self.life is None or kept < self.life - 1)
            if not now.is_live(self.version, time.time()):
                break  # another process has deleted it since: do not undo that
            by_the_mount = tries > 1 and now.life == (self.life or 0)  # the mount limits a path's lifetime
            if not is_short or now.current > self.version or by_the_mount or tries == _WRITES:
                break
            try:
                self.write(self.version)
            except _OvertakenError:
                continue  # another put has stored a newer version: that does no harm
        gone = now.deletion_of(self.version) if is_short else None
        followed = now.current if now.current > self.version else None
        return Stored(self.version, self.settled, deleted_at=gone, followed_by=followed)

    @contextlib.contextmanager
    def once_stored(self) -> Iterator[None]:
        """Add to each error raised inside that the token is stored, and as which version."""
        try:
            yield
        except RunnerError as error:
            error.message = (
                f"The token is stored, as version {self.version} of {self.place}, and runs use it. But its facts could "
                f"not be written beside it, so `codex-runner token check` is red: {error.message}"
            )
            error.remedy = f"{error.remedy} Then store the token again: that writes them, and retires this version."
            raise
        except BaseException:
            self.tell(
                f"interrupted: the token is stored, as version {self.version} of {self.place}, but its facts are not "
                "written beside it; store it again"
            )
            raise


def _write(
    client: VaultClient, place: TokenPlace, data: Mapping[str, str], cas: int, tell: Callable[[str], None]
) -> tuple[int, bool]:
    """Write version `cas` + 1. Returns it, and whether only reading it back showed that it is ours."""
    purpose = f"store a token at {place.mount}/data/{place.path}"
    put_id = f"{_PUT_ID}{secrets.token_hex(8)}"
    request, lost = _Request(place, {**data, put_id: ""}, cas), client.lost_answers
    try:
        answer = client.call(purpose, request.send)
    except VaultRefusal as refusal:
        if not request.may_be_done and client.lost_answers == lost:
            if "check-and-set" in str(refusal):
                raise _overtaken(place, cas) from None
            remedy = f"Allow create and update on {place.mount}/data/{place.path}, as in the rotator's policy."
            raise client.refused(purpose, refusal, details=" Nothing was stored.", remedy=remedy) from None
    except SecretStoreError:
        if not request.may_be_done and client.lost_answers == lost:  # an abandoned request may still arrive
            raise
    except BaseException:
        tell(f"interrupted: `codex-runner token list` shows whether version {cas + 1} of {place} was stored")
        raise
    else:
        return int(answer["data"]["version"]), False
    return _settle(client, place, put_id, cas + 1), True


class _Request:
    """A write with check-and-set. `may_be_done` is True if Vault may have acted on it although no answer came."""

    def __init__(self, place: TokenPlace, data: Mapping[str, str], cas: int) -> None:
        """Sends nothing yet."""
        self.place, self.data, self.cas = place, data, cas
        self.may_be_done = False

    def send(self, api: hvac.Client) -> Any:
        """Send it, for the first time or as a retry."""
        try:
            return api.secrets.kv.v2.create_or_update_secret(
                self.place.path, dict(self.data), cas=self.cas, mount_point=self.place.mount
            )
        except VaultRefusal as refusal:
            # A server or proxy that fails may have acted on the request, or passed it on. A sealed Vault has not.
            self.may_be_done = self.may_be_done or (refusal.is_outage and not refusal.sealed)
            raise
        except requests.RequestException as error:
            self.may_be_done = self.may_be_done or not never_sent(error)
            raise


def _settle(client: VaultClient, place: TokenPlace, put_id: str, version: int) -> int:
    """Return `version` if it is the one that we wrote, after the answer to our write was lost. Raises if not."""
    purpose = f"see whether version {version} of {place} is the one just stored"
    url = f"/v1/{place.mount}/subkeys/{place.path}"
    unknown = "See with `codex-runner token list` whether that version exists, then run the same command again."
    try:
        answer = client.call(purpose, lambda api: api.adapter.get(url, params={"version": version}))
    except VaultRefusal as refusal:
        if refusal.status == 404 and not refusal.data:
            raise SecretStoreError(
                f"The token was not stored: Vault at {client.address} has no version {version} of {place}. A request "
                "without an answer may still arrive.",
                remedy="Run the same command again: Vault then stores only one of the two.",
            ) from None
        remedy = f"Allow read on {place.mount}/subkeys/{place.path}. {unknown}"
        error = client.refused(purpose, refusal, remedy=remedy)
        error.message = f"It is unknown whether the token was stored. {error.message}"
        raise error from None
    except SecretStoreError as error:
        error.message = f"It is unknown whether the token was stored. {error.message}"
        error.remedy = f"{error.remedy} {unknown}"
        raise
    if put_id not in answer["data"]["subkeys"]:
        raise _overtaken(place, version - 1)
    return version


def _overtaken(place: TokenPlace, cas: int) -> _OvertakenError:
    return _OvertakenError(
        f"Another process stored version {cas + 1} of {place} meanwhile; this token was not stored.",
        remedy="Look at it with `codex-runner token list`, then run the command again if it is still needed.",
    )
