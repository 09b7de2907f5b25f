"""Output of the token commands, for people and as JSON. Never a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from codex_runner.cli.speech import print_json, tell
from codex_runner.text.dates import format_date, parse_date
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.app.token_dates import Dates
    from codex_runner.app.token_target import Target
    from codex_runner.app.tokens import Stored, TokenEntry
    from codex_runner.domain.credential import Finding


def show_stored(target: Target, stored: Stored, dates: Dates, *, as_json: bool) -> None:
    """Print what is stored now, and what was retired."""
    expires = None if dates.expires is None else format_date(dates.expires)
    retired = None if stored.retire_after is None else format_date(stored.retire_after)
    if stored.settled:
        tell("Vault's answer was lost; the version was read back and is this token")
    if stored.deleted_at is not None:
        gone = format_date(stored.deleted_at)
        tell(
            f"Vault deletes version {stored.version} at {gone}, before it expires: see the mount's delete_version_after"
        )
    if stored.followed_by is not None:
        tell(f"another put has stored version {stored.followed_by} since; runs use that one")
    if as_json:
        print_json(
            {
                "workflow": target.workflow,
                "place": str(target.place),
                "version": stored.version,
                "expires_at": expires,
                "retire_version": stored.retire_version,
                "retire_after": retired,
                "deleted_at": None if stored.deleted_at is None else format_date(stored.deleted_at),
                "followed_by": stored.followed_by,
            }
        )
        return
    typer.echo(f"{target.place}: stored version {stored.version}, expires {expires or 'never'}")
    if stored.retire_version is not None:
        typer.echo(f"{target.place}: versions up to {stored.retire_version} may be swept from {retired} on")


def entry_json(entry: TokenEntry) -> dict[str, Any]:
    """Return an entry for programs."""
    return {
        "place": str(entry.place),
        "workflow": entry.workflow,
        "owner": entry.owner,
        "version": entry.version,
        "state": entry.state,
        "issued_at": entry.issued_at,
        "expires_at": entry.expires_at,
        "created_at": entry.created_at,
        "live_versions": list(entry.live_versions),
        "retire_version": entry.retire_version,
        "retire_after": entry.retire_after,
        "retirements": {str(last): date for last, date in entry.retirements},
        "deleted_at": entry.deleted_at,
    }


def finding_json(entry: TokenEntry, finding: Finding) -> dict[str, str | None]:
    """Return a finding for programs."""
    return {
        "place": str(entry.place),
        "workflow": entry.workflow,
        "rule": finding.rule,
        "outcome": finding.outcome.value,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def age(issued: str | None, now: float) -> str:
    """Write how old a token is."""
    seconds = _moment(issued)
    return "-" if seconds is None else format_duration(now - seconds)


def time_left(expires: str | None, now: float) -> str:
    """Write how long a token still lives."""
    seconds = _moment(expires)
    return "-" if seconds is None else format_duration(seconds - now) if seconds > now else "none"


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else parse_date(text)
    except (ValueError, OverflowError):
        return None
