"""The transport of this machine. Requests go through the supervisor's front; `follow` reads the files itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from functools import cached_property
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, BinaryIO

from codex_runner.domain.cancellation import CANCELLED, RunCancelledError
from codex_runner.domain.errors import FolderGoneError, HostError, RunGoneError
from codex_runner.domain.host import Completed, Ended, Lost, Started
from codex_runner.domain.surroundings import for_git, names_a_credential, passed
from codex_runner.shell.child import end_group, end_session, leave, start_child
from codex_runner.shell.scratch import scratch_file
from codex_runner.transports.asked import answered, end_of, ending_with_us, home, marked
from codex_runner.transports.claim import ClaimFolder
from codex_runner.transports.directory import AttemptDirectory, open_plain, runs_root
from codex_runner.transports.growth import watch
from codex_runner.transports.keeper import run_kept
from codex_runner.transports.reaping import gone
from codex_runner.transports.request import (
    TICK,
    cancel_request,
    claim_request,
    command_here,
    discard_request,
    new_nonce,
    read_answer,
    start_request,
    stop_request,
    under,
)
from codex_runner.transports.tail import Tail
from codex_runner.transports.tombstone import Tombstones

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.event import Position
    from codex_runner.domain.host import Launch, Piece
    from codex_runner.domain.listing import Fetched, Listing
    from codex_runner.domain.run import StopReason
    from codex_runner.domain.secret import Secret
    from codex_runner.transports.ahead import AskedAhead
    from codex_runner.transports.growth import Growth
    from codex_runner.transports.local_files import LocalFiles

_POLL = 0.02  # seconds
_LEAVING = 5.0  # seconds
_LEFT = 1.0  # seconds


class LocalTransport:
    """Runs attempts on this machine. `environ` is the runner's environment; only its harmless part is passed on."""

    def __init__(
        self,
        environ: Mapping[str, str],
        claim: Claim | None = None,
        *,
        ahead: AskedAhead | None = None,
        tick: float = TICK,
        watching: Callable[[Path, Sequence[BinaryIO]], Growth] = watch,
    ) -> None:
        """Touch nothing before the first start, which takes the claim if there is one.

        `ahead` is a question that is asked already, without an environment of its own: `ask` takes its answer once.
        """
        self._ahead = ahead
        self._tick, self._watching = tick, watching
        self._environ = passed(environ)
        self._git_environ = for_git(environ)
        self._check_environ = {k: v for k, v in environ.items() if not names_a_credential(k)}
        self._root = runs_root(environ)
        self._tombstones = Tombstones(environ)
        self._run_id: str | None = None
        self._claim = ClaimFolder(self._root / claim.run_id / "claims", claim) if claim else None

    def name_run(self, run_id: str | None) -> None:
        """See Transport.name_run."""
        self._run_id = run_id

    @property
    def reachable(self) -> bool:
        """See Transport.reachable."""
        return True

    @property
    def heard(self) -> float:
        """See Transport.heard. This machine lives as long as the runner does; `follow` finds a lost supervisor."""
        return time.monotonic()

    async def start(self, launch: Launch) -> Started:
        """See Transport.start."""
        nonce = new_nonce()
        new = await self._ask(start_request(launch, nonce, tick=self._tick), nonce) == "new"
        if self._claim is not None:
            self._claim.held = True
        return Started(new=new)

    async def claim(self, run_id: str, dead: int | None = None) -> bool:
        """See Transport.claim."""
        nonce = new_nonce()
        there = await self._ask(claim_request(run_id, nonce, dead), nonce) != "none"
        if self._claim is not None:
            self._claim.held = there
        return there

    async def renew(self) -> bool:
        """See Transport.renew."""
        if self._claim is not None:
            self._claim.keep()
        return self._cancelled(self._run_id)

    async def follow(self, run_id: str, attempt: int, position: Position) -> AsyncIterator[Piece]:
        """See Transport.follow."""
        directory = AttemptDirectory(self._root / run_id / "attempts" / str(attempt))
        with contextlib.ExitStack() as stack:
            try:
                stdout = Tail("stdout", stack.enter_context(open_plain(directory.path / "stdout")), position.stdout)
                stderr = Tail("stderr", stack.enter_context(open_plain(directory.path / "stderr")), position.stderr)
            except OSError:
                raise RunGoneError(f"run {run_id} has no attempt {attempt} on this machine.") from None
            # Watch before the first read, so that no growth after it is missed.
            growth = stack.enter_context(contextlib.closing(self._watching(directory.path, (stdout.file, stderr.file))))
            beat = 0.0
            while True:
                due = time.monotonic() >= beat
                if due:
                    beat = time.monotonic() + self._tick
                    directory.ping()
                    await self.renew()
                # Read `exit` before the output: so no output that was written before the end is missed.
                exit_ = directory.exit()
                lost = None
                if exit_ is None and due:
                    lost = directory.lost()
                    exit_ = directory.exit() if lost else None
                moved = False
                for tail in (stdout, stderr):
                    while piece := tail.read():
                        moved = True
                        yield piece
                if exit_ is not None:
                    yield exit_ if isinstance(exit_, Lost) else Ended(exit_)
                    return
                if lost is not None:
                    yield Lost(lost)
                    return
                if moved:
                    growth.grew()
                else:
                    await growth.wait(beat - time.monotonic())

    async def stop(self, run_id: str, attempt: int, reason: StopReason) -> None:
        """See Transport.stop."""
        nonce = new_nonce()
        with contextlib.suppress(HostError):  # there is nothing to stop
            await self._ask(stop_request(run_id, attempt, reason, nonce), nonce)

    async def cancel(self, run_id: str) -> None:
        """See Transport.cancel."""
        nonce = new_nonce()
        await self._ask(cancel_request(run_id, nonce), nonce)

    def _cancelled(self, run_id: str | None) -> bool:
        return run_id is not None and (self._root / run_id / CANCELLED).exists()

    async def execute(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Completed:
        """See Transport.execute."""
        began = time.monotonic()
        if self._claim is not None:
            self._claim.keep(last=True)
        with self._file() as output, self._working() as name:
            if self._cancelled(self._run_id):
                raise RunCancelledError
            code = await run_kept(
                script,
                folder=_entered(cwd or home(self._environ)),
                timeout=timeout,
                arguments=arguments,
                environ=self._check_environ,
                added=environment,
                output=output,
                name=name,
            )
            return Completed(code, end_of(output), time.monotonic() - began)

    async def ask(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Completed:
        """See Transport.ask."""
        if (ahead := self._ahead) is not None and not (cwd or environment) and ahead.is_of(script, arguments):
            self._ahead = None
            return await self._answer(ahead, timeout)
        mark = new_nonce()
        text = marked(script, mark)
        with self._file() as answer, self._file() as complaint:
            around = {**self._git_environ, **_revealed(environment)}
            code, seconds = await self._run(text, cwd, timeout, arguments, around, answer, complaint)
            return answered(mark, code, end_of(answer), end_of(complaint), seconds)

    async def _answer(self, ahead: AskedAhead, timeout: float) -> Completed:
        """Await the end of what was asked, `timeout` seconds after its start at most."""
        with contextlib.closing(ahead):
            try:
                with self._working() as name:
                    name(ahead.process.pid)
                    ended = await gone(ahead.process, max(0.0, timeout - ahead.seconds))
                    seconds = ahead.seconds
            finally:
                await end_session(ahead.process)
            return ahead.answer(ahead.process.returncode if ended else None, seconds)

    async def _run(  # noqa: PLR0913, PLR0917 - the parts of one command
        self,
        script: str,
        cwd: str | None,
        timeout: float,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> tuple[int | None, float]:
        """Run a script to its end, `timeout` seconds at most. Returns its exit code (None if late) and its seconds.

        Its streams are files, not pipes: a grandchild that keeps one open does not block the runner.
        """
        began = time.monotonic()
        folder = _entered(cwd or home(self._environ))
        with self._working() as name:
            process = await start_child(
                *ending_with_us(script, arguments),
                cwd=folder,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            name(process.pid)
            try:
                code: int | None = await asyncio.wait_for(process.wait(), timeout)
            except TimeoutError:
                code = None
            finally:
                # Kill the rest of its process group, also if this task is cancelled.
                await end_group(process)
        return code, time.monotonic() - began

    @contextlib.contextmanager
    def _working(self) -> Iterator[Callable[[int], None]]:
        """Register a command under the claim; yields a function that takes its leader's pid.

        Raises RunGoneError if the run was discarded, ClaimTakenError if another runner holds the claim.
        """
        self._tombstones.refuse(self._run_id)
        if self._claim is None:
            yield lambda _: None
            return
        with self._claim.work() as name:
            yield name
        self._claim.keep()  # another runner that took the run over has ended the command: that is no result

    def _file(self) -> IO[bytes]:
        """Make a temporary file. Raises HostError if its folder is not writable, or has no room."""
        try:
            return scratch_file(self._root)
        except OSError as error:
            raise HostError(
                f"this machine's disk: cannot create a temporary file in {self._root}: {error.strerror or error}.",
                remedy="Make room there, or set XDG_STATE_HOME to a writable folder.",
            ) from None

    async def discard(self, run_id: str, *, keep_workspace: bool = False) -> None:
        """See Transport.discard."""
        if self._claim is not None:
            self._claim.keep(last=True)
        workspace, skills = (self._root.with_name(name) / run_id for name in ("workspaces", "skills"))
        attempts: list[Path] = []
        late = False
        with contextlib.suppress(PermissionError):  # the host script reports it
            attempts = list((self._root / run_id / "attempts").glob("[0-9]*"))
        # What has to go from another place needs the script.
        elsewhere = workspace.exists() or (self._root / run_id / "points.left").exists()
        if attempts and all((attempt / "exit").exists() for attempt in attempts) and not elsewhere:
            # A supervisor removes old runs after its own has ended: wait for it.
            deadline = time.monotonic() + _LEAVING
            for attempt in map(AttemptDirectory, attempts):
                while attempt.lost() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(_POLL)
            # All attempts have ended, and no other runner starts one under our claim: no shell is needed to check.
            with contextlib.suppress(OSError):  # the host script tries again, and reports what is wrong
                judge = self._claim.claim.word if self._claim else "-"
                self._tombstones.put(run_id, keep_workspace=keep_workspace, judge=judge)
                if late := self._cancelled(run_id):
                    self._tombstones.note_cancelled(run_id)
                shutil.rmtree(skills, ignore_errors=True)
                shutil.rmtree(self._root / run_id, ignore_errors=True)
            if not skills.exists() and not (self._root / run_id).exists():
                if late:
                    raise RunCancelledError
                return
        nonce = new_nonce()
        answer = await self._ask(discard_request(run_id, nonce, keep_workspace=keep_workspace), nonce)
        if late or answer.endswith(CANCELLED):
            raise RunCancelledError

    async def list_files(self, root: str, below: Sequence[str]) -> Listing:
        """See Transport.list_files."""
        return await self._files.list(root, below)

    async def fetch_files(self, root: str, paths: Sequence[str], into: Path, *, limit: int, total: int) -> Fetched:
        """See Transport.fetch_files."""
        return await self._files.fetch(root, paths, into, limit=limit, total=total)

    async def upload(self, source: Path, run_id: str) -> str:
        """See Transport.upload."""
        return await self._files.upload(source, run_id)

    @cached_property
    def _files(self) -> LocalFiles:
        from codex_runner.transports.local_files import LocalFiles

        return LocalFiles(self._environ, self._claim.claim if self._claim else None)

    async def close(self) -> None:
        """See Transport.close. Lets a script that was asked ahead remove its files, for a second at most."""
        if (ahead := self._ahead) is None:
            return
        self._ahead = None
        with contextlib.closing(ahead):
            try:
                await gone(ahead.process, _LEFT)
            finally:
                await end_session(ahead.process)

    async def _ask(self, request: bytes, nonce: str) -> str:
        process = await start_child(
            *command_here(),
            env=self._environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C must reach only the runner, which then sends a stop request
        )
        claim = self._claim
        if claim is not None:
            request = under(claim.claim, request)
        try:
            output, complaint = await process.communicate(request)
        except BaseException:  # the request counts all the same
            await leave(process)
            raise
        return read_answer(output, nonce, complaint)


def _revealed(environment: Mapping[str, str | Secret]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else value.reveal() for key, value in environment.items()}


def _entered(folder: str) -> str:
    """Return the folder. Raises FolderGoneError if it cannot be entered, with the words of the host script."""
    if not (os.path.isdir(folder) and os.access(folder, os.X_OK)):  # noqa: PTH112 - raises for no name
        raise FolderGoneError(f"cwd: {folder} is not a directory that can be entered.")
    return folder
