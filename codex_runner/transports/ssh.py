"""Any host that OpenSSH reaches: the same supervisor, started and followed over a connection that may break."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import random
import time
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.errors import HostError, RunnerError
from codex_runner.domain.host import Completed, Ended, Lost, Notice, Output, Started
from codex_runner.transports.request import (
    discard_request,
    execute_request,
    follow_request,
    new_nonce,
    start_request,
    stop_request,
)
from codex_runner.transports.ssh_connection import DroppedError, SshConnection
from codex_runner.transports.ssh_follow import FollowSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from codex_runner.domain.event import Position
    from codex_runner.domain.host import Launch, Piece
    from codex_runner.domain.run import StopReason

T = TypeVar("T")

_LONGEST_PAUSE = 15.0


class SshTransport:
    """Runs attempts on another host. `reconnect` is for how long a lost host is looked for, in seconds."""

    def __init__(
        self, alias: str, environ: Mapping[str, str], *, reconnect: float = 600.0, ssh_options: Sequence[str] = ()
    ) -> None:
        """Nothing is connected before the first call."""
        self._connection = SshConnection(alias, environ, ssh_options)
        self._alias, self._reconnect = alias, reconnect
        self._begun: dict[tuple[str, int], FollowSession] = {}
        self._followed: dict[tuple[str, int], FollowSession] = {}
        self._notices: list[Notice] = []

    async def start(self, launch: Launch) -> Started:
        """See Transport.start. The same connection then follows from the first byte: one round trip for both."""

        async def attempt() -> Started:
            nonce = new_nonce()
            session = FollowSession(await self._connection.session(start_request(launch, nonce, "start")), nonce, 0)
            try:
                answer = await session.answers()
            except BaseException:
                await session.close()
                raise
            earlier = self._begun.pop((launch.run_id, launch.attempt), None)
            self._begun[launch.run_id, launch.attempt] = session
            if earlier is not None:
                await earlier.close()
            return Started(new=answer == "new")

        # A start that is sent twice joins what the first one began: asking again is safe.
        return await self._persist("starting", attempt)

    async def follow(self, run_id: str, attempt: int, position: Position) -> AsyncIterator[Piece]:
        """See Transport.follow."""
        session = self._begun.pop((run_id, attempt), None)
        if session is not None and (position.stdout or position.stderr):
            await session.close()
            session = None
        outage: _Outage | None = None
        while True:
            for notice in self._notices:
                yield notice
            self._notices.clear()
            try:
                if session is None:
                    session = await self._follow_from(run_id, attempt, position)
                if outage is not None:
                    yield Notice("reconnected", f"{self._alias}: connected again after {outage.seconds:.0f} s")
                    outage = None
                self._followed[run_id, attempt] = session
                async for piece in session.pieces():
                    if isinstance(piece, Output):
                        position = _advanced(position, piece)
                    yield piece
                    if isinstance(piece, Ended | Lost):
                        return
            except DroppedError as dropped:
                outage = outage or _Outage()
                await self._pause(outage, str(dropped))
                yield Notice(
                    "disconnected",
                    f"{self._alias}: {dropped}; lost for {outage.seconds:.0f} s, try {outage.tries} "
                    f"(reconnect_timeout {self._reconnect:g} s)",
                )
            finally:
                self._followed.pop((run_id, attempt), None)
            session = None

    async def stop(self, run_id: str, attempt: int, reason: StopReason) -> None:
        """See Transport.stop. Over a dead line it does not wait."""
        session = self._followed.get((run_id, attempt))
        if session is not None:
            try:
                await session.stop(reason.value)
            except DroppedError:
                pass
            else:
                return
        nonce = new_nonce()
        with contextlib.suppress(DroppedError, HostError):  # nothing there to stop, or nobody to ask
            await self._connection.ask(stop_request(run_id, attempt, reason, nonce), nonce, timeout=15)

    async def execute(
        self, script: str, *, cwd: str | None = None, timeout: float = 60.0, arguments: Sequence[str] = ()
    ) -> Completed:
        """See Transport.execute. Where the line drops, the script is ended there and run once more."""

        async def attempt() -> Completed:
            nonce = new_nonce()
            began = time.monotonic()
            request = execute_request(script, cwd or "", timeout, arguments, nonce)
            answer, output = await self._connection.ask(request, nonce, timeout=timeout + 60)
            status, _, size = answer.removeprefix("done ").partition(" ")
            if len(output) != int(size):
                raise DroppedError("the connection ended within the output")
            return Completed(None if status == "late" else int(status), output, time.monotonic() - began)

        return await self._persist("running a command", attempt)

    async def discard(self, run_id: str) -> None:
        """See Transport.discard."""

        async def attempt() -> None:
            nonce = new_nonce()
            await self._connection.ask(discard_request(run_id, nonce), nonce)

        await self._persist("cleaning up", attempt)

    async def close(self) -> None:
        """See Transport.close."""
        for session in self._begun.values():
            await session.close()
        await self._connection.close()

    async def _follow_from(self, run_id: str, attempt: int, position: Position) -> FollowSession:
        nonce = new_nonce()
        request = follow_request(run_id, attempt, position.stdout, position.stderr, nonce)
        session = FollowSession(await self._connection.session(request), nonce, position.stdout)
        try:
            await session.answers()
        except BaseException:
            await session.close()
            raise
        return session

    async def _persist(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        outage = _Outage()
        while True:
            try:
                return await work()
            except DroppedError as dropped:
                await self._pause(outage, str(dropped))
                self._notices.append(
                    Notice("disconnected", f"{self._alias}: {dropped}, while {what}; try {outage.tries}")
                )

    async def _pause(self, outage: _Outage, reason: str) -> None:
        """Wait before the next try, or give the host up."""
        if outage.seconds > self._reconnect:
            raise HostError(
                f"the host {self._alias} could not be reached for {outage.seconds:.0f} s "
                f"({outage.tries} tries): {reason}.",
                remedy="The agent may still be running there, until orphan_timeout; `codex-runner attach` goes on with it.",
            )
        await asyncio.sleep(outage.next_pause())


class _Outage:
    """A time without a connection: since when, how many tries, how long to the next one."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self.tries = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    def next_pause(self) -> float:
        # Full jitter, so that fifty runs which lost the same host do not come back at once.
        self.tries += 1
        return random.uniform(0.1, min(_LONGEST_PAUSE, 0.25 * math.pow(2, self.tries)))  # noqa: S311 - no secret


def _advanced(position: Position, piece: Output) -> Position:
    end_ = piece.offset + len(piece.data)
    if piece.stream == "stdout":
        return dataclasses.replace(position, stdout=end_)
    return dataclasses.replace(position, stderr=end_)
