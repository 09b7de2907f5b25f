"""The pool of a host's sessions, begun through its carrier: each serves one request after the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from codex_runner.transports.remote.greeting import greeted
from codex_runner.transports.remote.host_answer import PATIENCE, challenge, next_answer
from codex_runner.transports.remote.session import Session
from codex_runner.transports.request import bootstrap, new_nonce, under

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    # A function of the host's challenge, which such a request repeats, and the sender.
    Request = bytes | Callable[[str, str], bytes]

    from codex_runner.domain.claim import Claim
    from codex_runner.transports.carriers.carrier import Carrier

# Seconds. The host's side waits twice as long for the next request of a session.
_PARKED = 10.0


class Sessions:
    """Opens sessions on a host, and keeps those that are free for the next request.

    `held` says that the claim has been taken. `answered` says that a shell of the host has answered once.
    """

    def __init__(self, carrier: Carrier, claim: Claim | None = None) -> None:
        """Connect nothing before the first session. All requests are made under the claim, if there is one."""
        self.carrier, self.claim = carrier, claim
        self.held = False
        self.answered = False
        self._all: set[Session] = set()
        # Idle sessions, which can serve another request, and since when they are idle.
        self._parked: list[tuple[Session, float]] = []
        self._bootstrap, self._script = bootstrap(greets=True)
        self._word = new_nonce()[:16]
        self.lost = 0
        """The number of requests or answers that were lost with their connection."""

    @property
    def sender(self) -> str:
        """This runner's random word, a dot, and the number of connections that it has lost."""
        return f"{self._word}.{self.lost}"

    @contextlib.asynccontextmanager
    async def session(self, request: Request) -> AsyncIterator[Session]:
        """Send a request over a session, whose whole answer the caller reads. Parks it, or releases it on an error.

        See `open`.
        """
        session = await self.open(request)
        try:
            yield session
        except BaseException:
            await self.release(session)
            raise
        self.park(session)

    async def open(self, request: Request) -> Session:
        """Send a request over a session, which the caller must park or release; its stdin stays open.

        A request that repeats the host's challenge costs a round trip more if it is the first of its session. Raises
        the errors of `Carrier.arguments`.
        """
        session = await self._unpark()
        if session is None:
            session = await Session.open(self.carrier, self._bootstrap)
            self._all.add(session)
            send = self._send_first(session, request)
        else:
            send = self._send(session, request)
        try:
            await send
        except BaseException:
            await self.release(session)
            raise
        return session

    async def _send(self, session: Session, request: Request) -> None:
        if not isinstance(request, bytes):
            request = request(await challenge(session), self.sender)
        await session.send(under(self.claim, request))

    async def _send_first(self, session: Session, request: Request) -> None:
        """Send the script and a request, and check meanwhile that a shell reads the script.

        The very first request waits for that check. Another program might run the request's lines as commands, and
        these hold secrets.
        """
        known = self.answered
        at_once = under(self.claim, request) if known and isinstance(request, bytes) else None
        sending = asyncio.ensure_future(session.send(self._script + (at_once or b"")))
        try:
            await greeted(session, self._script, known=known)
            self.answered = True
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if at_once is None:
            await self._send(session, request)

    def park(self, session: Session) -> None:
        """Keep a session whose request has been answered for the next request. Opening one costs about 40 ms."""
        if session in self._all:
            self._parked.append((session, time.monotonic()))

    async def _unpark(self) -> Session | None:
        while self._parked:
            session, since = self._parked.pop()
            if session.running and time.monotonic() - since < _PARKED:
                return session
            await self.release(session)
        return None

    async def release(self, session: Session) -> None:
        """Close a session. Idempotent."""
        await session.close()
        self._all.discard(session)

    async def ask(self, request: bytes, nonce: str, *, patience: float = PATIENCE) -> str:
        """Send a request, and return its answer, a line. Waits `patience` seconds at most."""
        async with self.session(request) as session:
            return await next_answer(session, nonce, patience=patience)

    async def close(self) -> None:
        """Close the sessions, then the carrier's connection. Nothing of an idle session is left on the host.

        If it is cancelled, it does not wait for the host, and still leaves no process on this machine.
        """
        try:
            await asyncio.gather(*(session.finish() for session, _ in self._parked))
        finally:
            self._parked.clear()
            try:
                await asyncio.gather(*(self.release(session) for session in self._all))
            finally:
                await self.carrier.close()
