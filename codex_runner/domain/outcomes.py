"""Outcomes of deliveries: what became of each change that a job has delivered, and what the job has spent.

A change is a pull request. At a plain git remote it is what the runner pushed until the base had it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.run import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from codex_runner.domain.delivery import ForgeKind
    from codex_runner.domain.exit_code import ExitCode


class OutcomeState(StrEnum):
    """What became of a change."""

    MERGED = "merged"  # a person has accepted it, also by a squash or a rebase
    CLOSED = "closed"
    OPEN = "open"
    GONE = "gone"  # the forge answers, and shows it no more: whether it was accepted is not known
    UNKNOWN = "unknown"  # the forge could not be asked


@dataclass(frozen=True, slots=True)
class Spent:
    """What runs have spent. `agent_seconds` are those of their attempts. `money` is by currency.

    `unpriced` counts the runs that used tokens of a model without a price: with one of them, `money` is not all.
    """

    runs: int = 0
    usage: Usage = field(default_factory=Usage)
    agent_seconds: float = 0.0
    money: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        """Add part by part."""
        money = dict(self.money)
        for currency, amount in other.money.items():
            money[currency] = money[currency] + amount if currency in money else amount
        return Spent(
            self.runs + other.runs,
            self.usage + other.usage,
            self.agent_seconds + other.agent_seconds,
            MappingProxyType(money),
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class AcceptedCost:
    """The cost of one accepted change: a job's spending divided by its merged changes.

    `tokens` is rounded to a whole number, `money` to a millionth. It is by currency; None if some runs have no price.
    """

    tokens: int
    agent_seconds: float
    money: Mapping[str, Decimal] | None


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """One change. `repository`, `branch`, `number` and `commit` are those of the last run that worked on it.

    `held`: it is open, and that run left it alone. `has_branch` is None if that is not known. `merged` is in seconds
    since the epoch, None if the forge does not say. `spent` is that of all its runs. If the state is `gone` or
    `unknown`, `reason` says why. `remedy` and `exit_code` are those of the error that made it unknown.
    """

    state: OutcomeState
    target: ForgeKind
    repository: str
    branch: str
    number: int | None
    commit: str
    link: str
    runs: tuple[str, ...]
    spent: Spent
    draft: bool = False
    held: bool = False
    has_branch: bool | None = None
    merged: float | None = None
    reason: str = ""
    remedy: str = ""
    exit_code: ExitCode | None = None


@dataclass(frozen=True, slots=True)
class JobOutcomes:
    """A job's changes, the newest first. `spent` is that of all its runs, also of those that delivered nothing.

    `unreadable` are runs whose records are damaged, or of a newer version.
    """

    job: str
    changes: tuple[ChangeOutcome, ...]
    spent: Spent
    unreadable: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[OutcomeState, int]:
        """The number of changes in each state."""
        found = Counter(change.state for change in self.changes)
        return {state: found[state] for state in OutcomeState}

    @property
    def doubt(self) -> str:
        """Why there is no cost of an accepted change. Returns "" if there is one."""
        counts = self.counts
        if self.unreadable:
            return "not known, since some runs cannot be read"
        if counts[OutcomeState.UNKNOWN] or counts[OutcomeState.GONE]:
            return "not known, since the outcome of some changes is not"
        return "" if counts[OutcomeState.MERGED] else "none accepted"

    @property
    def accepted_cost(self) -> AcceptedCost | None:
        """All that the job has spent, for each merged change. Returns None if `doubt` says why."""
        if self.doubt:
            return None
        count, spent = self.counts[OutcomeState.MERGED], self.spent
        money = {currency: round(amount / count, 6) for currency, amount in spent.money.items()}
        return AcceptedCost(
            round(spent.usage.total / count), spent.agent_seconds / count, None if spent.unpriced else money
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The answer: of all jobs, at a time. `since` is the beginning of the window; None if all runs count.

    Both are in seconds since the epoch.
    """

    asked: float
    since: float | None
    jobs: tuple[JobOutcomes, ...]
