"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

import errno
import os
import secrets
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_ANOTHER_PLACE = "Name another place, make room there, or give the right to write."


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> Path:
    """Write `data` to `path` by a temporary file, fsync and rename; return the path.

    The mode, where none is given, is what the umask says: reports are redacted, and are read by other users than the
    one who ran the job (a CI system's collector, a web server). OSError where it cannot be written; nothing is left
    then.
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
    """A file in a folder that stays the one that it was when this was made, whatever leads to it later. Close it."""

    def __init__(self, path: Path) -> None:
        """Open the folder, and make it if it is missing. OSError where that fails."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write(self, data: bytes) -> Path:
        """Do what `write_whole` does. OSError, and nothing is written, if the path leads to another folder by now."""
        if not os.path.samestat(self._path.parent.stat(), os.fstat(self._folder)):
            raise OSError(errno.ESTALE, "its folder was replaced since the run began")
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
    """Make sure that a report can be written to `path` later: make its folder, and remove what an earlier run left.

    A run that dies before it reports must not leave yesterday's green there. ConfigurationError, which names `option`,
    where it cannot be written, or where something stands there that is no file: a rename would replace a device.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{option} {path}: this is no file.", remedy=_ANOTHER_PLACE)
        write_whole(path, b"").unlink()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ConfigurationError(
            f"{option} {path}: it cannot be written: {error.strerror}{where}.", remedy=_ANOTHER_PLACE
        ) from None
