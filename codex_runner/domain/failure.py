"""The classes of failure: one table that says what each means, what it exits with, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from codex_runner.domain.exit_code import ExitCode


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
