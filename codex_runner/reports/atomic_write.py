"""Atomic file writes: temporary file, fsync, rename."""

from __future__ import annotations

import errno
import os
import secrets
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_ANOTHER_PLACE = "Name another path, free space there, or grant write access."


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> Path:
    """Write `data` to `path` atomically: temporary file, fsync, rename. Returns the path.

    The default `mode` comes from the umask: reports are redacted, and other users read them (a CI system's collector, a
    web server). Raises OSError if it cannot be written, and leaves no file then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


class Pinned:
    """A file whose folder is opened once, so that a swapped link cannot redirect later writes."""

    def __init__(self, path: Path) -> None:
        """Open the folder, and make it if it is missing. Raises OSError if that fails."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write(self, data: bytes) -> Path:
        """Write like `write_whole`. Raises OSError, and writes nothing, if the path now leads to another folder."""
        if not os.path.samestat(self._path.parent.stat(), os.fstat(self._folder)):
            raise OSError(errno.ESTALE, "its folder was replaced after the run began")
        name, temporary = self._path.name, f".{secrets.token_hex(16)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666, dir_fd=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            os.unlink(temporary, dir_fd=self._folder)
            raise
        return self._path


def clear_place(path: Path, option: str) -> None:
    """Check that a report can be written to `path` later: make its folder, and remove an earlier run's report.

    A run that dies before it reports must not leave yesterday's green there. Raises ConfigurationError, which names
    `option`, if it cannot be written or is not a regular file: a rename would replace a device.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{option} {path} is not a regular file.", remedy=_ANOTHER_PLACE)
        write_whole(path, b"").unlink()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ConfigurationError(
            f"{option} {path} cannot be written: {error.strerror}{where}.", remedy=_ANOTHER_PLACE
        ) from None
