"""Errors; each class owns an exit code.

An error carries one sentence that says what happened and, in `remedy`, one that says what to do. Only `cli.main` turns
an error into an exit code.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, ClassVar

from codex_runner.domain.exit_code import ExitCode

if TYPE_CHECKING:
    from codex_runner.domain.failure import Failure


class RunnerError(Exception):
    """The base class of all errors that codex-runner raises on purpose.

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
    """The command line contradicts itself, or names something that does not exist."""

    exit_code = ExitCode.USAGE
    default_remedy = "See `codex-runner --help`."


class ConfigurationError(RunnerError):
    """The configuration is wrong, or what it names is missing."""

    exit_code = ExitCode.CONFIGURATION
    default_remedy = "Correct the configuration; `codex-runner run JOB --dry-run` shows what it comes to."


class FolderGoneError(ConfigurationError):
    """The folder for a command does not exist, or cannot be entered."""

    default_remedy = "Set the job's `cwd` to a folder that exists on its host."


class CredentialError(RunnerError):
    """The credential is missing, refused, or not fit for this run."""

    exit_code = ExitCode.CREDENTIAL
    default_remedy = "Check the job's `credential`; `codex-runner doctor` shows what is wrong with it."


class TokenRefusedError(CredentialError):
    """The model service refused the credential: HTTP status 401 or 403."""


class ModelServiceError(RunnerError):
    """The model service, or its authentication service, cannot be reached or cannot answer. It has refused nothing.

    `failure` is its class, which says how soon a retry can help.
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
    """The account has reached its usage limit or quota: the credential is valid, but cannot be used for a while."""

    exit_code = ExitCode.QUOTA
    default_remedy = "Wait until the limit resets, or raise it in the workspace's settings."


class SecretStoreError(RunnerError):
    """The secret store cannot be reached, or cannot answer."""

    exit_code = ExitCode.SECRET_STORE
    default_remedy = "Check the secret store's address and health; `codex-runner doctor` tries it."


class HostError(RunnerError):
    """The host that executes the job cannot be reached, or has lost the run."""

    exit_code = ExitCode.HOST
    default_remedy = "Check the host; `codex-runner hosts --probe` tries it."


class UnreachableError(HostError):
    """The host cannot be reached, or not any more. An agent there keeps running for a while."""


class RunGoneError(HostError):
    """The run, or its attempt, is not on this host, or not any more."""

    default_remedy = "Name the host of the run (`--host`); a run that was collected is no longer on any host."


class TakenOverError(HostError):
    """Another runner has taken the run over: it follows, judges and reports it."""

    default_remedy = "Read the reports on the machine of that runner; this one has written none."


class BudgetSpentError(RunnerError):
    """The workflow's tokens of the day do not suffice for this run."""

    exit_code = ExitCode.BUDGET
    default_remedy = "Wait for the next day (UTC), or raise `budget.tokens_per_day`."


class LockedError(RunnerError):
    """Another run holds the lock of this job's group."""

    exit_code = ExitCode.LOCKED
    default_remedy = "Wait for the other run, or choose another `concurrency.policy`."


class LeakError(RunnerError):
    """The run's folder held a secret."""

    exit_code = ExitCode.FORBIDDEN_CHANGE
    default_remedy = "Revoke the secret: it has been on disk. Then find out what wrote it."


class DeliveryError(RunnerError):
    """The agent's draft could not be delivered."""

    exit_code = ExitCode.DELIVERY
    default_remedy = "Deliver the draft by hand (it is in the run's artifacts), or correct the delivery settings."


class ForgeUnreachableError(DeliveryError):
    """The forge cannot be reached, or cannot answer. What it was asked for may have been done."""

    default_remedy = "Check the way to the forge (proxy, DNS, certificates) and its status page, and deliver again."


class BranchMovedError(DeliveryError):
    """The branch is not at the commit that this runner has recorded: a person or another run has pushed to it."""

    default_remedy = "Look at the branch; the next run delivers again once its commits are merged or gone."


def bug(error: Exception) -> str:
    """Describe an unexpected exception by its type and source line, without values: they may be secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
