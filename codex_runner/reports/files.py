"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

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
