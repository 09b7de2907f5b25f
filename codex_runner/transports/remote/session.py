"""A session: one command that a carrier has begun, as a process with three streams.

This module owns the process and its pipes, and asyncio does not. A carrier may pass the other ends of the pipes on (ssh
does, to its master). They may then stay open long after the process is gone, and only a pipe's owner can close it.
Besides, asyncio may reap a process that it closes before its own child watcher does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Self

from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.reaping import PATIENCE, end, gone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.transports.carriers.carrier import Carrier

# Bytes. The script's lines are short; a banner may be long.
_LINE_LIMIT = 1 << 20


class Session:
    """A process that a carrier has begun. Read `stdout` and `stderr` directly. The caller of `open` must `close` it.

    `challenge` is the word that the session's next request must repeat; empty before the host's first line.
    """

    def __init__(
        self,
        carrier: Carrier,
        process: subprocess.Popen[bytes],
        stdin: asyncio.StreamWriter,
        outputs: Sequence[tuple[asyncio.StreamReader, asyncio.ReadTransport]],
    ) -> None:
        """Use `open` to make one."""
        self.carrier, self._process, self._stdin = carrier, process, stdin
        (self.stdout, _), (self.stderr, _) = outputs
        self.challenge = ""
        self._pipes = [pipe for _, pipe in outputs]

    @classmethod
    async def open(cls, carrier: Carrier, command: str) -> Self:
        """Begin a command on the carrier's host. Raises the errors of `Carrier.arguments`."""
        arguments = await carrier.arguments(command)
        # A socket pair for stdin, since asyncio offers flow control for sockets only.
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ends = [os.pipe(), os.pipe()]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - a fork, as asyncio's own would be
                arguments,
                env=carrier.environ,
                stdin=theirs.fileno(),
                stdout=ends[0][1],
                stderr=ends[1][1],
                start_new_session=True,  # a terminal's Ctrl-C must reach only the runner, which sends a stop request
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
        session = asyncio.ensure_future(cls._attach(carrier, process, ours, near))
        try:
            return await asyncio.shield(session)
        except asyncio.CancelledError:
            await (await session).close()
            raise

    @classmethod
    async def _attach(
        cls, carrier: Carrier, process: subprocess.Popen[bytes], stdin: socket.socket, readings: Sequence[int]
    ) -> Self:
        """Register the near ends with the event loop. Takes a few of its turns, and waits for nothing else."""
        _, writer = await asyncio.open_connection(sock=stdin)
        outputs = []
        for reading in readings:
            reader = asyncio.StreamReader(limit=_LINE_LIMIT)
            pipe = os.fdopen(reading, "rb", 0)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                partial(asyncio.StreamReaderProtocol, reader), pipe
            )
            outputs.append((reader, transport))
        return cls(carrier, process, writer, outputs)

    async def send(self, data: bytes) -> None:
        """Write to the command's stdin. Raises DroppedError if it is closed."""
        if self._stdin.is_closing():
            raise DroppedError("the connection is closed")
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except OSError:
            raise DroppedError("the connection broke while sending") from None

    @property
    def running(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    async def exit_code(self) -> int | None:
        """Return the process's exit code, negative for a signal. Returns None if it does not end within PATIENCE."""
        return self._process.returncode if await gone(self._process, PATIENCE) else None

    async def finish(self) -> None:
        """End the command's input, and wait PATIENCE seconds at most for the host's side to end by itself.

        For a session that serves no request: then all processes that it has started on the host are gone.
        """
        with contextlib.suppress(OSError):
            self._stdin.write_eof()
        await gone(self._process, PATIENCE)

    async def close(self) -> None:
        """End the process. Idempotent."""
        self._stdin.transport.abort()
        for pipe in self._pipes:
            pipe.close()
        await end(self._process)
