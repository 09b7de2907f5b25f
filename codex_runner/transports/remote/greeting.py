"""Handshake: checks that a host's shell runs our script, and that its stdout and stderr are separate streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from codex_runner.domain.errors import HostError
from codex_runner.text.durations import format_duration
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.remote.host_answer import ended_unanswered, note_challenge
from codex_runner.transports.request import ANSWERS, ERRORS

if TYPE_CHECKING:
    from codex_runner.transports.remote.session import Session

# Seconds. The script has 58 KB, and a start-up file may be slow.
PATIENCE = 25.0

_ERRORS_PATIENCE = 10.0  # it was sent before

_CHUNK = 65_536
_KEPT = 256  # bytes kept of earlier output: longer than each text that is searched for
_ECHOED = 64  # characters of the script: enough to recognize an echo of it


async def greeted(session: Session, script: bytes, *, known: bool) -> None:
    """Wait until the shell of a new session has read the script.

    Raises DroppedError if the connection breaks, HostError if the shell will never run a request. A `known` host has
    answered before: its silence means that the connection is dead.
    """
    carrier = session.carrier
    try:
        async with asyncio.timeout(PATIENCE):
            await _answers(session, script, known=known)
    except TimeoutError:
        if known:
            raise DroppedError(f"nothing came for {format_duration(PATIENCE)}") from None
        raise HostError(
            f"the host {carrier.host} does not run the request: its shell reads the script, and has printed nothing "
            f"for {format_duration(PATIENCE)}.",
            remedy=carrier.remedies.silent,
        ) from None
    try:
        async with asyncio.timeout(_ERRORS_PATIENCE):
            await _errors(session)
    except TimeoutError:
        raise HostError(
            f"the host {carrier.host} sends stderr elsewhere (`exec 2>`): codex's error messages would be lost.",
            remedy=carrier.remedies.streams,
        ) from None


async def _answers(session: Session, script: bytes, *, known: bool) -> None:
    """Wait for the word on stdout. A host that is not known sends only a challenge behind it: read all at once.

    A program that echoes the script sends no complete line, since the script has no newline.
    """
    host, remedies = session.carrier.host, session.carrier.remedies
    seen = b""
    while True:
        more = await _line(session.stdout) if known else await session.stdout.read(_CHUNK)
        if more is None:
            continue
        if not more or (known and not more.endswith(b"\n")):
            raise await ended_unanswered(session)
        seen = seen[-_KEPT:] + more
        if f"{ERRORS}\n".encode() in seen:
            raise HostError(
                f"the host {host} joins stderr and stdout (`exec 2>&1`): codex's events and errors would be mixed.",
                remedy=remedies.streams,
            )
        if script[:_ECHOED] in seen or f"{ANSWERS}\r\n".encode() in seen:
            raise HostError(f"the host {host} does not run the request: it echoes its input.", remedy=remedies.silent)
        _, answers, rest = seen.partition(f"{ANSWERS}\n".encode())
        if answers:
            if rest and not rest.endswith(b"\n"):
                rest += await _line(session.stdout) or b""
            for line in rest.splitlines():
                note_challenge(session, line)
            return


async def _errors(session: Session) -> None:
    while (line := await _line(session.stderr)) is None or ERRORS.encode() not in line:
        if line is not None and not line.endswith(b"\n"):
            raise await ended_unanswered(session)


async def _line(stream: asyncio.StreamReader) -> bytes | None:
    """Return the next line. Returns None if it is too long to be the script's."""
    try:
        return await stream.readline()
    except ValueError:
        return None
