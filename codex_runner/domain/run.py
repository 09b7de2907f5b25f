"""One run of a job: its name, how its process and its attempts ended, and what it came to."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from codex_runner.domain.errors import ExitCode, UsageError

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


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. codex counts them over a whole thread; a resume goes on from the last total."""

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
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"
    DISK_FULL = "disk-full"
    LOST = "lost"


class Sweep(StrEnum):
    """How surely no process of the agent is left."""

    CLEAN = "clean"
    BEST_EFFORT = "best-effort"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How codex's process ended, as its supervisor saw it.

    At most one of `code` and `signal` is set; neither where the supervisor died first. `stdout_size` (bytes) and
    `stdout_cksum` (POSIX cksum) describe the whole of what codex printed. `killed` counts processes that the sweep had
    to end. `swept` says how sure it is.
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


class Failure(StrEnum):
    """The class of a failure: it decides the exit code and whether trying again can help."""

    exit_code: ExitCode
    retried: bool
    meaning: str

    def __new__(cls, value: str, exit_code: ExitCode, retried: bool, meaning: str) -> Self:  # noqa: FBT001
        """Attach the exit code, the retry rule and the sentence that the docs print."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.exit_code = exit_code
        member.retried = retried
        member.meaning = meaning
        return member

    CREDENTIAL = "credential", ExitCode.CREDENTIAL, False, "the model service refused the credential"
    QUOTA = "quota", ExitCode.QUOTA, False, "a usage limit or quota is reached"
    CAPACITY = "capacity", ExitCode.MODEL_SERVICE, True, "the model has no capacity, or the service failed"
    RATE_LIMIT = "rate-limit", ExitCode.MODEL_SERVICE, True, "too many requests"
    NETWORK = "network", ExitCode.MODEL_SERVICE, True, "the connection to the model service broke"
    CONTEXT_FULL = "context-full", ExitCode.JOB_FAILED, False, "the task does not fit into the model's context"
    BAD_REQUEST = "bad-request", ExitCode.MODEL_SERVICE, False, "the model service refused the request as malformed"
    UNKNOWN_MODEL = "unknown-model", ExitCode.CONFIGURATION, False, "the model does not exist for this account"
    STARTUP = "startup", ExitCode.CONFIGURATION, False, "codex did not start: bad flag, bad config, or no repository"
    INCOMPLETE = "incomplete", ExitCode.JOB_FAILED, False, "codex ended without a final event"
    NO_REPLY = "no-reply", ExitCode.JOB_FAILED, False, "the turn completed without a final message"
    CRASHED = "crashed", ExitCode.JOB_FAILED, False, "codex completed the turn and then failed"
    TRANSPORT = "transport", ExitCode.HOST, True, "the host was lost, or its output did not arrive whole"
    LOST = "lost", ExitCode.HOST, False, "the supervisor on the host died without reporting how codex ended"
    DISK_FULL = "disk-full", ExitCode.HOST, False, "the host's disk was full where runs lie"
    NEVER_STARTED = "never-started", ExitCode.HOST, False, "the host took the job and never started codex"
    TIMEOUT = "timeout", ExitCode.TIMEOUT, False, "the job's time ran out"
    STALLED = "stalled", ExitCode.STALLED, True, "nothing happened for longer than `stall_timeout`"
    COMMAND_TIMEOUT = "command-timeout", ExitCode.TIMEOUT, False, "a command ran longer than `command_timeout`"
    BUDGET = "budget", ExitCode.BUDGET, False, "the job's budget is spent"
    ORPHANED = "orphaned", ExitCode.HOST, False, "no runner was attached for `orphan_timeout`"
    INTERRUPTED = "interrupted", ExitCode.INTERRUPTED, False, "the runner got SIGINT"
    TERMINATED = "terminated", ExitCode.TERMINATED, False, "the runner got SIGTERM"
    CANCELLED = "cancelled", ExitCode.TERMINATED, False, "`codex-runner cancel` ended the run"
    UNKNOWN = "unknown", ExitCode.JOB_FAILED, False, "codex failed with a message that this version does not know"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: `failure` is None exactly where the agent did its turn. `message` is for people."""

    failure: Failure | None
    message: str

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that this ending alone would give."""
        return ExitCode.SUCCEEDED if self.failure is None else self.failure.exit_code


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the whole run came to. `reason` is one sentence. `skipped`: its group was taken, and nothing was done."""

    exit_code: ExitCode
    reason: str
    failure: Failure | None = None
    skipped: bool = False

    @property
    def result(self) -> str:
        """The one word for programs: `succeeded`, `failed` or `skipped`."""
        if self.skipped:
            return "skipped"
        return "succeeded" if self.exit_code is ExitCode.SUCCEEDED else "failed"
