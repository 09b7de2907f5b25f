"""Metrics of what became of a job's deliveries, as a text file for Prometheus's node_exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.reports.atomic_write import write_whole
from codex_runner.reports.prometheus import PREFIX, READABLE, file_name, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.domain.outcomes import JobOutcomes

_DELIVERY = f"{PREFIX}_delivery"
# These sentences are part of the contract: the collector refuses a metric whose files disagree about its help.
_HELP = {
    f"{_DELIVERY}_asked_timestamp_seconds": "When the forge was asked, in seconds since the epoch.",
    f"{_DELIVERY}_window_seconds": "How long before that the oldest run began that counts; missing if all count.",
    f"{_DELIVERY}_outcomes": "The job's changes by what became of them.",
    f"{_DELIVERY}_runs": "The job's runs, also those that delivered nothing.",
    f"{_DELIVERY}_tokens": "Tokens of these runs; cached and reasoning ones are part of the others.",
    f"{_DELIVERY}_agent_seconds": "How long the agent worked in these runs.",
    f"{_DELIVERY}_money": "What the tokens of these runs cost, as far as their models have a price.",
    f"{_DELIVERY}_accepted_cost_tokens": "Input and output tokens of all these runs, for each merged change.",
    f"{_DELIVERY}_accepted_cost_agent_seconds": "Seconds of the agent in all these runs, for each merged change.",
    f"{_DELIVERY}_accepted_cost_money": "What all these runs cost, for each merged change.",
}


def write_outcome_metrics(outcomes: JobOutcomes, folder: Path, *, asked: float, since: float | None) -> Path:
    """Write `codex_runner-delivery_<job>.prom` into `folder` atomically, and return its path.

    No run's file has such a name, whatever its job is called. Raises OSError if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = text_of(outcome_metrics(outcomes, asked=asked, since=since), _HELP).encode()
    return write_whole(folder / f"{PREFIX}-delivery_{file_name(outcomes.job)}.prom", data, mode=READABLE)


def outcome_metrics(
    outcomes: JobOutcomes, *, asked: float, since: float | None
) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples by metric: labels and value. The cost of an accepted change is missing if it is not known."""
    job = {"codex_job": outcomes.job}
    spent, cost = outcomes.spent, outcomes.accepted_cost
    usage = spent.usage
    money = {} if cost is None or cost.money is None else cost.money
    samples: dict[str, list[tuple[dict[str, str], float]]] = {
        "asked_timestamp_seconds": [(job, asked)],
        "window_seconds": [] if since is None else [(job, asked - since)],
        "outcomes": [({**job, "outcome": state.value}, count) for state, count in outcomes.counts.items()],
        "runs": [(job, spent.runs + len(outcomes.unreadable))],
        "tokens": [
            ({**job, "type": "input"}, usage.input),
            ({**job, "type": "cached_input"}, usage.cached_input),
            ({**job, "type": "output"}, usage.output),
            ({**job, "type": "reasoning_output"}, usage.reasoning_output),
        ],
        "agent_seconds": [(job, spent.agent_seconds)],
        "money": [({**job, "currency": currency}, float(amount)) for currency, amount in spent.money.items()],
        "accepted_cost_tokens": [] if cost is None else [(job, cost.tokens)],
        "accepted_cost_agent_seconds": [] if cost is None else [(job, cost.agent_seconds)],
        "accepted_cost_money": [({**job, "currency": each}, float(amount)) for each, amount in money.items()],
    }
    return {f"{_DELIVERY}_{name}": values for name, values in samples.items()}
