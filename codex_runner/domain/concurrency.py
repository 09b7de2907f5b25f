"""One run at a time: a group of jobs that exclude one another, and what the second one does."""

from __future__ import annotations

from enum import StrEnum

from codex_runner.dataclass import dataclass


class LockPolicy(StrEnum):
    """What a run does that finds its group taken."""

    SKIP = "skip"
    WAIT = "wait"
    CANCEL_RUNNING = "cancel-running"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """A job's group, on one machine and for one user. `timeout` (seconds) bounds every wait for the group."""

    group: str
    policy: LockPolicy = LockPolicy.SKIP
    timeout: float = 3600.0
