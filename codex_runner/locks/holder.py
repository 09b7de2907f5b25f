"""Who holds a lock: written into the lock's file by the holder, for messages and for cancelling it."""

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
    """A run and its process. `born` is the process's start time as the system tells it: a pid alone is used again.

    `since` is when the run asked for the lock, in seconds since the epoch.
    """

    run_id: str
    pid: int
    born: str
    since: float

    def __str__(self) -> str:
        """Say it in a message."""
        return f"run {self.run_id} (pid {self.pid}, since {format_date(self.since)})"

    def terminate(self, birth: Callable[[int], str | None]) -> None:
        """Send SIGTERM, if the process is still the one that was noted: the run then ends its agent and its reports.

        `birth` tells a process's start time, None where there is no such process.
        """
        if self.pid > 1 and birth(self.pid) == self.born:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, signal.SIGTERM)


def write(descriptor: int, holder: LockHolder) -> None:
    """Make the lock's file say who holds it. Only the holder calls this."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(dataclasses.asdict(holder)).encode() + b"\n", 0)


def clear(descriptor: int) -> None:
    """Make it say that nobody does."""
    os.ftruncate(descriptor, 0)


def read(descriptor: int) -> LockHolder | None:
    """Return who holds the lock; None where that has not been written yet. A dead holder's words may still stand."""
    try:
        data = json.loads(os.pread(descriptor, _LARGEST, 0))
        return LockHolder(str(data["run_id"]), int(data["pid"]), str(data["born"]), float(data["since"]))
    except (ValueError, KeyError, TypeError):
        return None
