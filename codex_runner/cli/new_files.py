"""Files that `codex-runner init` writes: a file that is there already is replaced only with --force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def differing(files: Mapping[str, str], root: Path) -> list[str]:
    """Return those of the files, by their path from `root`, that exist and differ from what is to be written."""
    return [name for name, text in files.items() if (root / name).exists() and not holds(root / name, text)]


def holds(path: Path, text: str) -> bool:
    """Whether the file has this text."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def write(path: Path, text: str, *, force: bool, parents: bool = False) -> None:
    """Write a file. Raises UsageError if it exists and `force` is not set, or if it cannot be written."""
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(is_there(path), remedy="Give --force to replace it, or -c for another file.") from None
    except OSError as error:
        raise unwritable(path, error) from None


def append(path: Path, text: str) -> None:
    """Append text to a file, in one write. Raises UsageError if that fails."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise unwritable(path, error) from None


def is_there(*paths: Path) -> str:
    """Return the sentence that these files exist."""
    return f"{', '.join(map(str, paths))} {'exists' if len(paths) == 1 else 'exist'} already."


def unwritable(path: Path, error: OSError) -> UsageError:
    """Return the error of a file that cannot be written."""
    return UsageError(f"{path} cannot be written: {error.strerror or error}.", remedy="Name a writable place with -c.")
