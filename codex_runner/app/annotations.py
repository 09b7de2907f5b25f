"""The folder of the files that a check's output names, as the CI system's annotations need it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.ci_systems import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.job import Job


def path_prefix(job: Job, environ: Mapping[str, str]) -> str | None:
    """Return the path from the repository's top to the folder that the job's checks run in: `docs/`, or "" for the top.

    Returns None for a folder on another host: the run's own records have it, once git was asked there.
    """
    if job.workspace is not None:
        return _shown(Path(job.cwd))
    if not job.host.is_here:
        return None
    folder = Path(job.cwd).resolve()
    given = Pipeline(environ).checkout()
    tops = [each for each in (folder, *folder.parents) if (each / ".git").exists()]
    if given:  # a checkout without .git: from an archive, or in a container that does not see it
        tops.append(Path(given).resolve())
    top = next(iter(tops), folder)
    return _shown(folder.relative_to(top)) if folder.is_relative_to(top) else ""


def _shown(relative: Path) -> str:
    parts = [part for part in relative.parts if part != "."]
    return "".join(f"{part}/" for part in parts)
