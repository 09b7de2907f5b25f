"""Temporary files and folders on this machine that no agent of this user can reach.

An agent in codex's sandbox may write to TMPDIR and /tmp, and mode 0700 does not stop a process of the same user. So the
runner keeps secrets, outputs and files that it reads again in `.scratch`, below the folder of the run directories.
codex's permissions deny that folder to every agent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRATCH: Final = ".scratch"

_ROOM = 4096  # bytes
_KEPT = 86400.0  # seconds: older entries were left by a runner that was killed


def scratch_script() -> str:
    """Return the shell function `find_scratch`, which finds the folder for a script's temporary files on any host."""
    return shell_script("codex_runner.shell", "scratch.sh")


def scratch_file(runs: Path) -> IO[bytes]:
    """Open a temporary file without a name. `runs` is the folder of the run directories.

    Raises OSError if the file cannot be made, or the disk has no room.
    """
    file = tempfile.TemporaryFile(dir=_folder(runs))  # noqa: SIM115 - the caller closes it
    try:
        # A program that prints to a full disk may lose its output without an error: check for room first.
        os.pwrite(file.fileno(), b" " * _ROOM, 0)
        os.truncate(file.fileno(), 0)
    except OSError:
        file.close()
        raise
    return file


@contextlib.contextmanager
def scratch_folder(runs: Path) -> Iterator[Path]:
    """Make a temporary folder that lasts as long as the context. Also removes old ones. Raises OSError."""
    parent = _folder(runs)
    if parent is not None:
        _sweep(parent)
    with tempfile.TemporaryDirectory(prefix="codex-runner-", dir=parent) as made:
        yield Path(made)


def _folder(runs: Path) -> Path | None:
    """Return the folder for temporary files. Returns None (TMPDIR) only if this user can have no run directories."""
    folder = runs / SCRATCH
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return folder
    except OSError:
        there = next(parent for parent in (runs, *runs.parents) if os.path.lexists(parent))
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            return None
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sweep(parent: Path) -> None:
    with contextlib.suppress(OSError):
        for left in parent.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - left.lstat().st_mtime < _KEPT:
                    continue
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
