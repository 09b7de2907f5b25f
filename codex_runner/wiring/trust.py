"""Refuses a credential to a pipeline that a stranger started: what the CI system says, read and handed to the rules."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Final

from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded
from codex_runner.domain.failure import Failure
from codex_runner.engine.trust import judge_trust, occasion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job

GUARD: Final = "trusted-trigger"
_LARGEST: Final = 32 << 20  # bytes; GitHub sends no event of more than 25 MB


def require_trust(job: Job, environ: Mapping[str, str], tell: Callable[[Event], None]) -> None:
    """Raise CredentialError where what started this pipeline must not use the job's credential.

    Outside a CI system there is nothing to judge, and `tell` gets nothing.
    """
    occasion = occasion_of(environ, read_event(environ.get("GITHUB_EVENT_PATH", "")))
    if occasion is None:
        return
    refusal = judge_trust(occasion, job.trust, job.name)
    if refusal is None:
        tell(Guarded(GUARD, True, str(occasion)))
        return
    tell(Guarded(GUARD, False, f"{refusal.message} {refusal.remedy}", failure=Failure.CREDENTIAL.value))
    raise CredentialError(f"This pipeline gets no credential. {refusal.message}", remedy=refusal.remedy)


def read_event(path: str) -> Mapping[str, object] | None:
    """Return GitHub's event; None where there is none that can be read. What is in it may be a stranger's words."""
    try:
        # A pipe would never end, and opening one without a writer would wait for it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(_LARGEST + 1)
        event = json.loads(data) if len(data) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
