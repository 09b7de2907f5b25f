"""The artifacts of a job on another host: fetch them, then keep them like those of this machine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.artifacts.collector import CollectLimits
from codex_runner.artifacts.globs import Glob, GlobState, enter, met, parse
from codex_runner.artifacts.local import told
from codex_runner.domain.errors import FolderGoneError
from codex_runner.domain.host import LOCAL_HOST
from codex_runner.domain.listing import Listing
from codex_runner.shell.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codex_runner.artifacts.local import LocalArtifacts
    from codex_runner.domain.event import ArtifactKept
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport


class RemoteArtifacts:
    """Implements ports.Artifacts over the Transport port. Fetched files are in a private folder until they are kept."""

    def __init__(self, transport: Transport, local: LocalArtifacts, runs: Path) -> None:
        """`local` keeps the fetched files: redacted, bounded, hashed. `runs` holds this machine's run directories."""
        self._transport, self._local, self._runs = transport, local, runs

    async def collect(
        self, job: Job, state: RunState, patch: bytes, rollout: bytes
    ) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        """See Artifacts.collect."""
        if not job.artifacts:
            return await self._local.collect(job, state, patch, rollout)
        limits = CollectLimits()
        try:
            listing = await self._transport.list_files(job.cwd, ["."])
        except FolderGoneError:
            # The agent, or another process, has removed the folder. As on this machine, no glob then matches anything.
            listing = Listing()
        wanted = matching(listing.files, job.artifacts)
        links = [f"left out {path}: a link or a special file" for path in matching(listing.others, job.artifacts)]
        partial = [] if listing.complete else ["the host could not list all files: some may be missing"]
        with scratch_folder(self._runs) as scratch:
            fetched = await self._transport.fetch_files(
                job.cwd, wanted[: limits.count], scratch, limit=limits.file, total=limits.total
            )
            here = dataclasses.replace(job, host=LOCAL_HOST, cwd=str(scratch))
            kept, left_out = await self._local.collect(here, state, patch, rollout)
        reasons = [f"left out {path}: {reason}" for path, reason in fetched.left_out.items()]
        more = [f"left out {len(wanted) - limits.count} more files"] if len(wanted) > limits.count else []
        return kept, [*left_out, *told([*reasons, *links]), *partial, *more]


def matching(paths: Sequence[str], globs: Sequence[str]) -> list[str]:
    """Return the paths that match a glob, in their order. A refused glob matches none; `LocalArtifacts` says why."""
    parsed = [glob for text in globs if isinstance(glob := parse(text), Glob)]
    start = frozenset(GlobState(glob, glob.names) for glob in parsed)
    found = []
    for path in paths:
        places = start
        for name in path.removeprefix("./").split("/"):
            places = enter(places, name)
        if met(places):
            found.append(path.removeprefix("./"))
    return found
