"""The holder of a lock: it writes itself into the lock's file, for messages and for cancelling it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A run and its process. `born` is the process's start time as the system reports it, since pids are reused.

    `since` is when the run requested the lock, in seconds since the epoch.
    """

    run_id: str
    pid: int
    born: str
    since: float

    def __str__(self) -> str:
        """Return the holder as messages name it."""
        return f"run {self.run_id} (pid {self.pid}, since {format_date(self.since)})"

    def terminate(self, birth: Callable[[int], str | None]) -> None:
        """Send SIGTERM if the pid is still the holder's process. The run then ends its agent and writes its reports.

        `birth` returns a process's start time, or None if there is no such process.
        """
        if self.pid > 1 and birth(self.pid) == self.born:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, signal.SIGTERM)


def write(descriptor: int, holder: LockHolder) -> None:
    """Write the holder into the lock's file. Only the holder calls this."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(dataclasses.asdict(holder)).encode() + b"\n", 0)


def clear(descriptor: int) -> None:
    """Remove the holder from the lock's file."""
    os.ftruncate(descriptor, 0)


def read(descriptor: int) -> LockHolder | None:
    """Return the holder of the lock, or None if it is not written yet. A dead holder may still be written there."""
    try:
        data = json.loads(os.pread(descriptor, _LARGEST, 0))
        return LockHolder(str(data["run_id"]), int(data["pid"]), str(data["born"]), float(data["since"]))
    except (ValueError, KeyError, TypeError):
        return None
