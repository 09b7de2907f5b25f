"""One run of a job: its name, how its process and its attempts ended, and what it came to."""

from __future__ import annotations

import calendar
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
    """The class of a failure: it decides the exit code, whether trying again can help, and what to do about it."""

    exit_code: ExitCode
    retried: bool
    meaning: str
    remedy: str

    def __new__(cls, value: str, exit_code: ExitCode, retried: bool, meaning: str, remedy: str) -> Self:  # noqa: FBT001 - a table's columns
        """Attach the exit code, the retry rule, and the sentences that reports and docs print."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.exit_code = exit_code
        member.retried = retried
        member.meaning = meaning
        member.remedy = remedy
        return member

    CREDENTIAL = (
        "credential",
        ExitCode.CREDENTIAL,
        False,
        "the model service refused the credential",
        "Replace the credential, or give its account the right to the model; `codex-runner doctor` tries it.",
    )
    QUOTA = (
        "quota",
        ExitCode.QUOTA,
        False,
        "a usage limit or quota is reached",
        "Wait until the limit resets, or raise it in the workspace's settings.",
    )
    CAPACITY = (
        "capacity",
        ExitCode.MODEL_SERVICE,
        True,
        "the model has no capacity, or the service failed",
        "Run the job again later; the model service's status page may say more.",
    )
    RATE_LIMIT = (
        "rate-limit",
        ExitCode.MODEL_SERVICE,
        True,
        "too many requests",
        "Run fewer jobs at a time, or later.",
    )
    NETWORK = (
        "network",
        ExitCode.MODEL_SERVICE,
        True,
        "the connection to the model service broke",
        "Check the way to the model service (proxy, DNS, certificates), and run the job again.",
    )
    CONTEXT_FULL = (
        "context-full",
        ExitCode.JOB_FAILED,
        False,
        "the task does not fit into the model's context",
        "Ask for less at a time, or name the files that matter.",
    )
    BAD_REQUEST = (
        "bad-request",
        ExitCode.JOB_FAILED,
        False,
        "the model service does not take the request",
        "Read the message, which says what it does not take: check the prompt, `output_schema` and `codex.config`.",
    )
    RESPONSE_INCOMPLETE = (
        "response-incomplete",
        ExitCode.JOB_FAILED,
        False,
        "the model's answer was cut off by a content filter or by its output limit",
        "Ask for less at a time (`max_output_tokens`), or change what the filter objects to (`content_filter`).",
    )
    UNKNOWN_MODEL = (
        "unknown-model",
        ExitCode.CONFIGURATION,
        False,
        "the model does not exist for this account",
        "Correct `model`, or give the account the right to it.",
    )
    NOT_FOUND = (
        "not-found",
        ExitCode.MODEL_SERVICE,
        False,
        "the model service has nothing at the address that codex asks",
        "Check the provider's `base_url` in `codex.config`, and the gateway in front of it.",
    )
    PROXY = (
        "proxy",
        ExitCode.CONFIGURATION,
        False,
        "the proxy asks for a login of its own",
        "Give the proxy's login in HTTPS_PROXY or HTTP_PROXY, or name the model service in NO_PROXY.",
    )
    REFUSED = (
        "refused",
        ExitCode.CONFIGURATION,
        False,
        "codex's sandbox or a hook let nothing of the job through",
        "Try `codex sandbox` on the host, which may not let it make namespaces; else look at the workspace's hooks.",
    )
    STARTUP = (
        "startup",
        ExitCode.CONFIGURATION,
        False,
        "codex did not start: bad flag, bad config, or no repository",
        "Read stderr.log, which has codex's own words; `codex-runner run JOB --dry-run` shows its settings.",
    )
    THREAD_LOST = (
        "thread-lost",
        ExitCode.HOST,
        True,
        "a retry found nothing of its thread on the host, so that the next one begins anew",
        "Run the job again.",
    )
    INCOMPLETE = (
        "incomplete",
        ExitCode.JOB_FAILED,
        False,
        "codex ended without a final event",
        "Read stderr.log, which has codex's own words, and run the job again.",
    )
    NO_REPLY = (
        "no-reply",
        ExitCode.JOB_FAILED,
        False,
        "the turn completed without a final message",
        "Change the prompt if the model refused it; `expect_message = false` accepts a turn without a reply.",
    )
    CRASHED = (
        "crashed",
        ExitCode.JOB_FAILED,
        False,
        "codex completed the turn and then failed",
        "Read stderr.log, which has codex's own words, and run the job again.",
    )
    TRANSPORT = (
        "transport",
        ExitCode.HOST,
        True,
        "the host was lost, or its output did not arrive whole",
        "Check the host and the way to it; `codex-runner hosts --probe` tries it.",
    )
    LOST = (
        "lost",
        ExitCode.HOST,
        False,
        "the supervisor on the host died without reporting how codex ended",
        "Find out what killed it (a reboot, no memory left), and run the job again.",
    )
    DISK_FULL = (
        "disk-full",
        ExitCode.HOST,
        False,
        "the host's disk was full where runs lie",
        "Make room on the host, and run the job again.",
    )
    NEVER_STARTED = (
        "never-started",
        ExitCode.HOST,
        False,
        "the host took the job and never started codex",
        "Check the host; `codex-runner hosts --probe` tries it.",
    )
    TIMEOUT = (
        "timeout",
        ExitCode.TIMEOUT,
        False,
        "the job's time ran out",
        "Raise the job's `timeout`, or ask for less at a time; the report shows what took the time.",
    )
    STALLED = (
        "stalled",
        ExitCode.STALLED,
        True,
        "nothing happened for longer than `stall_timeout`",
        "Look at what the agent did last; raise `stall_timeout` if such a silence is normal for it.",
    )
    COMMAND_TIMEOUT = (
        "command-timeout",
        ExitCode.TIMEOUT,
        False,
        "a command ran longer than `command_timeout`",
        "Look at the command that was running; raise `command_timeout` if it may take that long.",
    )
    BUDGET = (
        "budget",
        ExitCode.BUDGET,
        False,
        "the job's budget is spent",
        "Raise the job's `budget`, or ask for less at a time; what was done is among the artifacts.",
    )
    ORPHANED = (
        "orphaned",
        ExitCode.HOST,
        False,
        "no runner was attached for `orphan_timeout`",
        "Run the job again; a larger `orphan_timeout` lets an agent live longer without its runner.",
    )
    INTERRUPTED = (
        "interrupted",
        ExitCode.INTERRUPTED,
        False,
        "the runner got SIGINT",
        "Run the job again.",
    )
    TERMINATED = (
        "terminated",
        ExitCode.TERMINATED,
        False,
        "the runner got SIGTERM",
        "Run the job again; if the CI system's own time limit ended it, set `timeout` below that.",
    )
    HUNG_UP = (
        "hung-up",
        ExitCode.HUNG_UP,
        False,
        "the runner got SIGHUP: its terminal was closed, or its CI agent dropped",
        "Run the job again; below `nohup` the runner goes on without its terminal.",
    )
    CANCELLED = (
        "cancelled",
        ExitCode.TERMINATED,
        False,
        "`codex-runner cancel` ended the run",
        "Run the job again when it may run.",
    )
    RUNNER_FAILED = (
        "runner-failed",
        ExitCode.CONFIGURATION,
        False,
        "the runner could not go on, and ended the agent: its output folder was full, for one",
        "The log of the runner that began the run says why; make room if its disk was full, and run the job again.",
    )
    LEAK = (
        "leak",
        ExitCode.FORBIDDEN_CHANGE,
        False,
        "a secret was in what the run left behind; it was taken out",
        "Revoke the secret: it has been on disk. Then find out what wrote it.",
    )
    UNKNOWN = (
        "unknown",
        ExitCode.JOB_FAILED,
        False,
        "codex failed with a message that this version does not know",
        "The message is codex's own; stderr.log may have more.",
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: `failure` is None exactly where the agent did its turn. `message` is for people.

    `remedy` is what to do about it, where more is known than the class of the failure says.
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
