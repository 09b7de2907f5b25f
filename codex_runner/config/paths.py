"""What a path in the configuration means."""

from __future__ import annotations

from pathlib import Path


def below(root: Path, path: str) -> Path:
    """Resolve a path of the configuration: `~` is the home folder, anything relative starts at the file's folder."""
    return Path(root, Path(path).expanduser())
