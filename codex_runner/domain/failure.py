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
        "Replace the credential, or give its account access to the model. `codex-runner doctor` tests it.",
    )
    QUOTA = (
        "quota",
        ExitCode.QUOTA,
        False,
        "a usage limit or quota has been reached",
        "Wait until the limit resets, or raise it in the workspace's settings.",
    )
    CAPACITY = (
        "capacity",
        ExitCode.MODEL_SERVICE,
        True,
        "the model has no capacity, or the service failed",
        "Run the job again later. The model service's status page may say more.",
    )
    RATE_LIMIT = (
        "rate-limit",
        ExitCode.MODEL_SERVICE,
        True,
        "the model service got too many requests",
        "Run fewer jobs at a time, or run them later.",
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
        "the task does not fit into the model's context window",
        "Ask for less in one job, or name the files that matter.",
    )
    BAD_REQUEST = (
        "bad-request",
        ExitCode.JOB_FAILED,
        False,
        "the model service rejected the request",
        "Read the message, which names the cause. Check the prompt, `output_schema` and `codex.config`.",
    )
    RESPONSE_INCOMPLETE = (
        "response-incomplete",
        ExitCode.JOB_FAILED,
        False,
        "a content filter or the output limit cut the model's answer off",
        "On `max_output_tokens`, ask for less in one job. On `content_filter`, change the text that it rejects.",
    )
    UNKNOWN_MODEL = (
        "unknown-model",
        ExitCode.CONFIGURATION,
        False,
        "the model does not exist for this account",
        "Correct `model`, or give the account access to it.",
    )
    NOT_FOUND = (
        "not-found",
        ExitCode.MODEL_SERVICE,
        False,
        "the model service has nothing at the address that codex requests",
        "Check the provider's `base_url` in `codex.config`, and the gateway in front of it.",
    )
    PROXY = (
        "proxy",
        ExitCode.CONFIGURATION,
        False,
        "the proxy requires a login",
        "Put the proxy's login into HTTPS_PROXY or HTTP_PROXY, or name the model service in NO_PROXY.",
    )
    REFUSED = (
        "refused",
        ExitCode.CONFIGURATION,
        False,
        "codex's sandbox or a hook blocked all of the job",
        "Try `codex sandbox` on the host, which may forbid namespaces. If it works, check the workspace's hooks.",
    )
    STARTUP = (
        "startup",
        ExitCode.CONFIGURATION,
        False,
        "codex did not start: a bad flag, a bad configuration, or no repository",
        "Read stderr.log, which has codex's own words. `codex-runner run JOB --dry-run` shows its settings.",
    )
    THREAD_LOST = (
        "thread-lost",
        ExitCode.HOST,
        True,
        "a retry did not find its thread on the host, so the next retry begins a new one",
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
        "If the model refused the prompt, change it. `expect_message = false` accepts a turn without a reply.",
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
        "the host was lost, or its output did not arrive complete",
        "Check the host and the connection to it. `codex-runner hosts --probe` tests both.",
    )
    LOST = (
        "lost",
        ExitCode.HOST,
        False,
        "the supervisor on the host died without reporting how codex ended",
        "Find out what killed it, such as a reboot or a lack of memory, and run the job again.",
    )
    DISK_FULL = (
        "disk-full",
        ExitCode.HOST,
        False,
        "the host's disk was full in the folder of runs",
        "Free disk space on the host, and run the job again.",
    )
    NEVER_STARTED = (
        "never-started",
        ExitCode.HOST,
        False,
        "the host accepted the job and never started codex",
        "Check the host. `codex-runner hosts --probe` tests it.",
    )
    TIMEOUT = (
        "timeout",
        ExitCode.TIMEOUT,
        False,
        "the job ran longer than its `timeout`",
        "Raise the job's `timeout`, or ask for less in one job. The report shows what took the time.",
    )
    STALLED = (
        "stalled",
        ExitCode.STALLED,
        True,
        "nothing happened for longer than `stall_timeout`",
        "Look at what the agent did last. If such a silence is normal for it, raise `stall_timeout`.",
    )
    COMMAND_TIMEOUT = (
        "command-timeout",
        ExitCode.TIMEOUT,
        False,
        "a command ran longer than `command_timeout`",
        "Look at the command that was running. If it may take that long, raise `command_timeout`.",
    )
    BUDGET = (
        "budget",
        ExitCode.BUDGET,
        False,
        "the job's budget is spent",
        "Raise the job's `budget`, or ask for less in one job. The artifacts hold what was done.",
    )
    ORPHANED = (
        "orphaned",
        ExitCode.HOST,
        False,
        "no runner was attached for `orphan_timeout`",
        "Run the job again. A larger `orphan_timeout` lets an agent live longer without its runner.",
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
        "Run the job again. If the CI system's time limit ended it, set `timeout` below that limit.",
    )
    HUNG_UP = (
        "hung-up",
        ExitCode.HUNG_UP,
        False,
        "the runner got SIGHUP: its terminal was closed, or its CI agent was lost",
        "Run the job again. Under `nohup` the runner goes on without its terminal.",
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
        "the runner could not go on, and ended the agent, for example because its output folder was full",
        "Read the log of the runner that began the run. If its disk was full, free space. Then run the job again.",
    )
    LEAK = (
        "leak",
        ExitCode.FORBIDDEN_CHANGE,
        False,
        "the run's files held a secret; the runner took it out",
        "Revoke the secret, since it was on disk. Then find out what wrote it.",
    )
    UNKNOWN = (
        "unknown",
        ExitCode.JOB_FAILED,
        False,
        "codex failed with a message that this version does not know",
        "Read the message, which is codex's own. stderr.log may have more.",
    )
