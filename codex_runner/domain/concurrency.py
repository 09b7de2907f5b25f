"""Concurrency groups: jobs whose runs exclude one another, and the policy of a run that finds the lock held."""

from __future__ import annotations

from enum import StrEnum

from codex_runner.dataclass import dataclass


class LockPolicy(StrEnum):
    """What a run does if another run holds its group's lock."""

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
