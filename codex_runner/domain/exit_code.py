"""Exit codes: a contract (docs/exit-codes.md), since pipelines branch on them."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Self


@unique
class ExitCode(IntEnum):
    """Every code with which `codex-runner` exits, and what it means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Attach the sentence that docs, run.json and JUnit print."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    SUCCEEDED = 0, "succeeded, or skipped by the lock's policy or the job's gate"
    JOB_FAILED = 1, "the job failed: a check, the schema, the gate's command, or the agent"
    USAGE = 2, "wrong use of the command line"
    CONFIGURATION = 3, "wrong configuration, or no codex"
    CREDENTIAL = 4, "credential refused or missing"
    SECRET_STORE = 5, "secret store unreachable"
    HOST = 6, "host unreachable or lost"
    MODEL_SERVICE = 7, "model service failed"
    QUOTA = 8, "usage limit or quota reached"
    TIMEOUT = 9, "out of time"
    STALLED = 10, "stalled: silent for too long"
    BUDGET = 11, "budget spent"
    FORBIDDEN_CHANGE = 12, "a leak, or a change that the path rules forbid"
    DELIVERY = 13, "delivery failed"
    LOCKED = 14, "another run holds the lock, or another runner the run's claim"
    INTERNAL = 70, "a bug in codex-runner itself"
    HUNG_UP = 129, "hung up (SIGHUP)"
    INTERRUPTED = 130, "interrupted (SIGINT)"
    TERMINATED = 143, "terminated (SIGTERM)"
