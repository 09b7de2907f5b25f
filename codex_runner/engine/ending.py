"""Endings of attempts that were stopped, whose supervisor was lost, or whose host is unreachable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.attempt_state import TURN_COMPLETED, Attempt
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, StopReason
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from codex_runner.domain.job import Job

# Seconds beyond a job's `timeout` after which its supervisor has ended codex by itself.
_GRACE = 15.0

_FAILURES = {
    StopReason.TIMEOUT: Failure.TIMEOUT,
    StopReason.STALLED: Failure.STALLED,
    StopReason.COMMAND_TIMEOUT: Failure.COMMAND_TIMEOUT,
    StopReason.BUDGET: Failure.BUDGET,
    StopReason.INTERRUPTED: Failure.INTERRUPTED,
    StopReason.TERMINATED: Failure.TERMINATED,
    StopReason.HUNG_UP: Failure.HUNG_UP,
    StopReason.CANCELLED: Failure.CANCELLED,
    StopReason.ORPHANED: Failure.ORPHANED,
    StopReason.DISK_FULL: Failure.DISK_FULL,
    StopReason.LOST: Failure.LOST,
    StopReason.RUNNER_FAILED: Failure.RUNNER_FAILED,
}

_MESSAGES = {
    StopReason.TIMEOUT: "the supervisor ended codex: the job's time was over (timeout)",
    StopReason.ORPHANED: "the supervisor ended codex: no runner had been attached for orphan_timeout",
    StopReason.DISK_FULL: "the supervisor ended codex: the host's disk is full (the disk of the run directories)",
    StopReason.CANCELLED: "the run was cancelled",
    StopReason.TERMINATED: "the supervisor on the host got SIGTERM: the host shut down, or another process ended it",
    StopReason.LOST: "the supervisor on the host was killed, and codex was ended without it",
    StopReason.RUNNER_FAILED: "the runner that began the run could not go on, and ended codex",
}

# Remedies for stops that no runner has asked for, if that of the failure's class does not fit.
_REMEDIES = {StopReason.TERMINATED: "Find out what ended it on the host, and run the job again."}


def stopped_ending(attempt: Attempt, reason: StopReason) -> Ending | None:
    """Return the ending of an attempt that was stopped for `reason`. Returns None if the agent had done its turn.

    A codex that lingers after its final event has done its work, and is judged like one that exits.
    """
    if reason is StopReason.NONE or reason is StopReason.LINGERED:
        return None
    if attempt.stop and attempt.stop.reason == reason:
        return stop_ending(reason, attempt.stop.message)
    return Ending(_FAILURES[reason], _MESSAGES.get(reason, reason), _REMEDIES.get(reason, ""))


def stop_ending(reason: StopReason, message: str) -> Ending:
    """Return the ending of an attempt that was stopped, with the failure of its reason."""
    return Ending(_FAILURES[reason], message)


def lost_ending(attempt: Attempt, message: str) -> Ending:
    """Return the ending of an attempt whose supervisor is gone without a report."""
    done = " after its turn was completed" if attempt.turn == TURN_COMPLETED else ""
    return Ending(Failure.LOST, f"how codex ended is unknown{done}: {message}")


def unreached_ending(why: str, job: Job, run_id: str, attempt: Attempt, now: float) -> Ending:
    """Return the ending of an attempt whose host is unreachable: it says until when the agent may still run there.

    `now` is seconds since the epoch. The time is approximate, since the host counts in ticks of its own.
    """
    until, limit = min(
        (now + job.limits.orphan, "orphan_timeout"), (attempt.started + job.limits.timeout + _GRACE, "timeout")
    )
    return Ending(
        Failure.TRANSPORT,
        f"{why} The agent may still be running on {job.host}, until about {format_date(max(now, until))} ({limit}).",
        f"`codex-runner attach {run_id}` goes on with it, `codex-runner cancel {run_id}` ends it.",
    )
