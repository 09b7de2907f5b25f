"""Where a job's changes go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codex_runner.delivery.remote import Remote
    from codex_runner.domain.delivery import Forge, ForgeKind


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a job's changes go, all names resolved.

    `forge` is None for a plain remote. `repository` is its name for reports. `base` None means the default branch.
    `runs` is the folder of this machine's run directories. `watched` are globs of the files that matter to the job:
    without any, those that the change touches.
    """

    kind: ForgeKind
    remote: Remote
    forge: Forge | None
    repository: str
    base: str | None
    branch: str
    workflow: str
    environ: Mapping[str, str]
    runs: Path
    watched: tuple[str, ...] = ()
