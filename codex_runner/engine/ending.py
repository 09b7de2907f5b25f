"""How an attempt ended that somebody stopped, or whose supervisor was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.attempt_state import TURN_COMPLETED, Attempt
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, StopReason
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from codex_runner.domain.job import Job

# What a supervisor takes on top of a job's `timeout` before it ends codex by itself, and to end it, in seconds.
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
    StopReason.DISK_FULL: "the supervisor ended codex: the host's disk is full where runs lie",
    StopReason.CANCELLED: "the run was cancelled",
    StopReason.TERMINATED: "the supervisor on the host got SIGTERM: the host shut down, or somebody ended it there",
    StopReason.LOST: "the supervisor on the host was killed, and codex was ended in its stead",
    StopReason.RUNNER_FAILED: "the runner that began the run could not go on, and ended codex",
}

# What to do about a stop that no runner has asked for, if it is not what the failure's class says.
_REMEDIES = {StopReason.TERMINATED: "Find out what ended it on the host, and run the job again."}


def stopped_ending(attempt: Attempt, reason: StopReason) -> Ending | None:
    """Say how an attempt ended that was stopped for `reason`; None where the agent had done its turn before.

    A codex that lingers after its final event has done its work: what it came to is judged like any other.
    """
    if reason is StopReason.NONE or reason is StopReason.LINGERED:
        return None
    if attempt.stop and attempt.stop.reason == reason:
        return stop_ending(reason, attempt.stop.message)
    return Ending(_FAILURES[reason], _MESSAGES.get(reason, reason), _REMEDIES.get(reason, ""))


def stop_ending(reason: StopReason, message: str) -> Ending:
    """Give a stop its class of failure."""
    return Ending(_FAILURES[reason], message)


def lost_ending(attempt: Attempt, message: str) -> Ending:
    """Say how an attempt ended whose supervisor will never report."""
    done = " after its turn was completed" if attempt.turn == TURN_COMPLETED else ""
    return Ending(Failure.LOST, f"nobody can say how codex ended{done}: {message}")


def unreached_ending(why: str, job: Job, run_id: str, attempt: Attempt, now: float) -> Ending:
    """Say how an attempt ended whose host is out of reach: where its agent may be running, and until when.

    `now` is seconds since the epoch. The times are near ones: the host counts in ticks of its own.
    """
    until, limit = min(
        (now + job.limits.orphan, "orphan_timeout"), (attempt.started + job.limits.timeout + _GRACE, "timeout")
    )
    return Ending(
        Failure.TRANSPORT,
        f"{why} The agent may still be running on {job.host}, until about {format_date(max(now, until))} ({limit}).",
        f"`codex-runner attach {run_id}` goes on with it, `codex-runner cancel {run_id}` ends it.",
    )
