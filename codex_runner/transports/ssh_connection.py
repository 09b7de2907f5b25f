"""One shared OpenSSH connection to a host, and sessions over it.

The system's ssh does all of it (Include, Match, ProxyJump, certificates, agents, known_hosts): it is what people have
configured and trust. A master of our own, with a short socket path in a private folder, carries all sessions; where a
server refuses to multiplex, ssh connects each session by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from codex_runner.domain.errors import HostError
from codex_runner.transports.request import read_answer, script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The script is the first line of stdin: in argv it would fail under tcsh, and `sh -s` reads ahead and executes what
# comes behind it. The && matters: a connection that dies in the line runs nothing.
_BOOTSTRAP = 'exec sh -c \'IFS= read -r script && script=$(printf %b "$script") && eval "$script"\''

_OPTIONS = (
    "-T",
    "-oBatchMode=yes",
    "-oRequestTTY=no",
    "-oRemoteCommand=none",
    "-oForwardAgent=no",
    "-oClearAllForwardings=yes",
    "-oPermitLocalCommand=no",
    "-oConnectTimeout=15",
    # A dead line is seen in some eight seconds.
    "-oServerAliveInterval=2",
    "-oServerAliveCountMax=3",
)

_SOCKET_PATIENCE = 30.0
_ANSWER_PATIENCE = 60.0

_HINTS = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "Compare the fingerprint with the host's own, then add it: `ssh-keyscan -H {name} >> ~/.ssh/known_hosts`.",
    ),
    (r"Permission denied", "Check the user, the key, and the agent: `ssh -v {alias} true`."),
    (
        r"Could not resolve hostname",
        "Check `HostName` in the OpenSSH configuration: `codex-runner hosts` lists the aliases.",
    ),
    (r"Connection refused|timed out|No route to host|unreachable", "Check that the host is up and its sshd reachable."),
)


class DroppedError(Exception):
    """The connection is gone, or never came about; the same thing may be tried again. The message is for people."""


class Refused(HostError):  # noqa: N818 - a HostError by another name: it will not get better by trying again
    """The host will not have us: a wrong key, an unknown host key, an unknown name."""


class SshConnection:
    """The connection to one host. `ssh_options` come before ours (`-F FILE`, for one)."""

    def __init__(self, alias: str, environ: Mapping[str, str], ssh_options: Sequence[str] = ()) -> None:
        """Nothing is connected before the first session."""
        self.alias = alias
        self._environ = dict(environ)
        self._ssh_options = tuple(ssh_options)
        self._folder: Path | None = None
        self._master: asyncio.subprocess.Process | None = None
        self._connecting = asyncio.Lock()
        self._script = script().replace("\\", "\\\\").replace("\n", "\\n").encode() + b"\n"

    async def session(self, request: bytes) -> Session:
        """Open a session and hand it a request; its stdin stays open. DroppedError, or Refused, where that fails."""
        socket = await self._ready()
        session = await Session.open(
            [
                "ssh",
                *self._ssh_options,
                *_OPTIONS,
                "-oControlMaster=no",
                f"-oControlPath={socket}",
                "--",
                self.alias,
                _BOOTSTRAP,
            ],
            self._environ,
        )
        try:
            await session.send(self._script + request)
        except BaseException:
            await session.close()
            raise
        return session

    async def ask(self, request: bytes, nonce: str, *, timeout: float = _ANSWER_PATIENCE) -> tuple[str, bytes]:
        """Send a request that has one answer: its line, and the bytes behind it."""
        session = await self.session(request)
        try:
            async with asyncio.timeout(timeout):
                output, complaint = await asyncio.gather(session.stdout.read(), session.stderr.read())
        except TimeoutError:
            raise DroppedError(f"no answer for {timeout:g} s") from None
        finally:
            await session.close()
        mark = f"{nonce} ".encode()
        start = output.find(mark)
        if start < 0:
            raise DroppedError(_last_line(complaint) or "the connection ended before the answer")
        line, newline, rest = output[start:].partition(b"\n")
        if not newline:
            raise DroppedError("the connection ended within the answer")
        return read_answer(line, nonce), rest

    async def close(self) -> None:
        """End the connection and remove its folder."""
        if self._master is not None:
            await end(self._master)
            self._master = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _ready(self) -> Path:
        async with self._connecting:
            if self._folder is None:
                # /tmp, since a socket's path may have some hundred characters and TMPDIR may be long. 0700 by mkdtemp.
                self._folder = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))  # noqa: S108
            socket = self._folder / "s"
            if self._master is None or self._master.returncode is not None or not socket.exists():
                await self._connect(socket)
            return socket

    async def _connect(self, socket: Path) -> None:
        if self._master is not None:
            await end(self._master)
        socket.unlink(missing_ok=True)
        log = socket.with_name("log")
        with log.open("wb") as complaint:
            self._master = master = await asyncio.create_subprocess_exec(
                "ssh",
                *self._ssh_options,
                *_OPTIONS,
                "-oControlMaster=yes",
                f"-oControlPath={socket}",
                "-oControlPersist=no",
                "-N",
                "--",
                self.alias,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=complaint,
                start_new_session=True,
            )
        deadline = time.monotonic() + _SOCKET_PATIENCE
        while not socket.exists():
            if master.returncode is not None:
                raise self._failure(log.read_text(encoding="utf-8", errors="replace"))
            if time.monotonic() > deadline:
                await end(master)
                raise DroppedError(f"no connection within {_SOCKET_PATIENCE:g} s")
            await asyncio.sleep(0.01)

    def _failure(self, complaint: str) -> Exception:
        last = _last_line(complaint.encode()) or "ssh ended without a word"
        if re.search(
            r"Connection refused|timed out|No route|unreachable|Connection (closed|reset)|kex_exchange", complaint
        ):
            return DroppedError(last)
        fingerprint = re.search(
            r"(\w+ key fingerprint is|fingerprint for the \w+ key sent by the remote host is)\s+(\S+)", complaint
        )
        shown = f" The host's key: {fingerprint[2].rstrip('.')}." if fingerprint else ""
        remedy = next((text for pattern, text in _HINTS if re.search(pattern, complaint)), "Try `ssh -v {alias} true`.")
        return Refused(
            f"the host {self.alias} cannot be used: {last}.{shown}",
            remedy=remedy.format(alias=self.alias, name=self.alias),
        )


class Session:
    """One `ssh`: its three streams, and its end.

    The pipes are ours rather than asyncio's: a master holds the far ends of its sessions' pipes, so that they may stay
    open long after the session's own process is gone, and only who owns a pipe may close it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Only `open` makes one."""
        self._process = process
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self._pipes: list[asyncio.ReadTransport] = []

    @classmethod
    async def open(cls, command: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Start it."""
        ends = [os.pipe(), os.pipe()]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=ends[0][1],
                stderr=ends[1][1],
                start_new_session=True,
            )
        except BaseException:
            os.close(ends[0][0])
            os.close(ends[1][0])
            raise
        finally:
            os.close(ends[0][1])
            os.close(ends[1][1])
        session = cls(process)
        loop = asyncio.get_running_loop()
        for reader, (reading, _) in zip((session.stdout, session.stderr), ends, strict=True):
            pipe = os.fdopen(reading, "rb", 0)
            transport, _ = await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), pipe)
            session._pipes.append(transport)
        return session

    async def send(self, data: bytes) -> None:
        """Write to its stdin. DroppedError where it is gone."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            raise DroppedError("the connection is closed")
        try:
            stdin.write(data)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise DroppedError("the connection broke while sending") from None

    async def close(self) -> None:
        """End it. Again is fine."""
        await end(self._process)
        for pipe in self._pipes:
            pipe.close()


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process of ours and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    # Not process.terminate(): before it sends the signal it may reap the child itself, and asyncio's watcher then
    # finds no child and makes up an exit code.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _last_line(complaint: bytes) -> str:
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""
