"""One connection's worth of following: what a session of `follow` sends, taken apart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from codex_runner.domain.host import Ended, Lost, Output
from codex_runner.transports.directory import parse_exit
from codex_runner.transports.request import read_answer
from codex_runner.transports.ssh_connection import DroppedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from codex_runner.domain.host import Piece
    from codex_runner.domain.run import ProcessExit
    from codex_runner.transports.ssh_connection import Session

_PING = 1.0

# The host says something each second; ssh's own keep-alive may be busy with a connection that only looks alive.
_SILENCE = 10.0

_CHUNK = 1 << 16
_QUEUED = 64


class FollowSession:
    """A running `ssh` whose far side follows an attempt."""

    def __init__(self, session: Session, nonce: str, stdout: int) -> None:
        """`stdout` is the offset that the far side was asked to begin at."""
        self._session, self._nonce, self._mark = session, nonce, f"{nonce} ".encode()
        self._last_words = b""
        self._offset = stdout
        self._heard = time.monotonic()

    async def answers(self) -> str:
        """Read the answers before the bytes begin: `new` or `joined`, then `begin`. What was said first is returned."""
        first = ""
        while True:
            try:
                async with asyncio.timeout(60):
                    line = await self._session.stdout.readline()
            except (TimeoutError, ValueError):  # ValueError: a banner without an end
                raise DroppedError("the host did not answer") from None
            if not line.endswith(b"\n"):
                complaint = (await self._session.stderr.read()).decode("utf-8", "replace").strip()
                raise DroppedError(complaint or "the connection ended before the answer")
            if line.startswith(self._mark):
                word = read_answer(line, self._nonce)
                if word == "begin":
                    self._heard = time.monotonic()
                    return first or word
                first = first or word

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield what comes, up to and including Ended or Lost. DroppedError where the connection does not get so far."""
        queue: asyncio.Queue[Piece | ProcessExit | DroppedError] = asyncio.Queue(_QUEUED)
        tasks = [
            asyncio.ensure_future(work)
            for work in (self._read_bytes(queue), self._read_frames(queue), self._keep_alive(queue))
        ]
        exit_: ProcessExit | None = None
        lost: Lost | None = None
        try:
            while True:
                piece = await queue.get()
                if isinstance(piece, DroppedError):
                    if lost is not None:
                        yield lost
                        return
                    raise piece
                if isinstance(piece, Lost):
                    lost = piece  # its bytes may still be under way: they end with the stream
                elif isinstance(piece, Output):
                    yield piece
                    if piece.stream == "stdout":
                        self._offset = piece.offset + len(piece.data)
                elif not isinstance(piece, Ended):
                    exit_ = piece  # type: ignore[assignment] # the ProcessExit of an exit frame
                if exit_ is not None and self._offset >= exit_.stdout_size:
                    yield Ended(exit_)
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()

    async def stop(self, reason: str) -> None:
        """Pass a wish to stop on, over the connection that is there."""
        await self._session.send(f"stop {reason}\n".encode())

    async def close(self) -> None:
        """Say goodbye, and end the connection."""
        with contextlib.suppress(DroppedError):
            await self._session.send(b"bye\n")
        await self._session.close()

    async def _read_bytes(self, queue: asyncio.Queue[Piece | ProcessExit | DroppedError]) -> None:
        offset = self._offset
        while data := await self._session.stdout.read(_CHUNK):
            self._heard = time.monotonic()
            await queue.put(Output("stdout", offset, data))
            offset += len(data)
        await queue.put(DroppedError(self._last_words.decode("utf-8", "replace").strip() or "the connection closed"))

    async def _read_frames(self, queue: asyncio.Queue[Piece | ProcessExit | DroppedError]) -> None:
        stderr = self._session.stderr
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # a line that never ends, and not one of ours
                continue
            if not line:
                return
            if not line.startswith(self._mark):
                self._last_words = line  # ssh's own complaints
                continue
            self._heard = time.monotonic()
            word, _, rest = line[len(self._mark) :].decode("utf-8", "replace").rstrip("\n").partition(" ")
            if word == "err":
                offset, size = map(int, rest.split())
                try:
                    await queue.put(Output("stderr", offset, await stderr.readexactly(size)))
                except asyncio.IncompleteReadError:
                    return  # the other reader tells that the connection is gone
            elif word == "exit":
                await queue.put(parse_exit(rest.replace(",", "\n")))
            elif word == "lost":
                await queue.put(Lost(rest))

    async def _keep_alive(self, queue: asyncio.Queue[Piece | ProcessExit | DroppedError]) -> None:
        while True:
            try:
                await self._session.send(b"ping\n")
            except DroppedError:
                return  # the reader tells
            await asyncio.sleep(_PING)
            if time.monotonic() - self._heard > _SILENCE:
                await queue.put(DroppedError(f"nothing came for {_SILENCE:g} s"))
                return
