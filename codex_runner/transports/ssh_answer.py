"""What a session answers: found behind whatever a start-up file prints, and waited for no longer than it may take."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from codex_runner.text.durations import format_duration
from codex_runner.transports.request import CHALLENGE, TornRequestError, read_answer
from codex_runner.transports.ssh_session import DroppedError, SilentError, UnansweredError, last_line

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from codex_runner.transports.ssh_session import Session

T = TypeVar("T")

# Seconds.
PATIENCE = 60.0


async def next_answer(session: Session, nonce: str, *, patience: float | None = PATIENCE) -> str:
    """Return the next answer of the request with this nonce; raise what the host refuses with, or DroppedError.

    `patience` is in seconds, None for ever. It begins anew with each line: the host prints one a second while a request
    is on its way.
    """
    while True:
        line = await _next_line(session, patience)
        # A banner may lack its newline, and our line then stands behind it.
        mark = line.find(f"{nonce} ".encode())
        if mark >= 0:
            try:
                return read_answer(line[mark:], nonce)
            except TornRequestError:  # only our side of the line was cut: the answer came through
                raise DroppedError("the connection ended within the request") from None


async def challenge(session: Session) -> str:
    """Return what the session's next request is to repeat; wait for the host's first word, or raise DroppedError."""
    while not session.challenge:
        await _next_line(session, PATIENCE)
    return session.challenge


async def _next_line(session: Session, patience: float | None) -> bytes:
    try:
        line = await patiently(session.stdout.readline(), patience)
    except ValueError:  # a banner without an end
        raise DroppedError("the host did not answer") from None
    if not line.endswith(b"\n"):
        raise await ended_unanswered(session)
    note_challenge(session, line)
    return line


def note_challenge(session: Session, line: bytes) -> None:
    """Keep what the session's next request is to repeat, if this line of the host says it."""
    _, mark, rest = line.partition(CHALLENGE)
    if mark:
        session.challenge = rest.decode("ascii", "replace").strip()


async def read_exactly(session: Session, size: int, *, patience: float | None = PATIENCE) -> bytes:
    """Return so many bytes; DroppedError where they do not come."""
    try:
        return await patiently(session.stdout.readexactly(size), patience)
    except asyncio.IncompleteReadError:
        raise DroppedError("the connection ended within the answer") from None


async def patiently(reading: Awaitable[T], patience: float | None) -> T:
    """Wait for so many seconds; SilentError if that is not enough."""
    try:
        async with asyncio.timeout(patience):
            return await reading
    except TimeoutError:
        raise SilentError(f"nothing came for {format_duration(patience or 0.0)}") from None


async def ended_unanswered(session: Session) -> DroppedError:
    """Say what a session that ended without an answer means: 255 is ssh's own word for a connection that broke."""
    complaint = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):  # a master may hold it open
            complaint = await session.stderr.read()
    code = await session.exit_code()
    said = last_line(complaint)
    if code in (None, 255) or code < 0:
        return DroppedError(said or "the connection ended before the answer")
    return UnansweredError(f"its shell ended with exit code {code} before it read the request" + (said and f": {said}"))
