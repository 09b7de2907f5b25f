"""Parses what one session of `follow` sends, and keeps the session alive with pings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from codex_runner.domain.claim import ClaimTakenError
from codex_runner.domain.host import Ended, Lost, Output
from codex_runner.domain.run import ProcessExit
from codex_runner.text.durations import format_duration
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.directory import parse_exit
from codex_runner.transports.remote.host_answer import next_answer
from codex_runner.transports.request import read_taken

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from codex_runner.domain.host import Piece
    from codex_runner.transports.remote.session import Session

# Seconds. The host sends a heartbeat each second. A carrier's own keep-alive may miss that a connection is dead.
_SILENCE = 10.0

_CHUNK = 1 << 16
_QUEUED = 64

_Item = Output | ProcessExit | Lost | DroppedError | ClaimTakenError


class FollowSession:
    """A session in which the host follows an attempt. The caller that opened the session must release it."""

    def __init__(self, session: Session, nonce: str, stdout: int, tick: float) -> None:
        """`stdout` is the offset at which the host begins. The runner sends a ping each `tick` seconds."""
        self._tick = tick
        self.session, self._nonce, self._mark = session, nonce, f"{nonce} ".encode()
        self._last_words = b""
        self._offset = stdout
        self._damaged = False
        self._heard = time.monotonic()

    @property
    def heard(self) -> float:
        """The time of the host's last byte, by the monotonic clock."""
        return self._heard

    async def answers(self) -> str:
        """Read the answers that precede the output: `new` or `joined`, then `begin`. Returns the first."""
        first = word = await next_answer(self.session, self._nonce)
        while word != "begin":
            word = await next_answer(self.session, self._nonce)
        self._heard = time.monotonic()
        return first

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Yield the output, then Ended or Lost. Raises DroppedError if the connection breaks before that.

        Raises ClaimTakenError if another runner takes the run's claim.
        """
        queue: asyncio.Queue[_Item] = asyncio.Queue(_QUEUED)
        tasks = [
            asyncio.ensure_future(work)
            for work in (self._read_bytes(queue), self._read_frames(queue), self._keep_alive(queue))
        ]
        end: ProcessExit | Lost | None = None
        try:
            while True:
                item = await _next(queue, is_over=isinstance(end, ProcessExit))
                if isinstance(item, Output):
                    yield item
                    if item.stream == "stdout":
                        self._offset = item.offset + len(item.data)
                elif isinstance(item, ClaimTakenError):
                    raise item
                elif isinstance(item, Lost) and self._damaged:
                    yield item  # the host has sent everything; without the sizes, the runner would wait for more bytes
                    return
                elif isinstance(item, DroppedError):
                    if isinstance(end, Lost):  # the stream has ended, and so all bytes have come
                        yield end
                        return
                    raise item
                else:
                    end = item
                if isinstance(end, ProcessExit) and self._offset >= end.stdout_size:
                    yield Ended(end)
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, reason: str) -> None:
        """Send a stop request over this session."""
        await self.session.send(f"stop {reason}\n".encode())

    async def take_leave(self) -> None:
        """End the following, once `pieces` has yielded Ended; the session then serves the next request."""
        await self.session.send(b"bye\n")

    async def _read_bytes(self, queue: asyncio.Queue[_Item]) -> None:
        offset = self._offset
        while data := await self.session.stdout.read(_CHUNK):
            self._heard = time.monotonic()
            await queue.put(Output("stdout", offset, data))
            offset += len(data)
        await queue.put(DroppedError(self._last_words.decode("utf-8", "replace").strip() or "the connection closed"))

    async def _read_frames(self, queue: asyncio.Queue[_Item]) -> None:  # noqa: C901 - one arm a frame
        stderr = self.session.stderr
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # an overlong line, which is none of the host script's
                continue
            mark = line.find(self._mark)
            if not line.endswith(b"\n"):  # a truncated line: do not trust its words
                if mark < 0:
                    self._last_words = line or self._last_words
                return
            if mark < 0:
                self._last_words = line  # an error of the carrier, or the output of a start-up file
                continue
            self._heard = time.monotonic()
            word, _, rest = line[mark + len(self._mark) :].decode("utf-8", "replace").rstrip("\n").partition(" ")
            if word == "err":
                offset, size = map(int, rest.split())
                try:
                    await queue.put(Output("stderr", offset, await stderr.readexactly(size)))
                except asyncio.IncompleteReadError:
                    return  # _read_bytes reports that the connection is gone
            elif word == "exit":
                end = parse_exit(rest.replace(",", "\n"))
                self._damaged = isinstance(end, Lost)
                await queue.put(end)
            elif word == "taken":
                await queue.put(read_taken(rest))
            elif word == "lost":
                await queue.put(Lost(rest))

    async def _keep_alive(self, queue: asyncio.Queue[_Item]) -> None:
        while True:
            try:
                await self.session.send(b"ping\n")
            except DroppedError:
                return  # _read_bytes reports that the connection is gone
            await asyncio.sleep(self._tick)
            if queue.full():  # the runner itself is slow to read: that is not the host's silence
                self._heard = time.monotonic()
            if time.monotonic() - self._heard > _SILENCE:
                await queue.put(DroppedError(f"nothing came for {format_duration(_SILENCE)}"))
                return


async def _next(queue: asyncio.Queue[_Item], *, is_over: bool) -> _Item:
    """Return the next item. Once the attempt is over, the host only has to send its last bytes: wait _SILENCE at most.

    A host that stays alive without them has a program that hangs.
    """
    try:
        async with asyncio.timeout(_SILENCE if is_over else None):
            return await queue.get()
    except TimeoutError:
        return DroppedError(f"the last bytes did not come for {format_duration(_SILENCE)}")
