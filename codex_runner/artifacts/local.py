"""The artifacts of a job that ran on this machine."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.artifacts.collector import collect
from codex_runner.artifacts.standard import standard_artifacts
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codex_runner.domain.event import ArtifactKept
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState
    from codex_runner.redaction.redactor import Redactor

_TOLD = 20


class LocalArtifacts:
    """Copies the files that match the job's globs into the run's folder, redacted. Implements ports.Artifacts."""

    def __init__(
        self,
        folder: RunFolder,
        redactor: Redactor,
        *,
        hide: Callable[[bytes], bytes] | None = None,
        skip: Sequence[Path] = (),
    ) -> None:
        """Redact what is kept with `redactor`, then with `hide`.

        The folders in `skip` are not searched.
        """
        self._folder, self._redactor, self._hide, self._skip = folder, redactor, hide, skip

    async def collect(
        self, job: Job, state: RunState, patch: bytes, rollout: bytes
    ) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        """See Artifacts.collect. Skips run folders. Raises ConfigurationError if the folder cannot be written."""
        try:
            return await self._collect(job, state, patch, rollout)
        except OSError as error:
            raise ConfigurationError(
                f"{self._folder.artifacts} cannot be written: {error.strerror}.",
                remedy="Free space or grant write access there, or choose another folder with `-o`.",
            ) from error

    async def _collect(
        self, job: Job, state: RunState, patch: bytes, rollout: bytes
    ) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        kept, left_out = await self._named(job) if job.artifacts else ((), ())
        taken = {artifact.path: artifact for artifact in kept}
        standard = await asyncio.to_thread(
            standard_artifacts,
            dataclasses.replace(state, artifacts=taken),
            self._folder,
            patch,
            self._redact,
            rollout=rollout,
            structured=job.output_schema is not None,
        )
        return [*kept, *standard], left_out

    def _runs(self) -> Iterator[Path]:
        """Yield the folders of the runs beside this one: else each run would keep all artifacts of earlier ones."""
        return (events.parent for events in self._folder.path.parent.glob(f"*/{self._folder.events.name}"))

    def _redact(self, data: bytes) -> bytes:
        redacted = self._redactor(data)
        return self._hide(redacted) if self._hide else redacted

    async def _named(self, job: Job) -> tuple[Sequence[ArtifactKept], Sequence[str]]:
        if not job.host.is_here:
            return (), (f"left out all artifacts: they are on {job.host}, but only those of this machine are kept",)

        result = await asyncio.to_thread(
            collect,
            Path(job.cwd),
            job.artifacts,
            self._folder.artifacts,
            redact=self._redact,
            found=self._redactor.found,
            skip=(self._folder.path, *self._runs(), *self._skip),
        )
        nothing = (f"the glob {glob} matched nothing" for glob in result.unmatched)
        return result.kept, (*told([str(each) for each in result.left_out]), *nothing)


def told(sentences: Sequence[str]) -> list[str]:
    """Return the first sentences about files left out, and a count: an agent can make a hundred thousand files."""
    more = len(sentences) - _TOLD
    return [*sentences[:_TOLD], *([f"left out {more:,} more"] if more > 0 else [])]
