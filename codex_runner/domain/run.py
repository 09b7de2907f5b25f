"""One run of a job: its name, how its process and its attempts ended, and what it came to."""

from __future__ import annotations

import calendar
import re
import secrets
import time
from enum import StrEnum
from typing import Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import UsageError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9][a-z0-9._-]{0,63}-[0-9a-f]{8}")


def new_run_id(job: str, now: float | None = None) -> str:
    """Make a run id: UTC time, job, eight random hexadecimal digits. It sorts by time and is a safe file name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    return f"{stamp}-{job}-{secrets.token_hex(4)}"


def check_run_id(text: str) -> str:
    """Return `text` if it is a whole run id. A truncated one names no run: UsageError."""
    if not _RUN_ID.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a run id (such as 20260102T030405Z-release-notes-0a1b2c3d).",
            remedy="`codex-runner runs` lists the runs.",
        )
    return text


def run_started(run_id: str) -> float:
    """Return when a run of this id was begun, to the second: seconds since the epoch; 0 where it names no time."""
    try:
        return float(calendar.timegm(time.strptime(run_id[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return 0.0


def run_job(run_id: str) -> str:
    """Return the job that a run id names."""
    return run_id[17:-9]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. codex counts them over a whole thread. A resume goes on from the last total."""

    input: int = 0
    cached_input: int = 0
    output: int = 0
    reasoning_output: int = 0

    @property
    def total(self) -> int:
        """Input and output together; cached and reasoning tokens are already in them."""
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        """Add part by part."""
        return Usage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.output + other.output,
            self.reasoning_output + other.reasoning_output,
        )

    def __sub__(self, other: Usage) -> Usage:
        """Subtract part by part, never below zero (`exec review` reports zeros)."""
        return Usage(
            max(0, self.input - other.input),
            max(0, self.cached_input - other.cached_input),
            max(0, self.output - other.output),
            max(0, self.reasoning_output - other.reasoning_output),
        )


class StopReason(StrEnum):
    """Why somebody ended the agent. The values are the words that the supervisor writes into `exit`."""

    NONE = "none"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    COMMAND_TIMEOUT = "command-timeout"
    LINGERED = "lingered"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    HUNG_UP = "hung-up"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"
    DISK_FULL = "disk-full"
    LOST = "lost"
    RUNNER_FAILED = "runner-failed"


class Sweep(StrEnum):
    """How surely no process of the agent is left."""

    CLEAN = "clean"
    BEST_EFFORT = "best-effort"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How codex's process ended, as its supervisor saw it.

    At most one of `code` and `signal` is set, and neither if the supervisor died first. `stdout_size` (bytes) and
    `stdout_cksum` (POSIX cksum) describe all that codex printed. `killed` counts processes that the sweep had to end.
    `swept` says how certain the sweep is.
    """

    code: int | None
    signal: int | None
    stopped: StopReason
    stdout_size: int
    stdout_cksum: int
    stderr_size: int
    swept: Sweep
    killed: int = 0

    def __str__(self) -> str:
        """Say it in the usual words."""
        if self.signal is not None:
            return f"signal {self.signal}"
        return "an unknown exit code" if self.code is None else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended. `failure` is None exactly if the agent completed its turn. `message` is for people.

    `remedy` is what to do about it, if more is known than the class of the failure says.
    """

    failure: Failure | None
    message: str
    remedy: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that this ending alone would give."""
        return ExitCode.SUCCEEDED if self.failure is None else self.failure.exit_code


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the whole run came to. `reason` is one sentence, `remedy` another one: what to do about it.

    `skipped`: its group was taken, and nothing was done.
    """

    exit_code: ExitCode
    reason: str
    failure: Failure | None = None
    skipped: bool = False
    remedy: str = ""

    @classmethod
    def of(cls, ending: Ending) -> Self:
        """Return the verdict of a run whose last attempt ended so, badly."""
        failure = ending.failure or Failure.UNKNOWN
        return cls(failure.exit_code, ending.message, failure, remedy=ending.remedy or failure.remedy)

    @property
    def result(self) -> str:
        """The one word for programs: `succeeded`, `failed` or `skipped`."""
        if self.skipped:
            return "skipped"
        return "succeeded" if self.exit_code is ExitCode.SUCCEEDED else "failed"
