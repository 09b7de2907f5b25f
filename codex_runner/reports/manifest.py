"""manifest.json: the list of a run's artifacts with their checksums."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codex_runner.domain.event import ArtifactKept


def manifest(kept: Iterable[ArtifactKept]) -> bytes:
    """Return manifest.json: path (relative to the run's folder), size in bytes and sha256 of every artifact."""
    files = [{"path": each.path, "size": each.size, "sha256": each.sha256} for each in kept]
    return json.dumps({"version": 1, "files": files}, indent=2, ensure_ascii=True).encode() + b"\n"
