"""The facts of a run's first record: the job as planned, enough to attach, and nothing secret."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.event import build, to_json
from codex_runner.domain.job import PROOF, Job, Sandbox
from codex_runner.engine.check_names import MASKED, masked
from codex_runner.engine.checks import names
from codex_runner.engine.config_secrets import without_secrets
from codex_runner.engine.credential_rules import planned_guards
from codex_runner.redaction.leak_search import SEARCH, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def planned(
    job: Job, recorder: Recorder, configuration: str = "", provenance: Mapping[str, Any] = _NONE
) -> dict[str, Any]:
    """Return the facts of the run's first record: the job, its checks and guards; nothing secret.

    `configuration` is a digest of the other settings that a runner needs to attach: its login, its notifications.
    `provenance` is for an audit: see RunContext.
    """
    shown = dataclasses.replace(job, codex=without_secrets(job.codex))
    said = json.dumps(to_json(shown)).encode()
    recorder.redactor.pass_over(said)
    facts = {
        "job": to_json(shown),
        "checks": names(job),
        MASKED: masked(job, recorder.redactor),
        "guards": [*planned_guards(job.credential), *_proof(job), "process sweep", SEARCH],
        "plain": sorted(plain(job.codex.environment, said, recorder.redactor)),
        "secrets": sorted(recorder.redactor.names),
        "configuration": configuration,
        "provenance": {name: to_json(value) for name, value in provenance.items()},
    }
    redacted: dict[str, Any] = json.loads(recorder.redactor.text(json.dumps(facts)))
    return redacted


def _proof(job: Job) -> tuple[str, ...]:
    return () if job.sandbox is Sandbox.DANGER_FULL_ACCESS else (PROOF,)


def planned_job(state: RunState) -> Job:
    """Return the job from a run's first record, without its secrets."""
    job: Job = build(Job, state.facts["job"])
    return job
