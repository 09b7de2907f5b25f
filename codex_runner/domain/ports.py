"""The ports of the engine, but for the largest (transport_port.py).

Each docstring is the contract that `tests/contract` proves for every implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import ArtifactKept, Event, Record
    from codex_runner.domain.host import Launch, Stream
    from codex_runner.domain.job import Job
    from codex_runner.domain.run import Ending, ProcessExit, Usage
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.domain.workspace import Workspace


class Workspaces(Protocol):
    """Makes a run's workspace, a tree of files on the host that executes it. `Transport.discard` removes it."""

    async def make(self, job: Job, run_id: str, tell: Callable[[Event], None]) -> Workspace:
        """Make the workspace that `job.workspace` asks for; `job.cwd` is relative to it. Idempotent.

        `tell` gets a warning for each thing that a user may expect in it and that is missing, such as submodules.
        Raises ConfigurationError if there is no such repository, commit or folder, HostError if the host fails.
        """
        ...

    async def reset(self, workspace: Workspace, run_id: str) -> None:
        """Reset the workspace to the state in which it was made. No process may work in it. Raises HostError."""
        ...


class Agent(Protocol):
    """The agent's program, which is codex, as the engine uses it."""

    async def prepare(
        self, job: Job, transport: Transport, granted: Granted, tell: Callable[[Event], None]
    ) -> Prepared:
        """Check that codex is installed and that the job can run with it. Uses no tokens and no credential.

        `tell` gets the events of the checks. Raises ConfigurationError if the job cannot run.
        """
        ...

    def parse(self, line: bytes) -> Event:
        """Parse one line of codex's stdout (without the newline). Never raises; returns Unparsed if it is no event."""
        ...

    def parse_truncated(self, head: bytes, tail: bytes, size: int, *, whole: bool) -> Event:
        """Parse the two ends of an overlong line of codex's stdout, which has `size` bytes. Never raises.

        `whole` says whether a newline ended it.
        """
        ...

    def parse_diagnostic(self, line: bytes) -> Event | None:
        """Parse one line of codex's stderr. Returns None if it is noise."""
        ...

    async def read_usage(self, transport: Transport, run_id: str, thread_id: str) -> Usage | None:
        """Read from the host how many tokens the thread has used so far. Returns None if codex's record does not say.

        Raises HostError if the host fails.
        """
        ...

    async def has_reply(self, transport: Transport, run_id: str, thread_id: str) -> bool | None:
        """Read from codex's own record on the host whether the last answer of the thread's last turn held a message.

        Returns None if the record does not say. Raises HostError if the host fails.
        """
        ...

    async def read_rollout(self, transport: Transport, run_id: str) -> bytes:
        """Read codex's own record of the run's threads from the host: lines of JSON, not redacted.

        Call it after the last attempt has ended. Raises HostError if the host fails.
        """
        ...

    def judge(self, attempt: Attempt, exit_: ProcessExit, stderr_tail: str) -> Ending:
        """Return the ending of an attempt that was not stopped."""
        ...


class Prepared(Protocol):
    """The codex that `Agent.prepare` has found on the job's host."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its facts for run.json."""
        ...

    async def log_in(
        self, job: Job, transport: Transport, granted: Granted, tell: Callable[[Event], None]
    ) -> Mapping[str, Any]:
        """Ask the service whether it takes the credential, if codex can ask. Returns more facts for run.json.

        `tell` gets the answer. Raises CredentialError if the service refuses the credential, ModelServiceError if the
        service is out of reach. May run at the same time as `prove`. May be called again.
        """
        ...

    async def prove(
        self, job: Job, run_id: str, transport: Transport, tell: Callable[[Event], None]
    ) -> Mapping[str, Any]:
        """Test the agent's sandbox on the host, and install what the run needs of it. Returns more facts for run.json.

        `tell` gets the events of the test. Raises ConfigurationError if the sandbox does not start, or does not enforce
        the job's `sandbox`. `Transport.discard` removes its files.
        """
        ...

    def launch(
        self, job: Job, run_id: str, attempt: int, resume: str | None = None, prompt: str | None = None
    ) -> Launch:
        """Return the launch that starts codex for this job, or that resumes the thread `resume`.

        `prompt` is the text for the resumed thread; None tells it to continue its work.
        """
        ...


