"""What a path in the configuration means."""

from __future__ import annotations

from pathlib import Path

from codex_runner.domain.errors import ConfigurationError


def below(root: Path, path: str) -> Path:
    """Resolve a path of the configuration: `~` is the home folder, a relative path starts at the file's folder.

    Raises ConfigurationError if it begins with the home of an unknown user.
    """
    try:
        return Path(root, Path(path).expanduser())
    except RuntimeError:
        raise ConfigurationError(
            f"{path!r}: the home folder of this user cannot be found.", remedy="Write an absolute path."
        ) from None
