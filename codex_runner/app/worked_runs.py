"""Past runs as deliveries see them: what each has spent, and what came of its changes."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.app.history import UNREADABLE, delivered_later, finished_document, list_runs
from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import Delivered
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import build
from codex_runner.domain.outcomes import Spent
from codex_runner.domain.run import Usage
from codex_runner.domain.state import fold
from codex_runner.reports.run_json import run_document
from codex_runner.sinks.jsonl import read_records
from codex_runner.text.dates import parse_date
from codex_runner.text.durations import plausible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from codex_runner.domain.folder import RunFolder

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, InvalidOperation)
_USAGE = ("input", "cached_input", "output", "reasoning_output")
_TEXTS = ("repository", "branch", "base", "commit", "link", "reason")


@dataclass(frozen=True, slots=True)
class WorkedRun:
    """A run. `spent` is None if its records cannot be read. `delivered` is None if nothing came of its changes.

    `delivered` is what `codex-runner deliver` did last, if there was one.
    """

    run_id: str
    job: str
    spent: Spent | None
    delivered: Delivered | None = None


def worked_runs(output_dir: Path, *, job: str | None, after: float) -> Iterator[WorkedRun]:
    """Yield the runs below `output_dir` that began `after` a time (seconds since the epoch), the newest first."""
    for run in list_runs(output_dir, job=job, after=after):
        found = None if run.ending == UNREADABLE else _read(run.folder)
        yield found or WorkedRun(run.folder.run_id, run.job, None)


def _read(folder: RunFolder) -> WorkedRun | None:
    """Read run.json, or if it is not whole, what it would be by events.jsonl. Returns None if both are damaged."""
    later = delivered_later(folder)
    try:
        if (document := finished_document(folder)) is not None:
            return _worked(folder, document, later)
    except _DAMAGED:
        pass  # then from events.jsonl
    try:
        return _worked(folder, run_document(fold(read_records(folder.events))), later)
    except (RunnerError, *_DAMAGED):
        return None


def _worked(folder: RunFolder, document: Mapping[str, Any], later: dict[str, Any]) -> WorkedRun:
    usage = Usage(**{name: _count(document["usage"][name]) for name in _USAGE})
    money = document.get("money")
    priced = {} if money is None else {str(money["currency"]): _amount(money["amount"])}
    spent = Spent(1, usage, _agent_seconds(document), MappingProxyType(priced), int(money is None and usage.total > 0))
    said = later or document.get("delivery")
    return WorkedRun(folder.run_id, str(document["job"]), spent, None if said is None else _delivered(said))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("no number of tokens")
    return value


def _amount(value: object) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite():
        raise ValueError("no amount of money")
    return amount


def _agent_seconds(document: Mapping[str, Any]) -> float:
    """Return the seconds of all attempts. If run.json is too long to list them all, return those of the run."""
    if "attempts" in document["cut"]:
        return plausible(float(document["seconds"]))
    spans = ((attempt["started"], attempt["ended"] or document["updated"]) for attempt in document["attempts"])
    return math.fsum(plausible(parse_date(ended) - parse_date(started)) for started, ended in spans)


def _delivered(said: dict[str, Any]) -> Delivered:
    delivered: Delivered = build(Delivered, said)
    texts = [getattr(delivered, name) for name in _TEXTS]
    if not all(isinstance(text, str) for text in texts) or type(delivered.number) not in {int, type(None)}:
        raise TypeError("no delivery")
    return delivered
