"""Outcomes as a table with a summary of each job, and as JSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

from codex_runner.cli.speech import tell
from codex_runner.cli.table import show_columns
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.outcomes import OutcomeState
from codex_runner.text.clean import clean_line
from codex_runner.text.counts import counted
from codex_runner.text.dates import format_instant
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from codex_runner.domain.outcomes import ChangeOutcome, JobOutcomes, Outcomes, Spent

VERSION = 1
_COLOURS = {
    OutcomeState.MERGED: "green",
    OutcomeState.CLOSED: "red",
    OutcomeState.OPEN: "yellow",
    OutcomeState.GONE: "yellow",
    OutcomeState.UNKNOWN: "red",
}


def show(outcomes: Outcomes) -> None:
    """Print the changes as a table, and below it what each job has spent. Addresses break no line: they come last."""
    changes = [(job.job, change) for job in outcomes.jobs for change in job.changes]
    if changes:
        has_money = any(change.spent.money for _, change in changes)
        headers = ("JOB", "OUTCOME", "RUNS", "TOKENS", "AGENT", *(["COST"] if has_money else []), "CHANGE")
        rows = [_row(job, change, has_money=has_money) for job, change in changes]
        colours = [_COLOURS[change.state] for _, change in changes]
        right = ("RUNS", "TOKENS", "AGENT", "COST")
        show_columns(headers, rows, os.environ, right=right, colours={"OUTCOME": colours})
        typer.echo()
    for job in outcomes.jobs:
        for line in _summary(job):
            typer.echo(clean_line(line))


def tell_doubts(outcomes: Outcomes) -> None:
    """Say on stderr what is not known, each reason once, and what to do about it."""
    for job in outcomes.jobs:
        counts: dict[tuple[str, str], int] = {}
        for change in job.changes:
            if change.state in {OutcomeState.UNKNOWN, OutcomeState.GONE}:
                key = (change.reason, change.remedy)
                counts[key] = counts.get(key, 0) + 1
        for (reason, remedy), count in counts.items():
            tell(f"{job.job}: {counted(count, 'change')} not known: {reason}", remedy)
        if job.unreadable:
            names = ", ".join(job.unreadable[:3]) + (" ..." if len(job.unreadable) > 3 else "")
            tell(
                f"{job.job}: {counted(len(job.unreadable), 'run')} cannot be read: {names}",
                "Use the version of codex-runner that wrote them, or move their folders away.",
            )


def exit_code_of(outcomes: Outcomes) -> ExitCode:
    """Return the code of the first change that could not be asked for, then of runs that cannot be read."""
    for job in outcomes.jobs:
        for change in job.changes:
            if change.exit_code is not None:
                return change.exit_code
    damaged = any(job.unreadable for job in outcomes.jobs)
    return ExitCode.CONFIGURATION if damaged else ExitCode.SUCCEEDED


def as_document(outcomes: Outcomes) -> dict[str, Any]:
    """Return the outcomes as JSON. Times are ISO 8601 in UTC, durations seconds, money decimal text."""
    return {
        "version": VERSION,
        "asked": format_instant(outcomes.asked),
        "since": None if outcomes.since is None else format_instant(outcomes.since),
        "jobs": [_job_document(job) for job in outcomes.jobs],
    }


def _job_document(job: JobOutcomes) -> dict[str, Any]:
    cost = job.accepted_cost
    return {
        "job": job.job,
        "outcomes": {state.value: count for state, count in job.counts.items()},
        "spent": _spent_document(job.spent),
        "unreadable_runs": list(job.unreadable),
        "accepted_cost": None
        if cost is None
        else {
            "tokens": cost.tokens,
            "agent_seconds": round(cost.agent_seconds, 3),
            "money": None if cost.money is None else _money_document(cost.money),
        },
        "accepted_cost_reason": job.doubt or None,
        "changes": [_change_document(change) for change in job.changes],
    }


def _change_document(change: ChangeOutcome) -> dict[str, Any]:
    return {
        "outcome": change.state.value,
        "draft": change.draft if change.state is OutcomeState.OPEN and change.number is not None else None,
        "held": change.held,
        "branch_exists": change.has_branch,
        "merged": None if change.merged is None else format_instant(change.merged),
        "target": change.target.value,
        "repository": change.repository,
        "number": change.number,
        "link": change.link or None,
        "branch": change.branch,
        "commit": change.commit or None,
        "runs": list(change.runs),
        "spent": _spent_document(change.spent),
        "reason": change.reason or None,
        "exit_code": change.exit_code,
    }


def _spent_document(spent: Spent) -> dict[str, Any]:
    usage = spent.usage
    return {
        "runs": spent.runs,
        "tokens": {
            "input": usage.input,
            "cached_input": usage.cached_input,
            "output": usage.output,
            "reasoning_output": usage.reasoning_output,
            "total": usage.total,
        },
        "agent_seconds": round(spent.agent_seconds, 3),
        "money": _money_document(spent.money),
        "runs_without_price": spent.unpriced,
    }


def _money_document(money: Mapping[str, Decimal]) -> list[dict[str, str]]:
    return [{"amount": f"{amount:f}", "currency": currency} for currency, amount in money.items()]


def _row(job: str, change: ChangeOutcome, *, has_money: bool) -> tuple[str, ...]:
    spent = change.spent
    words = [change.state.value]
    if change.state is OutcomeState.OPEN and change.draft:
        words.append("draft")
    if change.held:
        words.append("held")
    if change.has_branch is False:
        words.append("no branch")
    place = change.link or f"{change.branch} {change.commit[:12]}".rstrip()
    cost = [_money(spent.money)] if has_money else []
    tokens, time = f"{spent.usage.total:,}", format_duration(spent.agent_seconds)
    return (job, ", ".join(words), str(spent.runs), tokens, time, *cost, place)


def _summary(job: JobOutcomes) -> list[str]:
    counts = ", ".join(f"{count} {state.value}" for state, count in job.counts.items() if count)
    spent, usage, cost = job.spent, job.spent.usage, job.accepted_cost
    money = f", {_money(spent.money)}" if spent.money else ""
    if spent.unpriced and spent.money:
        money += f" ({counted(spent.unpriced, 'run')} without a price)"
    told = job.doubt
    if cost is not None:
        told = f"{cost.tokens:,} tokens, {format_duration(cost.agent_seconds)}"
        told += f", {_money(cost.money)}" if cost.money else ""
    tokens = f"{usage.input:,} tokens in ({usage.cached_input:,} cached), {usage.output:,} out"
    return [
        f"{job.job}: {counted(len(job.changes), 'change')}{f': {counts}' if counts else ''}",
        f"  {counted(spent.runs, 'run')}: {tokens}, {format_duration(spent.agent_seconds)}{money}",
        f"  cost of an accepted change: {told}",
    ]


def _money(money: Mapping[str, Decimal]) -> str:
    return " + ".join(f"{amount:.4f} {currency}" for currency, amount in money.items())
