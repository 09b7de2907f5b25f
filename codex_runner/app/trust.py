"""Refuses a credential to a pipeline that a stranger started: passes the CI system's facts to the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.ci_systems import Pipeline
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded
from codex_runner.domain.failure import Failure
from codex_runner.engine.trust import judge_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job

GUARD: Final = "trusted-trigger"


def require_trust(job: Job, environ: Mapping[str, str], tell: Callable[[Event], None]) -> None:
    """Raise CredentialError if what started this pipeline must not use the job's credential.

    Outside a CI system there is nothing to judge, and `tell` gets nothing.
    """
    occasion = Pipeline(environ).occasion()
    if occasion is None:
        return
    refusal = judge_trust(occasion, job.trust, job.name)
    if refusal is None:
        tell(Guarded(GUARD, True, str(occasion)))
        return
    tell(Guarded(GUARD, False, f"{refusal.message} {refusal.remedy}", failure=Failure.CREDENTIAL.value))
    raise CredentialError(f"This pipeline gets no credential. {refusal.message}", remedy=refusal.remedy)
