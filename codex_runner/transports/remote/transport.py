"""The transport of a host that a carrier reaches: the same supervisor, over a connection that may break."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from codex_runner.domain.cancellation import CANCELLED, RunCancelledError
from codex_runner.domain.errors import HostError, RunGoneError
from codex_runner.domain.event import Position
from codex_runner.domain.host import Completed, Ended, Lost, Output, Started
from codex_runner.transports.asked import answered, marked
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.remote.files import Fetch, list_files
from codex_runner.transports.remote.follow import FollowSession
from codex_runner.transports.remote.host_answer import SilentError, next_answer, read_exactly
from codex_runner.transports.remote.reconnect import Reconnecting
from codex_runner.transports.remote.sessions import Sessions
from codex_runner.transports.remote.upload import Upload
from codex_runner.transports.request import (
    NO_RUN,
    TICK,
    cancel_request,
    claim_request,
    discard_request,
    execute_request,
    follow_request,
    new_nonce,
    renew_request,
    start_request,
    stop_request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.host import Launch, Piece
    from codex_runner.domain.listing import Fetched, Listing
    from codex_runner.domain.run import StopReason
    from codex_runner.domain.secret import Secret
    from codex_runner.transports.carriers.carrier import Carrier
    from codex_runner.transports.remote.sessions import Request

_Key = tuple[str, int]

_STOP_PATIENCE = 15.0


class RemoteTransport:
    """Runs attempts on another host. `reconnect` bounds how long it tries to reconnect, in seconds."""

    def __init__(
        self,
        carrier: Carrier,
        *,
        reconnect: float = 600.0,
        tell: Callable[[str, str], None] = lambda _code, _message: None,
        claim: Claim | None = None,
        tick: float = TICK,
    ) -> None:
        """Connect nothing before the first call. `tell` gets each warning about the connection: a code, a sentence.

        The first start takes the claim, if there is one.
        """
        self._sessions = Sessions(carrier, claim)
        self._reconnecting = Reconnecting(self._sessions, reconnect, tell)
        self._tick = tick
        self._host, self._persist = carrier.host, self._reconnecting.persist
        # Sessions that `start` opened and no `follow` has taken yet; those in a `follow`; attempts to stop, and why.
        self._begun: dict[_Key, FollowSession] = {}
        self._followed: dict[_Key, FollowSession] = {}
        self._stopping: dict[_Key, StopReason] = {}
        self._followers: Counter[_Key] = Counter()
        self._run_id = NO_RUN

    def begin(self) -> None:
        """Start to connect, and return at once. Optional: the first call connects, too."""
        self._sessions.carrier.begin()

    def name_run(self, run_id: str | None) -> None:
        """See Transport.name_run."""
        self._run_id = run_id or NO_RUN

    @property
    def carrier(self) -> Carrier:
        """The way to the host."""
        return self._sessions.carrier

    @property
    def reachable(self) -> bool:
        """See Transport.reachable."""
        return self._reconnecting.connected

    @property
    def heard(self) -> float:
        """See Transport.heard. The host sends a heartbeat each second."""
        return max((session.heard for session in self._followed.values()), default=0.0)

    async def start(self, launch: Launch) -> Started:
        """See Transport.start. The same session then follows from the first byte: one round trip for both."""

        async def attempt() -> Started:
            nonce = new_nonce()
            request = partial(start_request, launch, nonce, "start", tick=self._tick)
            session = FollowSession(await self._sessions.open(request), nonce, 0, self._tick)
            try:
                answer = await session.answers()
            except BaseException:
                await self._sessions.release(session.session)
                raise
            self._sessions.held = True
            earlier = self._begun.pop((launch.run_id, launch.attempt), None)
            self._begun[launch.run_id, launch.attempt] = session
            if earlier is not None:
                await self._sessions.release(earlier.session)
            return Started(new=answer == "new")

        # Idempotent: a start that is sent twice joins the attempt of the first one.
        return await self._persist("starting", attempt)

    async def claim(self, run_id: str, dead: int | None = None) -> bool:
        """See Transport.claim."""

        async def attempt() -> bool:
            nonce = new_nonce()
            return await self._sessions.ask(claim_request(run_id, nonce, dead), nonce) != "none"

        self._sessions.held = await self._persist("claiming the run", attempt)
        return self._sessions.held

    async def renew(self) -> bool:
        """See Transport.renew. While a `follow` runs, its pings renew the claim; otherwise a free session does."""
        claim = self._sessions.claim
        if claim is None or not self._sessions.held or self._followed:
            return False
        nonce = new_nonce()
        # Other requests report a lost connection.
        with contextlib.suppress(DroppedError, HostError):
            request = renew_request(claim.run_id, nonce)
            return await self._sessions.ask(request, nonce, patience=2 * claim.renewal) == CANCELLED
        return False

    async def follow(self, run_id: str, attempt: int, position: Position) -> AsyncGenerator[Piece, None]:
        """See Transport.follow."""
        key = run_id, attempt
        self._followers[key] += 1
        over = False
        try:
            async with contextlib.aclosing(self._follow(key, position)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Ended | Lost):
                        # From here on, no new connection would repeat a stop request.
                        over = True
                        self._followers[key] -= 1
                        self._stopping.pop(key, None)
                    yield piece
        finally:
            self._followers[key] -= not over

    async def _follow(self, key: _Key, position: Position) -> AsyncGenerator[Piece, None]:
        dropped: DroppedError | None = None
        vain = 0
        outage = self._reconnecting.outage
        while True:
            follow = partial(self._follow_from, key, position)
            session = await self._persist("following", follow, dropped, whole=False)
            vain += 1
            try:
                async with (
                    contextlib.aclosing(self._pieces(key, session)) as pieces,
                    contextlib.aclosing(outage.settling(pieces, session)) as settled,
                ):
                    async for piece in settled:
                        vain = 0
                        if isinstance(piece, Output):
                            position = _advanced(position, piece)
                        else:
                            outage.settle()
                        yield piece
                        if isinstance(piece, Ended | Lost):
                            return
            except DroppedError as error:
                dropped = error
                dropped.heard, dropped.vain = session.heard, vain

    async def stop(self, run_id: str, attempt: int, reason: StopReason) -> None:
        """See Transport.stop. While a `follow` runs, this does not wait for a dead connection: the next one repeats it.

        Raises HostError if no `follow` runs and the host cannot be reached.
        """
        key = run_id, attempt
        session = self._followed.get(key)
        if self._followers[key]:
            self._stopping.setdefault(key, reason)
            if session is not None:
                with contextlib.suppress(DroppedError):
                    await session.stop(reason.value)
            return
        nonce = new_nonce()
        try:
            await self._sessions.ask(stop_request(run_id, attempt, reason, nonce), nonce, patience=_STOP_PATIENCE)
        except RunGoneError:
            pass
        except DroppedError as dropped:
            raise HostError(
                f"the runner could not send the stop request for {run_id} to the host {self._host}: {dropped}.",
                remedy="Check that host: the agent may still be running there, until orphan_timeout.",
            ) from None

    async def cancel(self, run_id: str) -> None:
        """See Transport.cancel."""

        async def attempt() -> None:
            nonce = new_nonce()
            await self._sessions.ask(cancel_request(run_id, nonce), nonce, patience=_STOP_PATIENCE)

        await self._persist("cancelling the run", attempt)

    async def execute(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Completed:
        """See Transport.execute. If the connection drops, the host ends the script, and the runner starts it again."""

        async def attempt() -> Completed:
            began, nonce = time.monotonic(), new_nonce()
            request = partial(
                execute_request, script, cwd or "", timeout, arguments, environment, nonce, "execute", self._run_id
            )
            try:
                code, output, _ = await self._run(request, nonce, timeout)
            except SilentError:
                # The carrier notices a dead connection much sooner, so the host's shell hangs: count the command as one
                # that does not end, and do not run it again.
                code, output = None, b""
            return Completed(code, output, time.monotonic() - began)

        return await self._persist("running a command", attempt)

    async def ask(
        self,
        script: str,
        *,
        cwd: str | None = None,
        timeout: float = 60.0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Completed:
        """See Transport.ask. If the connection drops, the runner starts the script again, as for `execute`."""

        async def attempt() -> Completed:
            began, nonce, mark = time.monotonic(), new_nonce(), new_nonce()
            text = marked(script, mark)
            sent = {"run_id": self._run_id, "sender": self._sessions.sender}
            request = execute_request(text, cwd or "", timeout, arguments, environment, nonce, "ask", **sent)
            code, output, complaint = await self._run(request, nonce, timeout)
            return answered(mark, code, output, complaint, time.monotonic() - began)

        return await self._persist("asking the host", attempt)

    async def _run(self, request: Request, nonce: str, timeout: float) -> tuple[int | None, bytes, bytes]:
        """Return a command's exit code (None if late), its output and, if it was kept apart, its stderr."""
        async with self._sessions.session(request) as session:
            answer = await next_answer(session, nonce, patience=timeout + 60)
            status, *sizes = answer.removeprefix("done ").split(" ")
            printed = [await read_exactly(session, int(size)) for size in sizes]
        return None if status == "late" else int(status), printed[0], b"".join(printed[1:])

    async def discard(self, run_id: str, *, keep_workspace: bool = False) -> None:
        """See Transport.discard."""

        async def attempt() -> None:
            nonce = new_nonce()
            request = discard_request(run_id, nonce, keep_workspace=keep_workspace)
            if (await self._sessions.ask(request, nonce)).endswith(CANCELLED):
                raise RunCancelledError

        await self._persist("cleaning up", attempt)

    async def list_files(self, root: str, below: Sequence[str]) -> Listing:
        """See Transport.list_files."""
        return await self._persist("looking for files", lambda: list_files(self._sessions, root, below))

    async def fetch_files(self, root: str, paths: Sequence[str], into: Path, *, limit: int, total: int) -> Fetched:
        """See Transport.fetch_files. If the connection drops, it continues at the byte that it had reached."""
        fetch = Fetch(root, paths, into, limit, total)
        while not await self._persist("fetching files", lambda: fetch.go_on(self._sessions)):
            pass
        return fetch.result

    async def upload(self, source: Path, run_id: str) -> str:
        """See Transport.upload. If the connection drops, it continues at the byte that it had reached."""
        upload = await asyncio.to_thread(Upload, source, run_id)
        return await self._persist("sending a file", lambda: upload.go_on(self._sessions))

    async def close(self) -> None:
        """See Transport.close."""
        await self._sessions.close()

    async def _follow_from(self, key: _Key, position: Position) -> FollowSession:
        """Return a session that follows from `position`: the one that started the attempt, if it is still open."""
        session = self._begun.pop(key, None)
        if session is not None:
            if position == Position():
                return session
            await self._sessions.release(session.session)
        nonce = new_nonce()
        request = follow_request(*key, position.stdout, position.stderr, nonce)
        session = FollowSession(await self._sessions.open(request), nonce, position.stdout, self._tick)
        try:
            await session.answers()
        except BaseException:
            await self._sessions.release(session.session)
            raise
        return session

    async def _pieces(self, key: _Key, session: FollowSession) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of one session. Then park it if the attempt has ended; otherwise release it."""
        self._followed[key] = session
        ended = False
        try:
            if key in self._stopping:
                await session.stop(self._stopping[key].value)
            async with contextlib.aclosing(session.pieces()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Ended | Lost):
                        # A stop request must no longer go to this session, which is about to close.
                        self._forget(key, session)
                    ended = isinstance(piece, Ended)
                    yield piece
        finally:
            self._forget(key, session)
            await self._leave(session, ended=ended)

    async def _leave(self, session: FollowSession, *, ended: bool) -> None:
        if ended:
            with contextlib.suppress(DroppedError):
                await session.take_leave()
                self._sessions.park(session.session)
                return
        await self._sessions.release(session.session)

    def _forget(self, key: _Key, session: FollowSession) -> None:
        if self._followed.get(key) is session:
            del self._followed[key]


def _advanced(position: Position, piece: Output) -> Position:
    end_ = piece.offset + len(piece.data)
    if piece.stream == "stdout":
        return dataclasses.replace(position, stdout=end_)
    return dataclasses.replace(position, stderr=end_)
