"""One run of a job: its id, its token usage, how its process and its attempts ended, and its verdict."""

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


def is_run_id(text: str) -> bool:
    """Whether `text` is a whole run id."""
    return _RUN_ID.fullmatch(text) is not None


def check_run_id(text: str) -> str:
    """Return `text` if it is a whole run id. Raises UsageError otherwise, also for a truncated one."""
    if not is_run_id(text):
        raise UsageError(
            f"{text!r} is not a run id (such as 20260102T030405Z-release-notes-0a1b2c3d).",
            remedy="`codex-runner runs` lists the runs.",
        )
    return text


def run_started(run_id: str) -> float:
    """Return when the run of this id began, in whole seconds since the epoch. Returns 0 if the id has no valid time."""
    try:
        return float(calendar.timegm(time.strptime(run_id[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return 0.0


def run_job(run_id: str) -> str:
    """Return the name of the job in a run id."""
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
    """Why the runner or the supervisor ended the agent. The supervisor writes these values into the file `exit`."""

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
    """How certain it is that no process of the agent is left."""

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
        """Return the code or the signal in words."""
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
        """The exit code of this ending, without checks and guards."""
        return ExitCode.SUCCEEDED if self.failure is None else self.failure.exit_code


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the whole run. `reason` is one sentence; `remedy` is another one that says what to do.

    `skipped`: the run did nothing, since another one held the group's lock, or its gate said so.
    """

    exit_code: ExitCode
    reason: str
    failure: Failure | None = None
    skipped: bool = False
    remedy: str = ""

    @classmethod
    def of(cls, ending: Ending) -> Self:
        """Return the verdict of a run whose last attempt failed with this ending."""
        failure = ending.failure or Failure.UNKNOWN
        return cls(failure.exit_code, ending.message, failure, remedy=ending.remedy or failure.remedy)

    @property
    def result(self) -> str:
        """The one word for programs: `succeeded`, `failed` or `skipped`."""
        if self.skipped:
            return "skipped"
        return "succeeded" if self.exit_code is ExitCode.SUCCEEDED else "failed"
