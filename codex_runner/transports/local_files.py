"""File transfer on this machine, by the script that serves other hosts: the same refusals, limits and checksums."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.errors import HostError
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.carriers.here import HereCarrier
from codex_runner.transports.remote.files import Fetch, list_files
from codex_runner.transports.remote.sessions import Sessions
from codex_runner.transports.remote.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.listing import Fetched, Listing

T = TypeVar("T")

# No connection drops here, but another runner that uploads the same file may take over its part, and damage it.
_TRIES = 3


class LocalFiles:
    """Lists, fetches and uploads files on this machine. `environ` is what the script gets."""

    def __init__(self, environ: Mapping[str, str], claim: Claim | None) -> None:
        """Start nothing. All requests are made under the claim, if there is one."""
        self._environ, self._claim = environ, claim
        # Of two uploads of one file at once, the second would take over the first one's part, and damage it.
        self._uploading = asyncio.Lock()

    async def list(self, root: str, below: Sequence[str]) -> Listing:
        """See Transport.list_files."""
        return await self._persist(lambda sessions: list_files(sessions, root, below))

    async def fetch(self, root: str, paths: Sequence[str], into: Path, *, limit: int, total: int) -> Fetched:
        """See Transport.fetch_files."""
        fetch = Fetch(root, paths, into, limit, total)
        while not await self._persist(fetch.go_on):
            pass
        return fetch.result

    async def upload(self, source: Path, run_id: str) -> str:
        """See Transport.upload."""
        upload = await asyncio.to_thread(Upload, source, run_id)
        async with self._uploading:
            return await self._persist(upload.go_on)

    async def _persist(self, work: Callable[[Sessions], Awaitable[T]]) -> T:
        """Do `work` over new sessions, and again if a session ends too early. Raises HostError after three tries."""
        left = _TRIES
        while True:
            left -= 1
            sessions = Sessions(HereCarrier(self._environ), self._claim)
            try:
                return await work(sessions)
            except DroppedError as dropped:
                if not left:
                    raise HostError(f"this machine: {dropped}.") from None
            finally:
                await sessions.close()
