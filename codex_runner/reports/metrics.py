"""Metrics of a job's last run, as a text file for the textfile collector of Prometheus's node_exporter."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from codex_runner.reports.atomic_write import write_whole
from codex_runner.reports.outcome import word
from codex_runner.reports.prometheus import PREFIX, READABLE, file_name, text_of
from codex_runner.text.durations import plausible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codex_runner.domain.state import RunState

_LAST_RUN = f"{PREFIX}_last_run_timestamp_seconds"
_LAST_SUCCESS = f"{PREFIX}_last_success_timestamp_seconds"
# These sentences are part of the contract: the collector refuses a metric whose files disagree about its help.
_HELP = {
    _LAST_RUN: "When the job's last run ended, in seconds since the epoch.",
    _LAST_SUCCESS: "When the job's last run that succeeded ended, in seconds since the epoch.",
    f"{PREFIX}_last_run_success": "Whether the job's last run succeeded (1) or not (0).",
    f"{PREFIX}_last_run_ending": "How the job's last run ended, in the label; the value is 1.",
    f"{PREFIX}_last_run_exit_code": "The exit code of the job's last run.",
    f"{PREFIX}_last_run_duration_seconds": "How long the job's last run took.",
    f"{PREFIX}_last_run_attempts": "How often codex was started in the job's last run.",
    f"{PREFIX}_last_run_tokens": "Tokens of the job's last run; cached and reasoning ones are part of the others.",
    f"{PREFIX}_last_run_checks": "Checks of the job's last run, by result.",
    f"{PREFIX}_last_run_warnings": "Warnings of the job's last run.",
}
_NO_TIME = 1e12  # seconds; a file that says more is damaged


def write_metrics(state: RunState, folder: Path) -> Path | None:
    """Write `codex_runner_<job>.prom` into `folder` atomically, and return its path. Returns None without a verdict.

    Each job has its own file, so jobs can share a folder. The time of the last success is carried from run to run. A
    run that ended before the one in the file changes only that. Raises OSError if the folder cannot be written.
    """
    if state.verdict is None:
        return None
    name = file_name(state.job)
    path = folder / f"{PREFIX}_{name}.prom"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f".{PREFIX}_{name}.lock"):
        before = _read(path)
        ended = state.ended or state.updated
        success = max(before.get(_LAST_SUCCESS, 0.0), ended if state.verdict.result == "succeeded" else 0.0)
        if before.get(_LAST_RUN, 0.0) <= ended:
            return write_whole(path, text_of(metrics(state, success), _HELP).encode(), mode=READABLE)
        if success > before.get(_LAST_SUCCESS, 0.0):
            return write_whole(path, _with_success(path, state, success).encode(), mode=READABLE)
    return path


def metrics(state: RunState, last_success: float) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples by metric: labels and value. `last_success` is in seconds since the epoch, 0 for never."""
    verdict, usage = state.verdict, state.usage
    passed = sum(check.passed for check in state.checks.values())
    # Not `job`: Prometheus sets that label itself.
    job = {"codex_job": state.job}
    samples: dict[str, list[tuple[dict[str, str], float]]] = {
        "last_run_timestamp_seconds": [(job, state.ended or state.updated)],
        "last_success_timestamp_seconds": [(job, last_success)] if last_success else [],
        "last_run_success": [(job, float(verdict is not None and verdict.result == "succeeded"))],
        "last_run_ending": [({**job, "ending": word(verdict)}, 1)],
        "last_run_exit_code": [(job, verdict.exit_code)] if verdict else [],
        "last_run_duration_seconds": [(job, plausible(state.seconds))],
        "last_run_attempts": [(job, len(state.attempts))],
        "last_run_tokens": [
            ({**job, "type": "input"}, usage.input),
            ({**job, "type": "cached_input"}, usage.cached_input),
            ({**job, "type": "output"}, usage.output),
            ({**job, "type": "reasoning_output"}, usage.reasoning_output),
        ],
        "last_run_checks": [
            ({**job, "result": "passed"}, passed),
            ({**job, "result": "failed"}, len(state.checks) - passed),
        ],
        "last_run_warnings": [(job, len(state.warnings))],
    }
    return {f"{PREFIX}_{name}": values for name, values in samples.items()}


def _read(path: Path) -> dict[str, float]:
    """Return the file's current values by metric; empty if there is no file, or if it cannot be read."""
    values: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        if not path.is_file():  # reading a pipe without a writer would block
            return values
        for line in path.read_text(encoding="utf-8").splitlines():
            name, brace, rest = line.partition("{")
            if brace and not line.startswith("#"):
                value = float(rest.rpartition(" ")[2])
                if 0 <= value < _NO_TIME:
                    values[name] = value
    return values


def _with_success(path: Path, state: RunState, success: float) -> str:
    """Return the file's text with another last success."""
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _LAST_SUCCESS not in line]
    sample = text_of({_LAST_SUCCESS: metrics(state, success)[_LAST_SUCCESS]}, _HELP)
    return "\n".join(kept) + "\n" + sample


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock for the read and write: concurrent runs of one job each carry over the other's values."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
