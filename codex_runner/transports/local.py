"""This machine as a host. Only the launch goes through the supervisor's front; following reads the files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, BinaryIO

from codex_runner.domain.errors import FolderGoneError, HostError, RunGoneError
from codex_runner.domain.host import Completed, Ended, Lost, Output, Started
from codex_runner.transports.asked import answered, marked
from codex_runner.transports.claim import ClaimFolder
from codex_runner.transports.directory import AttemptDirectory, runs_root
from codex_runner.transports.request import (
    claim_request,
    discard_request,
    new_nonce,
    read_answer,
    script,
    start_request,
    stop_request,
    under,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.event import Position
    from codex_runner.domain.host import Launch, Piece, Stream
    from codex_runner.domain.run import StopReason
    from codex_runner.domain.secret import Secret

# Reading two files that have not grown costs some 20 microseconds: often enough to be far below what a person sees.
_POLL = 0.02
_LIVENESS = 0.5
_PING = 1.0
_READ = 1 << 18  # what is read at once is worked off before anything else is heard: a signal, a deadline
_KEPT = 1 << 20

# What the supervisor, and through it codex, gets of the runner's environment; `scrub` on the host has the same list.
_PASSED = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "CODEX_CA_CERTIFICATE", "RUNNER_TRACKING_ID", "JENKINS_NODE_COOKIE"),
    )
)
# A command ends with us, however we end: its group is killed when the far end of its stdin, which is ours, is closed.
_ENDS_WITH_US = """
exec 3<&0
{ read -r _; kill -KILL 0; } <&3 >/dev/null 2>&1 &
exec sh -c -- "$@" </dev/null 3<&-
"""

_CREDENTIAL_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "PRIVATE", "API_KEY", "ACCESS_KEY")


class LocalTransport:
    """Runs attempts here. `environ` is the runner's environment, of which only the harmless part goes on."""

    def __init__(self, environ: Mapping[str, str], claim: Claim | None = None) -> None:
        """Nothing is touched before the first start, which takes the claim, if there is one."""
        self._environ = {k: v for k, v in environ.items() if k in _PASSED or k.startswith("LC_")}
        self._check_environ = {k: v for k, v in environ.items() if not _names_a_credential(k)}
        self._root = runs_root(environ)
        self._claim = ClaimFolder(self._root / claim.run_id / "claims", claim) if claim else None

    @property
    def reachable(self) -> bool:
        """See Transport.reachable."""
        return True

    async def start(self, launch: Launch) -> Started:
        """See Transport.start."""
        nonce = new_nonce()
        new = await self._ask(start_request(launch, nonce), nonce) == "new"
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

    async def renew(self) -> None:
        """See Transport.renew."""
        if self._claim is not None:
            self._claim.keep()

    async def follow(self, run_id: str, attempt: int, position: Position) -> AsyncIterator[Piece]:
        """See Transport.follow."""
        directory = AttemptDirectory(self._root / run_id / "attempts" / str(attempt))
        with contextlib.ExitStack() as stack:
            try:
                stdout = _Tail("stdout", stack.enter_context((directory.path / "stdout").open("rb")), position.stdout)
                stderr = _Tail("stderr", stack.enter_context((directory.path / "stderr").open("rb")), position.stderr)
            except FileNotFoundError:
                raise RunGoneError(f"run {run_id} has no attempt {attempt} on this machine.") from None
            pinged = looked = 0.0
            while True:
                now = time.monotonic()
                if now - pinged >= _PING:
                    _advance(directory.lease)
                    await self.renew()
                    pinged = now
                # First how it ended, then what it wrote: so nothing that was written before the end is missed.
                exit_ = directory.exit()
                lost = None
                if exit_ is None and now - looked >= _LIVENESS:
                    looked = now
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
                if not moved:
                    await asyncio.sleep(_POLL)

    async def stop(self, run_id: str, attempt: int, reason: StopReason) -> None:
        """See Transport.stop."""
        nonce = new_nonce()
        with contextlib.suppress(HostError):  # nothing there to stop
            await self._ask(stop_request(run_id, attempt, reason, nonce), nonce)

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
        if self._claim is not None:
            self._claim.keep(last=True)
        with _file() as output:
            code, seconds = await self._run(script, cwd, timeout, arguments, environment, output, output)
            return Completed(code, _end_of(output), seconds)

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
        mark = new_nonce()
        text = marked(script, mark)
        with _file() as answer, _file() as complaint:
            code, seconds = await self._run(text, cwd, timeout, arguments, environment, answer, complaint)
            return answered(mark, code, _end_of(answer), _end_of(complaint), seconds)

    async def _run(  # noqa: PLR0913, PLR0917 - the parts of one command
        self,
        script: str,
        cwd: str | None,
        timeout: float,
        arguments: Sequence[str],
        environment: Mapping[str, str | Secret],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> tuple[int | None, float]:
        """Run a script to its end, under the claim, and return its exit code and its seconds."""
        if self._claim is None:
            return await self._work(script, cwd, timeout, arguments, environment, stdout, stderr)
        with self._claim.work() as name:
            done = await self._work(script, cwd, timeout, arguments, environment, stdout, stderr, name)
        self._claim.keep()  # what was ended because another has taken the run over is no result
        return done

    async def _work(  # noqa: PLR0913, PLR0917 - as above
        self,
        script: str,
        cwd: str | None,
        timeout: float,
        arguments: Sequence[str],
        environment: Mapping[str, str | Secret],
        stdout: IO[bytes],
        stderr: IO[bytes],
        name: Callable[[int], None] = lambda _: None,
    ) -> tuple[int | None, float]:
        """Do it; `name` gets the pid of what leads the script's process group.

        Its streams are files, not pipes: a grandchild that keeps one open then holds nobody up.
        """
        began = time.monotonic()
        folder = _entered(cwd or _home(self._environ))
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            _ENDS_WITH_US,
            "sh",
            script,
            "sh",
            *arguments,
            cwd=folder,
            env={
                **self._check_environ,
                **{k: v if isinstance(v, str) else v.reveal() for k, v in environment.items()},
            },
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
            # Whatever is left in its group goes, also where we are cancelled ourselves.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return code, time.monotonic() - began

    async def discard(self, run_id: str, *, keep_workspace: bool = False) -> None:
        """See Transport.discard."""
        if self._claim is not None:
            self._claim.keep(last=True)
        workspace, skills = (self._root.with_name(name) / run_id for name in ("workspaces", "skills"))
        attempts = list((self._root / run_id / "attempts").glob("[0-9]*"))
        if attempts and all((attempt / "exit").exists() for attempt in attempts) and not workspace.exists():
            shutil.rmtree(skills, ignore_errors=True)
            if self._claim is not None:  # no runner finds anything to go on with from here on
                (self._root / run_id / "attempts").rename(self._root / run_id / ".judged")
            # All has ended, and nobody starts an attempt of a run that we hold: no shell is needed to say so.
            shutil.rmtree(self._root / run_id, ignore_errors=True)
            if not skills.exists() and not (self._root / run_id).exists():
                return
        nonce = new_nonce()
        await self._ask(discard_request(run_id, nonce, keep_workspace=keep_workspace), nonce)

    async def close(self) -> None:
        """See Transport.close."""

    async def _ask(self, request: bytes, nonce: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            'script=$1; shift; eval "$script"',
            "sh",
            script(),
            env=self._environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the runner, which then asks politely
        )
        claim = self._claim
        if claim is not None:
            request = under(claim.claim, request, held=claim.held)
        output, complaint = await process.communicate(request)
        return read_answer(output, nonce, complaint)


class _Tail:
    """One growing file, read from an offset on."""

    def __init__(self, stream: Stream, file: BinaryIO, offset: int) -> None:
        self._stream, self._file, self._offset = stream, file, offset

    def read(self) -> Output | None:
        data = os.pread(self._file.fileno(), _READ, self._offset)
        if not data:
            return None
        piece = Output(self._stream, self._offset, data)
        self._offset += len(data)
        return piece


def _home(environ: Mapping[str, str]) -> str:
    """Return the home, or `/` if it is not there: a script of the runner's own needs no folder."""
    home = environ.get("HOME", "")
    return home if Path(home).is_dir() and os.access(home, os.X_OK) else "/"


def _entered(folder: str) -> str:
    """Return the folder. FolderGoneError if it cannot be entered, as the other hosts say it."""
    if not (os.path.isdir(folder) and os.access(folder, os.X_OK)):  # noqa: PTH112 - never raises, whatever the name
        raise FolderGoneError(f"cwd: {folder} is not a directory that can be entered.")
    return folder


def _file() -> IO[bytes]:
    """Make a temporary file. HostError if there is no folder for it that can be written and has room."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise HostError(
            f"this machine's disk: no temporary file can be made: {error.strerror or error}.",
            remedy="Make room, or point TMPDIR to a folder that can be written.",
        ) from None


def _end_of(output: IO[bytes]) -> bytes:
    """Return the last of what was printed. Something that escaped may go on writing."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _KEPT))
    return output.read(size)


def _advance(lease: Path) -> None:
    """Count the lease up by one. Two runners at once may lose a count, but never stop it."""
    try:
        count = int(lease.read_text(encoding="ascii") or 0)
    except (FileNotFoundError, ValueError):
        count = 0
    new = lease.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # the directory was removed, or the disk is full: follow says so
        new.write_text(f"{count + 1}\n", encoding="ascii")
        new.rename(lease)


def _names_a_credential(name: str) -> bool:
    upper = name.upper()
    # The last one's are the runner's own settings, `codex.env` with its secrets among them.
    return upper.startswith(("VAULT_", "BAO_", "ACTIONS_ID_TOKEN", "CODEX_RUNNER_")) or any(
        word in upper for word in _CREDENTIAL_WORDS
    )
