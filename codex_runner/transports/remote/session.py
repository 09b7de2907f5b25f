"""One `ssh` process: its three streams, and its end.

The process and its pipes are ours rather than asyncio's. A master holds the far ends of its sessions' pipes, so that
they may stay open long after the session's own process is gone: only who owns a pipe can close it. And asyncio's way
of closing a process may reap it behind the back of its own watcher.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 2.0

_SHOWN = 300  # characters: a shell that takes the script for commands quotes all of it

# A line of ours is short; a banner may be anything.
_LINE_LIMIT = 1 << 20


class DroppedError(Exception):
    """The connection is gone, or never came about; the same thing may be tried again. The message is for people.

    `heard` is when the host was last heard over it, by the monotonic clock, None if that is not known. So many
    connections in a row have been in `vain`: they were made and brought nothing.
    """

    heard: float | None = None
    vain: int = 0


class SilentError(DroppedError):
    """Nothing came for longer than the answer may take, although ssh says that the host is there."""


class UnansweredError(DroppedError):
    """The far shell ended by itself, and without our answer: it may be none that runs commands."""


class Session:
    """A running `ssh`. `stdout` and `stderr` are read as they are; `close` is always owed.

    `challenge` is what the host has said last that its next request is to repeat; empty before the host's first word.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: asyncio.StreamWriter,
        outputs: Sequence[tuple[asyncio.StreamReader, asyncio.ReadTransport]],
    ) -> None:
        """Only `open` makes one."""
        self._process, self._stdin = process, stdin
        (self.stdout, _), (self.stderr, _) = outputs
        self.challenge = ""
        self._pipes = [pipe for _, pipe in outputs]

    @classmethod
    async def open(cls, command: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Start it."""
        # A socket pair for stdin, since asyncio offers flow control for sockets only.
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ends = [os.pipe(), os.pipe()]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - a fork, as asyncio's own would be
                command,
                env=environ,
                stdin=theirs.fileno(),
                stdout=ends[0][1],
                stderr=ends[1][1],
                start_new_session=True,  # a terminal's Ctrl-C is for the runner, which then asks politely
            )
        except BaseException:
            ours.close()
            os.close(ends[0][0])
            os.close(ends[1][0])
            raise
        finally:
            theirs.close()
            os.close(ends[0][1])
            os.close(ends[1][1])
        near = [reading for reading, _ in ends]
        session = asyncio.ensure_future(cls._attach(process, ours, near))
        try:
            return await asyncio.shield(session)
        except asyncio.CancelledError:
            await (await session).close()
            raise

    @classmethod
    async def _attach(cls, process: subprocess.Popen[bytes], stdin: socket.socket, readings: Sequence[int]) -> Self:
        """Hand the near ends to the loop. Takes a few of its turns, and waits for nothing else."""
        _, writer = await asyncio.open_connection(sock=stdin)
        outputs = []
        for reading in readings:
            reader = asyncio.StreamReader(limit=_LINE_LIMIT)
            pipe = os.fdopen(reading, "rb", 0)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                partial(asyncio.StreamReaderProtocol, reader), pipe
            )
            outputs.append((reader, transport))
        return cls(process, writer, outputs)

    async def send(self, data: bytes) -> None:
        """Write to its stdin. DroppedError where it is gone."""
        if self._stdin.is_closing():
            raise DroppedError("the connection is closed")
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except OSError:
            raise DroppedError("the connection broke while sending") from None

    @property
    def running(self) -> bool:
        """False once `ssh` has ended."""
        return self._process.poll() is None

    async def exit_code(self) -> int | None:
        """Return what `ssh` exited with, once it has closed its streams; None where it takes its time."""
        return self._process.returncode if await _gone(self._process, _PATIENCE) else None

    async def close(self) -> None:
        """End it. Again is fine."""
        self._stdin.transport.abort()
        for pipe in self._pipes:
            pipe.close()
        await end(self._process)


async def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours and wait for it."""
    if process.poll() is None:
        process.terminate()
        try:
            ended = await _gone(process, _PATIENCE)
        except asyncio.CancelledError:
            process.kill()
            process.wait()
            raise
        if not ended:
            process.kill()
            process.wait()
    # The transports that were closed beside it let go of their descriptors in the loop's next turn.
    await asyncio.sleep(0)


async def _gone(process: subprocess.Popen[bytes], patience: float) -> bool:
    deadline = time.monotonic() + patience
    pause = 0.001
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(pause)
        pause = min(0.02, pause * 2)
    return True


def last_line(complaint: bytes) -> str:
    """Return the last line that says something: ssh ends with its reason."""
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].rstrip(".")[:_SHOWN] if lines else ""
