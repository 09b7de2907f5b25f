"""The ledger's file: SQLite, safe for any number of concurrent runs on one machine.

One row for each run. It uses the default rollback journal and a busy timeout, not WAL: home folders are often on a
network file system, on which WAL's shared memory does not work. Every change is one immediate transaction, so a check
and its write are atomic.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import BudgetSpentError, ConfigurationError
from codex_runner.text.dates import format_day
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal
    from pathlib import Path

_VERSION = 1
_APPLICATION = 0x636F6472  # "codr": marks the file as ours
_PATIENCE = 10.0  # seconds that a run waits for another one's transaction
_KEPT_DAYS = 400

_SCHEMA = (
    """
CREATE TABLE spending (
    run_id   TEXT PRIMARY KEY,
    day      TEXT NOT NULL,      -- UTC, YYYY-MM-DD, of the run's start
    workflow TEXT NOT NULL,
    reserved INTEGER NOT NULL,   -- tokens that the run may still come to
    expires  REAL NOT NULL,      -- until when the reservation counts, in seconds since the epoch
    tokens   INTEGER NOT NULL,   -- tokens that it has come to
    money    TEXT                -- what they cost, a decimal, or NULL where no price was configured
) WITHOUT ROWID
""",
    "CREATE INDEX spending_by_workflow ON spending (workflow, day)",
)


class LedgerError(ConfigurationError):
    """The ledger's file cannot be used."""

    default_remedy = "Set `ledger` to a writable file. If the file is damaged, move it away; its count is lost."


class Ledger:
    """One ledger file. Each call opens and closes it, and makes its folder if it is missing."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self._path = path

    def reserve(  # noqa: PLR0913 - a row's columns
        self, workflow: str, run_id: str, tokens: int, *, now: float, until: float, limit: int | None
    ) -> None:
        """Reserve `tokens` for a run that starts at `now` and is over by `until` (seconds since the epoch).

        Raises BudgetSpentError if the workflow's day would then pass `limit`, or has no tokens left. The reservation of
        a killed run expires at its `until`. Idempotent on `run_id`.
        """
        day = utc_day(now)
        with self._open() as file:
            spent, reserved = _taken(file, workflow, day, now, but=run_id)
            taken = spent + reserved
            if limit is not None and (taken + tokens > limit or taken >= limit):
                raise BudgetSpentError(
                    f"The workflow {workflow!r} has {max(0, limit - taken):,} of {limit:,} tokens left for {day} UTC; "
                    f"this run may need {tokens:,}. {spent:,} are spent and {reserved:,} reserved by other runs."
                )
            file.execute(
                "INSERT INTO spending VALUES (?, ?, ?, ?, ?, 0, NULL) "
                "ON CONFLICT (run_id) DO UPDATE SET reserved = excluded.reserved, expires = excluded.expires",
                (run_id, day, workflow, tokens, until),
            )
            file.execute("DELETE FROM spending WHERE day < ?", (utc_day(now - _KEPT_DAYS * 86400),))

    def charge(  # noqa: PLR0913 - a row's columns
        self, workflow: str, run_id: str, tokens: int, *, now: float, money: Decimal | None, final: bool
    ) -> None:
        """Record the run's total so far. A later call replaces an earlier one.

        `final` releases the rest of the reservation. A run without a reservation is recorded all the same.
        """
        with self._open() as file:
            file.execute(
                "INSERT INTO spending VALUES (?, ?, ?, 0, 0, ?, ?) ON CONFLICT (run_id) DO UPDATE SET "
                "tokens = excluded.tokens, money = excluded.money, reserved = CASE WHEN ? THEN 0 ELSE reserved END",
                (run_id, utc_day(now), workflow, tokens, None if money is None else str(money), final),
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file and begin a transaction. Rolls back if anything raises."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.closing(sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
                try:
                    _prepare(file)
                    yield file
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                        file.execute("ROLLBACK")
                    raise
                file.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise LedgerError(
                    f"The ledger {self._path} was busy for {format_duration(_PATIENCE)}.",
                    remedy="Find the run that locks it, end it if it hangs, and try again.",
                ) from None
            raise LedgerError(f"The ledger {self._path} cannot be used: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"The ledger {self._path} is damaged, or is not a ledger: {error}.") from None
        except OSError as error:
            raise LedgerError(f"The ledger {self._path} cannot be used: {error.strerror}.") from None


@dataclass(frozen=True, slots=True)
class WorkflowAccount:
    """Implements ports.Account: one workflow's rows of a ledger."""

    ledger: Ledger
    workflow: str

    def reserve(self, run_id: str, tokens: int, *, now: float, until: float, limit: int | None) -> None:
        """See Account.reserve. Raises LedgerError if the file cannot be used."""
        self.ledger.reserve(self.workflow, run_id, tokens, now=now, until=until, limit=limit)

    def charge(self, run_id: str, tokens: int, *, now: float, money: Decimal | None, final: bool) -> None:
        """See Account.charge. Raises LedgerError if the file cannot be used."""
        self.ledger.charge(self.workflow, run_id, tokens, now=now, money=money, final=final)


def utc_day(now: float) -> str:
    """Return the UTC day of a moment, such as 2026-01-02."""
    return format_day(now)


def _prepare(file: sqlite3.Connection) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    (application,) = file.execute("PRAGMA application_id").fetchone()
    (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == version == application == 0:
        for statement in _SCHEMA:
            file.execute(statement)
        file.execute(f"PRAGMA user_version = {_VERSION}")
        file.execute(f"PRAGMA application_id = {_APPLICATION}")
    elif application != _APPLICATION:
        raise sqlite3.DatabaseError("it is another program's database")
    elif version != _VERSION:
        raise sqlite3.DatabaseError(f"it has version {version}, but this codex-runner knows version {_VERSION}")


def _taken(file: sqlite3.Connection, workflow: str, day: str, now: float, *, but: str) -> tuple[int, int]:
    """Return the tokens that runs other than `but` have spent on this day, and those that they have reserved."""
    rows = file.execute(
        "SELECT tokens, CASE WHEN expires > ? THEN max(0, reserved - tokens) ELSE 0 END FROM spending "
        "WHERE workflow = ? AND day = ? AND run_id IS NOT ?",
        (now, workflow, day, but),
    ).fetchall()
    return sum(tokens for tokens, _ in rows), sum(reserved for _, reserved in rows)
