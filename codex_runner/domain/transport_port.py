"""The port of a host's transport. Its docstrings are the contract that `tests/contract` proves for each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.event import Position
    from codex_runner.domain.host import Completed, Launch, Piece, Started
    from codex_runner.domain.listing import Fetched, Listing
    from codex_runner.domain.run import StopReason
    from codex_runner.domain.secret import Secret


class Transport(Protocol):
    """A host that executes attempts. Every method may raise HostError; none ever starts a second codex.

    Raises UnreachableError if the host cannot be reached, or not any more: an agent there keeps running.
    """

    @property
    def reachable(self) -> bool:
        """Whether the host answers, as far as is known. False while the transport tries to reconnect."""
        ...

    @property
    def heard(self) -> float:
        """The time of the host's last sign of life during `follow`, by the monotonic clock; 0 if there was none."""
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
        number `dead`. When this returns, every command that an earlier holder began with `execute` or `ask` has ended.
        Once another runner has the claim, every method raises ClaimTakenError, `stop` too, and does nothing.
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
        """End the run in any state: its agent runs, a check runs, or it waits for its next attempt. Idempotent.

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
        At most the last MiB of output is kept. The output is for people: stdout and stderr in one, with other output of
        the host in between. Programs use `ask` instead.
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

        The answer excludes what the host itself prints: its shells' start-up files, warnings of a missing locale or
        library, or of a wrapper. These are in `complaint`, with all of stderr. An answer has at most one MiB: if it is
        longer, `output` is empty.
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

        Each file arrives whole, its checksum proven, or is left out with a reason. Reasons are: it does not exist, is
        no regular file, lies behind a link or out of `root`, or changes while it is read; it has more than `limit`
        bytes, or all together have more than `total`. Idempotent: replaces a file that is here already. Raises
        FolderGoneError if `root` cannot be entered.
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
        """Remove the run's directory, and its workspace unless `keep_workspace`. Idempotent.

        Call it once everything has been collected. Raises RunCancelledError if the run was cancelled before; it removes
        the directory then too.
        """
        ...

    async def close(self) -> None:
        """Close the connections, and remove what they left on this machine. The last call."""
        ...
