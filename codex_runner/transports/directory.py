"""The run directory on this machine: one class names its files and reads what the supervisor wrote."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from codex_runner.dataclass import dataclass
from codex_runner.domain.host import Lost
from codex_runner.domain.run import ProcessExit, StopReason, Sweep
from codex_runner.transports.processes import birth, here

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOLDER_WORDS = 5
_LEASE = 20  # characters of the lease's line, as in the host's own script
_LONGEST = 1 << 16  # bytes
_SHOWN = 200  # characters
_NUMBER = re.compile(r"[0-9]{1,19}")


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's state: `$XDG_STATE_HOME/codex-runner`."""
    state = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME') or '/'}/.local/state"
    return Path(state) / "codex-runner"


def runs_root(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's run directories: `$XDG_STATE_HOME/codex-runner/runs`."""
    return state_folder(environ) / "runs"


@dataclass(frozen=True, slots=True)
class AttemptDirectory:
    """`runs/<run-id>/attempts/<n>/`, which the supervisor made and writes."""

    path: Path

    @property
    def lease(self) -> Path:
        """The file of the run's counter (heartbeat), which only a live runner advances."""
        return self.path.parent.parent / "lease"

    def ping(self) -> None:
        """Renew the lease: increment its counter. Two runners at once may lose an increment, but never stop it.

        Written in place: an existing file needs no more room on the disk. Also touches the run's folder, whose age
        shows that the run is in use.
        """
        try:
            count = int(read_plain(self.lease) or 0)
        except (FileNotFoundError, ValueError):
            count = 0
        with contextlib.suppress(OSError):  # the directory was removed, or the disk is full: `follow` reports that
            write_in_place(self.lease, f"{count + 1:<{_LEASE}}\n")
            os.utime(self.lease.parent)

    def exit(self) -> ProcessExit | Lost | None:
        """Return how codex ended. Returns None if the supervisor has not written it yet, Lost if it is damaged."""
        try:
            text = read_plain(self.path / "exit")
        except FileNotFoundError:
            return None
        return parse_exit(text)

    def lost(self) -> str | None:
        """Return why the supervisor will never write `exit`. Returns None while the supervisor is alive."""
        try:
            words = read_plain(self.path / "pid").split()
        except FileNotFoundError:
            return "the run directory was removed, and the supervisor ends the agent"
        if len(words) != _HOLDER_WORDS:
            return "the supervisor's pid file is damaged"
        machine, started, pid, born, node = words
        if not _NUMBER.fullmatch(pid):
            return "the supervisor's pid file is damaged"
        this_machine, this_boot, this_node = here()
        if machine != this_machine or (started != this_boot and node != this_node):
            return f"the run is on another host, {node}, which shares this home directory"
        if started != this_boot:
            return "the host was rebooted"
        return None if birth(int(pid)) == born else "the supervisor was killed"


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file for reading, without blocking. Raises OSError for anything else, such as an agent's FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path) -> str:
    """Return the text of a small file. Returns "" if it cannot be read. Raises FileNotFoundError."""
    try:
        with open_plain(path) as file:
            return file.read(_LONGEST).decode("ascii", "replace")
    except FileNotFoundError:
        raise
    except OSError:
        return ""


def write_in_place(path: Path, text: str) -> None:
    """Overwrite a small file in place, with a text of constant length. Raises OSError.

    So other processes never see an empty file, and an existing one needs no more room on the disk.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


def parse_exit(text: str) -> ProcessExit | Lost:
    """Parse the `exit` file: one key and value a line. Blanks follow what was written on a full disk.

    Returns Lost if a key is missing, or if a supervisor never writes such a value: a damaged file is no success.
    """
    try:
        values = dict(line.split(" ", 1) for line in text.splitlines() if line.strip())
        exit_ = ProcessExit(
            code=_number(values["code"], optional=True),
            signal=_number(values["signal"], optional=True),
            stopped=StopReason(values["stopped"].rstrip()),
            stdout_size=_number(values["bytes"]) or 0,
            stdout_cksum=_number(values["cksum"]) or 0,
            stderr_size=_number(values["stderr_bytes"]) or 0,
            swept=Sweep(values["swept"].rstrip()),
            killed=_number(values["killed"]) or 0,
        )
    except (KeyError, ValueError):
        exit_ = None
    if exit_ is None or (exit_.code is not None and exit_.signal is not None):
        return Lost(f"the supervisor's `exit` file cannot be read: {text[:_SHOWN]!r}")
    return exit_


def _number(text: str, *, optional: bool = False) -> int | None:
    text = text.rstrip()
    if optional and text == "-":
        return None
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)
