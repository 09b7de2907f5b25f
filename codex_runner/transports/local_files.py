"""Files of this machine, by the script that serves those of other hosts: the same refusals, bounds and proofs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from codex_runner.domain.errors import HostError
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.carriers.here import HereCarrier
from codex_runner.transports.remote.files import Fetch, list_files
from codex_runner.transports.remote.sessions import Sessions
from codex_runner.transports.remote.upload import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.files import Fetched, Listing


class LocalFiles:
    """Lists, fetches and uploads files on this machine. `environ` is what the script gets."""

    def __init__(self, environ: Mapping[str, str], claim: Claim | None) -> None:
        """Starts nothing. All requests are made under the claim, if there is one."""
        self._environ, self._claim = environ, claim

    async def list(self, root: str, below: Sequence[str]) -> Listing:
        """See Transport.list_files."""
        async with self._sessions() as sessions:
            return await list_files(sessions, root, below)

    async def fetch(self, root: str, paths: Sequence[str], into: Path, *, limit: int, total: int) -> Fetched:
        """See Transport.fetch_files."""
        fetch = Fetch(root, paths, into, limit, total)
        async with self._sessions() as sessions:
            while not await fetch.go_on(sessions):
                pass
        return fetch.result

    async def upload(self, source: Path, run_id: str) -> str:
        """See Transport.upload."""
        upload = await asyncio.to_thread(Upload, source, run_id)
        async with self._sessions() as sessions:
            return await upload.go_on(sessions)

    @contextlib.asynccontextmanager
    async def _sessions(self) -> AsyncIterator[Sessions]:
        sessions = Sessions(HereCarrier(self._environ), self._claim)
        try:
            yield sessions
        except DroppedError as dropped:
            raise HostError(f"this machine: {dropped}.") from None
        finally:
            await sessions.close()