class Credentials(Protocol):
    """The source of a job's credential. `borrow` gives a login back before it returns."""

    def require_trust(self, job: Job, tell: Callable[[Event], None]) -> None:
        """Raise CredentialError if what started this pipeline must not use the job's credentials. Asks nobody.

        `borrow` judges the same, and tells more of it: call this for what comes before it. `tell` gets a refusal.
        """
        ...

    async def borrow(
        self,
        job: Job,
        *,
        now: float,
        tell: Callable[[Event], None],
        on_retry: Callable[[str], None],
        on_secret: Callable[[Secret], None],
    ) -> Granted:
        """Fetch the job's credential and judge it as of `now` (seconds since the epoch).

        `tell` gets each rule's guard and warning as it happens, also before an error. `on_retry` gets a sentence for
        each retry. `on_secret` gets each secret before it is used, those of the login too. Raises CredentialError if
        the credential is missing or unfit, SecretStoreError if the store cannot answer.
        """
        ...


class ConfigTrust(Protocol):
    """Whether to trust the run's configuration in a pipeline that works on a pull or merge request."""

    async def judge(self, tell: Callable[[Event], None]) -> Mapping[str, Any]:
        """Compare the configuration with the proposal's base commit. Returns facts for run.json.

        `tell` gets a warning or a guard. Raises CredentialError if it differs and the job refuses that. Call it before
        `Credentials.borrow`.
        """
        ...


class Sink(Protocol):
    """An output that shows records. If it raises, the run goes on without it, with a warning."""

    def mask(self, secret: Secret) -> None:
        """Mask a secret before anything can print it, if the CI system can do that."""
        ...

    def accept(self, record: Record, state: RunState) -> None:
        """Show a record. `state` includes it already."""
        ...

    def tick(self, now: float, state: RunState) -> None:
        """Show that time passes. Called about once a second. `now` is seconds since the epoch."""
        ...

    def close(self) -> None:
        """Finish the output. The last call."""
        ...


class Journal(Protocol):
    """The run's write-ahead log: events.jsonl, and the copies of codex's output. If it fails, the run fails."""

    def copy(self, stream: Stream, data: bytes) -> None:
        """Append redacted bytes to codex.jsonl or stderr.log. Called before the record that covers them."""
        ...

    def append(self, record: Record) -> None:
        """Append a record to events.jsonl in one write."""
        ...

    def close(self) -> None:
        """Flush everything to disk (fsync). The last call."""
        ...


class Group(Protocol):
    """The lock of a job's concurrency group on the runner's machine."""

    async def enter(self, tell: Callable[[str, str], None]) -> str | None:
        """Acquire the group's lock by its policy. Returns None once acquired, otherwise the reason to skip this run.

        `tell` gets a warning's code and message if the run waits, or takes the lock of a dead run. Raises LockedError
        if the policy refuses, or the wait times out.
        """
        ...

    def leave(self) -> None:
        """Release the lock. Idempotent; does nothing if it was not acquired."""
        ...


class Account(Protocol):
    """One workflow's account of a UTC day, over all runs that share the ledger."""

    def reserve(self, run_id: str, tokens: int, *, now: float, until: float, limit: int | None) -> None:
        """Reserve `tokens` for a run that starts at `now` and is over by `until` (seconds since the epoch).

        Raises BudgetSpentError if the workflow would exceed `limit` tokens on that day. Idempotent on `run_id`.
        """
        ...

    def charge(self, run_id: str, tokens: int, *, now: float, money: Decimal | None, final: bool) -> None:
        """Charge the run's total so far. `final` releases the rest of its reservation. Idempotent."""
        ...


class ReplySchema(Protocol):
    """The JSON Schema of the final message. Its constructor raises ConfigurationError if the schema cannot work."""

    async def judge(self, reply: str, *, timeout: float) -> Sequence[str] | None:
        """Return a sentence for each problem of a reply, empty if it fits. Returns None after `timeout` seconds.

        Does not block the event loop. A cancelled call leaves no process behind.
        """
        ...


class Detector(Protocol):
    """Detects what looks like a credential. Pure, and without a network."""

    def kinds(self, path: str, text: str) -> Collection[str]:
        """Return the kinds of credential in `text`, in words, without any of the text. Never raises.

        `text` is a line, or a part of a long one, that was added to the file `path`. For up to 4096 characters, it
        takes seconds at most.
        """
        ...


class Artifacts(Protocol):
    """Collects the job's artifacts into the run's folder."""

    async def collect(
        self, job: Job, state: RunState, patch: bytes, rollout: bytes
    ) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        """Keep the files that the job's globs match, the patch, the last message, and codex's record unless empty.

        Returns what was kept, and a sentence with the reason for each thing that was left out.
        """
        ...


class Reports(Protocol):
    """Writes all reports for people and CI systems, from the state alone."""

    def begin(self, state: RunState) -> None:
        """Write run.json at the start, so that a run whose machine dies has left at least that."""
        ...

    def prepare(self) -> None:
        """Reserve disk space and import what `write` needs, while codex is starting."""
        ...

    def write(self, state: RunState) -> Sequence[Path]:
        """Write all reports, each as an atomic write. Returns their paths. Idempotent."""
        ...
