"""Exit codes, and the errors that own one each.

The exit codes are a contract (docs/exit-codes.md): pipelines branch on them. An error carries one sentence that
says what happened and, in `remedy`, one that says what to do. Only `cli.main` turns an error into an exit code.
"""

from __future__ import annotations

import traceback
from enum import IntEnum, unique
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from codex_runner.domain.run import Failure


@unique
class ExitCode(IntEnum):
    """Every code with which `codex-runner` exits, and what it means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Attach the sentence that docs, run.json and JUnit print."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    SUCCEEDED = 0, "succeeded, or skipped by the lock's policy"
    JOB_FAILED = 1, "the job failed: a check, the schema, or the agent"
    USAGE = 2, "wrong use of the command line"
    CONFIGURATION = 3, "wrong configuration, or no codex"
    CREDENTIAL = 4, "credential refused or missing"
    SECRET_STORE = 5, "secret store unreachable"
    HOST = 6, "host unreachable or lost"
    MODEL_SERVICE = 7, "model service failed"
    QUOTA = 8, "usage limit or quota reached"
    TIMEOUT = 9, "out of time"
    STALLED = 10, "stalled: silent for too long"
    BUDGET = 11, "budget spent"
    FORBIDDEN_CHANGE = 12, "a leak, or a change that the path rules forbid"
    DELIVERY = 13, "delivery failed"
    LOCKED = 14, "another run holds the lock, or another runner the run's claim"
    INTERNAL = 70, "a bug in codex-runner itself"
    HUNG_UP = 129, "hung up (SIGHUP)"
    INTERRUPTED = 130, "interrupted (SIGINT)"
    TERMINATED = 143, "terminated (SIGTERM)"


class RunnerError(Exception):
    """The root of everything that codex-runner raises on purpose.

    `exit_code` belongs to the class. `remedy` is a sentence for the person who reads the log: what to do next.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    default_remedy: ClassVar[str] = "Please report this with the log: it is a bug in codex-runner."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        """Keep the message and the remedy apart, so that each output can show them in its own way."""
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy


class UsageError(RunnerError):
    """The command line contradicts itself or names something that is not there."""

    exit_code = ExitCode.USAGE
    default_remedy = "See `codex-runner --help`."


class ConfigurationError(RunnerError):
    """The configuration is wrong, or what it names is missing."""

    exit_code = ExitCode.CONFIGURATION
    default_remedy = "Correct the configuration; `codex-runner run JOB --dry-run` shows what it comes to."


class FolderGoneError(ConfigurationError):
    """The folder that something is to run in is not there, or cannot be entered."""

    default_remedy = "Set the job's `cwd` to a folder that is there."


class CredentialError(RunnerError):
    """The credential is missing, refused, or not fit for this run."""

    exit_code = ExitCode.CREDENTIAL
    default_remedy = "Check the job's `credential`; `codex-runner doctor` shows what is wrong with it."


class TokenRefusedError(CredentialError):
    """The service itself refused the credential: HTTP status 401 or 403."""


class ModelServiceError(RunnerError):
    """The model service, or its authentication service, cannot be reached or cannot answer. It has refused nothing.

    `failure` is the class of it, which says how soon trying again can help.
    """

    exit_code = ExitCode.MODEL_SERVICE
    default_remedy = (
        "Check the way to the service (proxy, DNS, certificates) and its status page, and run it again; "
        "the credential may be good."
    )

    def __init__(self, message: str, *, failure: Failure, remedy: str | None = None) -> None:
        """Keep the class beside the message."""
        super().__init__(message, remedy=remedy)
        self.failure = failure


class QuotaError(RunnerError):
    """The account's usage limit or quota is reached: the credential is good, and of no use for a while."""

    exit_code = ExitCode.QUOTA
    default_remedy = "Wait until the limit resets, or raise it in the workspace's settings."


class SecretStoreError(RunnerError):
    """The secret store cannot be reached, or cannot answer."""

    exit_code = ExitCode.SECRET_STORE
    default_remedy = "Check the secret store's address and health; `codex-runner doctor` tries it."


class HostError(RunnerError):
    """The host that executes cannot be reached, or lost the run."""

    exit_code = ExitCode.HOST
    default_remedy = "Check the host; `codex-runner hosts --probe` tries it."


class UnreachableError(HostError):
    """The host cannot be reached, or not any more. What runs there goes on, for a while."""


class RunGoneError(HostError):
    """The run, or its attempt, is not on this host, or not any more."""

    default_remedy = "It may have been collected and removed, or it runs on another host (`--host`)."


class TakenOverError(HostError):
    """Another runner has taken the run over: it follows, judges and reports it."""

    default_remedy = "The reports are on the machine that attached; this runner has written none."


class BudgetSpentError(RunnerError):
    """What the workflow may spend on this day does not suffice for this run."""

    exit_code = ExitCode.BUDGET
    default_remedy = "Wait for the next day (UTC), or raise `budget.tokens_per_day`."


class LockedError(RunnerError):
    """Another run holds the lock of this job's group."""

    exit_code = ExitCode.LOCKED
    default_remedy = "Wait for the other run, or choose another `concurrency.policy`."


class LeakError(RunnerError):
    """A secret was in what the run left."""

    exit_code = ExitCode.FORBIDDEN_CHANGE
    default_remedy = "Revoke the secret: it has been on disk. Then find out what wrote it."


class DeliveryError(RunnerError):
    """What the agent drafted could not be delivered."""

    exit_code = ExitCode.DELIVERY
    default_remedy = "The draft is kept in the run's artifacts; deliver it by hand or repair the delivery settings."


def bug(error: Exception) -> str:
    """Say what an exception that nobody expected is, and where it was raised; its values may be secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
