"""The doors of the engine. Each docstring is the contract that `tests/contract` holds every implementation to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import ArtifactKept, Event, Position, Record
    from codex_runner.domain.host import Completed, Launch, Piece, Started, Stream
    from codex_runner.domain.job import Job
    from codex_runner.domain.listing import Fetched, Listing
    from codex_runner.domain.run import Ending, ProcessExit, StopReason, Usage
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.domain.workspace import Workspace


class Transport(Protocol):
    """A host that executes attempts. Every method may raise HostError; none ever starts a second codex.

    Raises UnreachableError if the host cannot be reached, or not any more: what runs there goes on.
    """

    @property
    def reachable(self) -> bool:
        """Whether the host answers, as far as is known. False while the transport tries to reconnect."""
        ...

    def name_run(self, run_id: str | None) -> None:
        """Name the run that `execute` and `ask` are for from now on; None for no run.

        For a day after a run was discarded, each method that would start, run or make something for it raises
        RunGoneError. So does `start`, and a request that the network delivers late does nothing.
        """
        ...

    async def start(self, launch: Launch) -> Started:
        """Start an attempt, or join it if it exists already. Idempotent on (run_id, attempt)."""
        ...

    async def claim(self, run_id: str, dead: int | None = None) -> bool:
        """Acquire the run's claim, to go on with it; `start` acquires it too. Returns False if there is no such run.

        Raises ClaimTakenError if another runner has it and has renewed it in time, unless it is the claim with the
        number `dead`. When this returns, nothing runs any more that an earlier holder has begun with `execute` or
        `ask`. Once another runner has the claim, every method raises ClaimTakenError, `stop` too, and does nothing.
        """
        ...

    async def renew(self) -> bool:
        """Renew the claim, if this transport has one. Returns whether the run was cancelled, as far as is known.

        A host that is out of reach is no error. Raises ClaimTakenError once another runner has the claim.
        """
        ...

    def follow(self, run_id: str, attempt: int, position: Position) -> AsyncIterator[Piece]:
        """Yield what codex writes from `position` on, then exactly one Ended or Lost.

        Offsets count the bytes of each stream from the attempt's start. The Outputs of a stream are in order, without
        gap or overlap; all of them come before Ended or Lost. While a caller iterates, the host knows that a runner is
        there (the lease). Raises RunGoneError if there is no such attempt. Following the same attempt twice, at once or
        again, gives the same bytes.
        """
        ...

    async def stop(self, run_id: str, attempt: int, reason: StopReason) -> None:
        """Ask the supervisor to end codex: INT, 2 s, TERM, 1 s, KILL, sweep. Returns at once; `follow` tells the end.

        Idempotent; the first reason wins. Stopping what has ended, or never was, does nothing.
        """
        ...

    async def cancel(self, run_id: str) -> None:
        """End the run, whatever it does: its agent runs, a check runs, or it waits for its next attempt. Idempotent.

        From then on `start` and `execute` do nothing for it and raise RunCancelledError, and `renew` returns True.
        Raises RunGoneError if the run is not there, or not any more.
        """
        ...

    async def execute(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = {},
    ) -> Completed:
        """Run `sh -c script sh arguments...` in `cwd` (by default the user's home), stdin empty.

        Its process group is ended after `timeout` seconds. Nothing that looks like a credential is in its environment
        but what `environment` adds, which travels like a launch's.
        At most the last MiB of output is kept. The output is for people: stdout and stderr in one, and whatever the
        host prints beside them. A program reads what `ask` returns.
        """
        ...

    async def ask(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = {},
    ) -> Completed:
        """Run a script of the runner's own as `execute` does, and return its stdout alone, byte for byte.

        What a host prints of itself is no part of the answer: its shells' start-up files, a locale or a library that is
        missing, a wrapper that warns. That is in `complaint`, with all of stderr. An answer has a MiB at most; a longer
        one is none, and `output` is empty.
        """
        ...

    async def list_files(self, root: str, below: Sequence[str]) -> Listing:
        """List the files below these paths of the folder `root`, at every depth. Changes nothing.

        The paths are relative to `root`; "." lists all of it. A path that does not exist, or leads out of `root` or
        through a link, lists nothing. What runs keep in the host's state folder is never listed. Raises FolderGoneError
        if `root` cannot be entered.
        """
        ...

    async def fetch_files(self, root: str, paths: Sequence[str], into: Path, *, limit: int, total: int) -> Fetched:
        """Copy files of the folder `root` into the folder `into` on this machine, under the same relative paths.

        Each file arrives whole, its checksum proven, or is left out with a reason: it does not exist, is no regular
        file, lies behind a link or out of `root`, changes while it is read, has more than `limit` bytes, or all
        together have more than `total`. Idempotent: a file that is here already is replaced. Raises FolderGoneError if
        `root` cannot be entered.
        """
        ...

    async def upload(self, source: Path, run_id: str) -> str:
        """Copy a file of this machine into the run's directory on the host. Returns its path there.

        The file arrives whole, its checksum proven, by one rename: a reader never sees a part. Idempotent: the next
        upload of the run replaces it, and `discard` removes it. `source` must not change meanwhile. Makes the run's
        directory if there is none. Raises RunGoneError if the run was discarded, HostError if the host has no room.
        """
        ...

    async def discard(self, run_id: str, *, keep_workspace: bool = False) -> None:
        """Remove the run's directory, and its workspace unless `keep_workspace`: all has been collected. Idempotent.

        Raises RunCancelledError if the run was cancelled before; all is removed then too.
        """
        ...

    async def close(self) -> None:
        """Close the connections, and remove what they left on this machine. The last call."""
        ...


class Workspaces(Protocol):
    """Makes the tree of files that a run works in, on the host that executes it. `Transport.discard` removes it."""

    async def make(self, job: Job, run_id: str, tell: Callable[[Event], None]) -> Workspace:
        """Make what `job.workspace` asks for; `job.cwd` is relative to it. Again gives the same tree.

        `tell` gets a warning for each thing that is not in it as one might think. ConfigurationError where there is no
        such repository, commit or folder; HostError where the host cannot have it.
        """
        ...

    async def reset(self, workspace: Workspace, run_id: str) -> None:
        """Put it back to how it was made; nothing may be alive in it. HostError where that fails."""
        ...


class Agent(Protocol):
    """All that the engine must know of the agent's program, and it is codex."""

    async def prepare(
        self, job: Job, transport: Transport, granted: Granted, tell: Callable[[Event], None]
    ) -> Prepared:
        """Look at what is installed and at whether the job can run at all; return what a start needs.

        `tell` gets what was proven on the way. ConfigurationError or CredentialError where the job cannot run. Nothing
        has been spent when it returns.
        """
        ...

    def parse(self, line: bytes) -> Event:
        """Read one line of its stdout (without the newline). Never raises; what cannot be read is Unparsed."""
        ...

    def parse_truncated(self, head: bytes, tail: bytes, size: int, *, whole: bool) -> Event:
        """Read the two ends of a line of its stdout that is too long to be read, `size` bytes. Never raises.

        `whole` says whether a newline ended it.
        """
        ...

    def parse_diagnostic(self, line: bytes) -> Event | None:
        """Read one line of its stderr; None where it is noise."""
        ...

    async def read_usage(self, transport: Transport, run_id: str, thread_id: str) -> Usage | None:
        """Read on the host what the thread has come to, before its turn says so; None where that is not to be had.

        May raise HostError.
        """
        ...

    async def has_reply(self, transport: Transport, run_id: str, thread_id: str) -> bool | None:
        """Read on the host whether the last answer of the thread's last turn held a message, by the agent's own record.

        None if the record does not say. May raise HostError.
        """
        ...

    async def read_rollout(self, transport: Transport, run_id: str) -> bytes:
        """Read on the host what the agent itself recorded of the run's threads: lines of JSON, which are not redacted.

        Comes after the last attempt has ended. May raise HostError.
        """
        ...

    def judge(self, attempt: Attempt, exit_: ProcessExit, stderr_tail: str) -> Ending:
        """Say how an attempt ended that nobody stopped."""
        ...


class Prepared(Protocol):
    """The agent's program as `Agent.prepare` has found it on the host of the job."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What run.json should say of it."""
        ...

    async def prove(
        self, job: Job, run_id: str, transport: Transport, tell: Callable[[Event], None]
    ) -> Mapping[str, Any]:
        """Try the agent's sandbox on the host, and put there what the run needs of it; return more facts for run.json.

        `tell` gets what was proven. ConfigurationError if the sandbox does not start, or does not keep what the job's
        `sandbox` says. `Transport.discard` removes what it leaves.
        """
        ...

    def launch(
        self, job: Job, run_id: str, attempt: int, resume: str | None = None, prompt: str | None = None
    ) -> Launch:
        """Say how to start it for this job, or how to go on with the thread `resume`.

        `prompt` is what the thread is told; without one, it is told to go on with what it was about.
        """
        ...


class Credentials(Protocol):
    """Where a job's credential comes from. What was borrowed for it is given back before `borrow` returns."""

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

        `tell` gets each rule's guard and warning as it happens, also before an error; `on_retry` gets a sentence for
        each new try; `on_secret` gets each secret before it is used, those of the login too. CredentialError where it
        is missing or unfit, SecretStoreError where the store cannot answer.
        """
        ...


class ConfigTrust(Protocol):
    """Whether what configures the run may be believed, in a pipeline that works on somebody's proposal."""

    async def judge(self, tell: Callable[[Event], None]) -> Mapping[str, Any]:
        """Compare it with the base of the proposal; return facts for run.json. CredentialError if the job refuses it.

        `tell` gets a warning or a guard. Comes before anything is borrowed.
        """
        ...


class Sink(Protocol):
    """Somewhere that records are shown. It may fail: the run goes on and carries a warning."""

    def mask(self, secret: Secret) -> None:
        """Learn of a secret before anything could print it: some CI systems can mask it for us too."""
        ...

    def accept(self, record: Record, state: RunState) -> None:
        """Show a record. `state` already includes it."""
        ...

    def tick(self, now: float, state: RunState) -> None:
        """Show that time passes: called about once a second. `now` is seconds since the epoch."""
        ...

    def close(self) -> None:
        """Finish: nothing more will come."""
        ...


class Journal(Protocol):
    """The run's own memory: the copies of what codex wrote, and events.jsonl. If it fails, the run fails."""

    def copy(self, stream: Stream, data: bytes) -> None:
        """Append redacted bytes to codex.jsonl or stderr.log. Comes before the record that stands for them."""
        ...

    def append(self, record: Record) -> None:
        """Append a record to events.jsonl in one write."""
        ...

    def close(self) -> None:
        """Make sure that it is on disk."""
        ...


class Group(Protocol):
    """The place of a job's concurrency group, of which there is one on the runner's machine."""

    async def enter(self, tell: Callable[[str, str], None]) -> str | None:
        """Take the place as the group's policy says; return None once it is ours, else why this run is to be skipped.

        `tell` gets a warning's code and message where the place is waited for, or was a dead run's. LockedError where
        the policy refuses, or the wait has run out.
        """
        ...

    def leave(self) -> None:
        """Let the next run in. Idempotent; also where the place was never ours."""
        ...


class Account(Protocol):
    """What one workflow spends on a UTC day, over all runs that share the ledger."""

    def reserve(self, run_id: str, tokens: int, *, now: float, until: float, limit: int | None) -> None:
        """Set aside `tokens` for a run that starts at `now` and is over by `until` (seconds since the epoch).

        BudgetSpentError where the workflow's day would then pass `limit`. Idempotent on `run_id`.
        """
        ...

    def charge(self, run_id: str, tokens: int, *, now: float, money: Decimal | None, final: bool) -> None:
        """Say what the run has come to so far, in all. `final` gives back what was set aside and not needed."""
        ...


class ReplySchema(Protocol):
    """What the final message must look like. Making one refuses a schema that cannot work (ConfigurationError)."""

    async def judge(self, reply: str, *, timeout: float) -> Sequence[str] | None:
        """Return a sentence for each thing that is wrong with a reply, none if it fits; None after `timeout` seconds.

        The runner goes on meanwhile. A call that is cancelled leaves nothing behind.
        """
        ...


class Detector(Protocol):
    """Knows what credentials look like. Pure, and without a network."""

    def kinds(self, path: str, text: str) -> Collection[str]:
        """Return what kinds of credential `text` looks like, in words; none of the text itself. Never raises.

        `text` is a line, or a part of a long one, that was added to the file `path`. It takes seconds at most, whatever
        is in it, where it is not longer than 4096 characters.
        """
        ...


class Artifacts(Protocol):
    """Brings what the job left into the run's folder."""

    async def collect(
        self, job: Job, state: RunState, patch: bytes, rollout: bytes
    ) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        """Keep what the job's globs name, the patch, the agent's last message and, unless empty, its own record.

        Return what was kept, and a sentence for each thing that was left out and why.
        """
        ...


class Reports(Protocol):
    """Writes everything that people and CI systems read, from the state alone."""

    def begin(self, state: RunState) -> None:
        """Write run.json: a run that never ends, because its machine did, has left that much."""
        ...

    def prepare(self) -> None:
        """Take room on the disk, and load what writing needs, now that there is time: codex is starting."""
        ...

    def write(self, state: RunState) -> Sequence[Path]:
        """Write all reports, each by rename, and return their paths. Safe to call again."""
        ...
