"""Uploads a file into a run's directory on the host: it arrives whole, with a matching checksum, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from codex_runner.domain import cksum
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.remote.host_answer import next_answer
from codex_runner.transports.request import new_nonce, upload_request

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.transports.remote.session import Session
    from codex_runner.transports.remote.sessions import Sessions

_CHUNK = 1 << 16
_SILENCE = 30.0

# The host reads the whole file once more, for its checksum.
_SLOWEST_DISK = 5_000_000.0  # bytes a second


class Upload:
    """A resumable upload: after a dropped connection, it continues at the byte that the host has reached."""

    def __init__(self, source: Path, run_id: str) -> None:
        """Read the file once, for its size and checksum. The caller must not change it before it has arrived."""
        self._source, self._run_id = source, run_id
        self._size, state = 0, cksum.START
        with source.open("rb") as file:
            while data := file.read(_CHUNK):
                self._size += len(data)
                state = cksum.advance(state, data)
        self._checksum = cksum.finish(state, self._size)

    async def go_on(self, sessions: Sessions) -> str:
        """Send the missing bytes. Returns the file's path on the host. Raises DroppedError if the connection breaks."""
        nonce = new_nonce()
        request = partial(upload_request, self._run_id, self._size, self._checksum, nonce)
        async with sessions.session(request) as session:
            have = int((await next_answer(session, nonce, patience=_SILENCE)).removeprefix("have "))
            patience = _SILENCE + self._size / _SLOWEST_DISK
            answering = asyncio.ensure_future(next_answer(session, nonce, patience=patience))
            try:
                # The host may report an error before all bytes are sent, and then reads no further.
                with contextlib.suppress(DroppedError):
                    await self._send(session, have, answering)
                word, _, place = (await answering).partition(" ")
            except TimeoutError:
                raise DroppedError("the host stopped reading the file") from None
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        if word != "whole":
            raise DroppedError("the uploaded file's checksum does not match")
        return place

    async def _send(self, session: Session, offset: int, answering: asyncio.Future[str]) -> None:
        with self._source.open("rb") as file:
            file.seek(offset)
            while not answering.done() and (data := file.read(_CHUNK)):
                async with asyncio.timeout(_SILENCE):
                    await session.send(data)
