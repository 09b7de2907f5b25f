"""Reads the answers of a session, with a timeout. Skips the output of start-up files."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from codex_runner.text.durations import format_duration
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.request import CHALLENGE, TornRequestError, read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from codex_runner.transports.remote.session import Session

T = TypeVar("T")

# Seconds.
PATIENCE = 60.0


class SilentError(DroppedError):
    """Timeout of an answer, while the carrier still holds the connection for alive."""


async def next_answer(session: Session, nonce: str, *, patience: float | None = PATIENCE) -> str:
    """Return the next answer to the request with this nonce. Raises the host's refusal, or DroppedError.

    `patience` is in seconds, None for no limit. It starts again with each line: the host prints one a second while it
    reads a request.
    """
    while True:
        line = await _next_line(session, patience)
        # A banner may lack its newline: the answer then follows it on the same line.
        mark = line.find(f"{nonce} ".encode())
        if mark >= 0:
            try:
                return read_answer(line[mark:], nonce)
            except TornRequestError:  # only the direction to the host was cut: the answer came through
                raise DroppedError("the connection ended within the request") from None


async def challenge(session: Session) -> str:
    """Return the challenge that the session's next request must repeat. Waits for the host's first word.

    Raises DroppedError.
    """
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
    """Store the challenge for the session's next request, if this line of the host has one."""
    _, mark, rest = line.partition(CHALLENGE)
    if mark:
        session.challenge = rest.decode("ascii", "replace").strip()


async def read_exactly(session: Session, size: int, *, patience: float | None = PATIENCE) -> bytes:
    """Read `size` bytes. Raises DroppedError if the connection ends earlier."""
    try:
        return await patiently(session.stdout.readexactly(size), patience)
    except asyncio.IncompleteReadError:
        raise DroppedError("the connection ended within the answer") from None


async def patiently(reading: Awaitable[T], patience: float | None) -> T:
    """Wait for a read, `patience` seconds at most. Raises SilentError after that."""
    try:
        async with asyncio.timeout(patience):
            return await reading
    except TimeoutError:
        raise SilentError(f"nothing came for {format_duration(patience or 0.0)}") from None


async def ended_unanswered(session: Session) -> DroppedError:
    """Return the carrier's error for a session that ended without an answer."""
    complaint = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):  # another process of the carrier may hold stderr open
            complaint = await session.stderr.read()
    return session.carrier.failure(await session.exit_code(), complaint)
