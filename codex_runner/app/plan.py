"""The plan of a run: what it would do, without doing it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from codex_runner.app.compose import looking_agent, transport_to
from codex_runner.app.gate_plan import planned_gate
from codex_runner.app.job_checks import detector, reply_schema
from codex_runner.domain.credential import Granted
from codex_runner.domain.run import new_run_id
from codex_runner.engine.config_secrets import secrets_of, without_secrets
from codex_runner.git.workspaces import look
from codex_runner.redaction.redactor import Redactor

if TYPE_CHECKING:
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.job import Job


async def plan(job: Job, invocation: Invocation) -> dict[str, Any]:
    """Return what a run of this job would do, and start nothing. It has no value of `codex.env`, and no secret."""
    environ = invocation.environ
    reply_schema(job, environ)
    detector(job)
    made = {}
    if job.workspace is not None:
        made = {"workspace": await look(job.workspace, environ)}
    transport, agent = transport_to(job.host, invocation), looking_agent(job, environ)
    try:
        prepared = await agent.prepare(job, transport, Granted(), lambda _: None)
        logged_in = await prepared.log_in(job, transport, Granted(), lambda _: None)
        gate = await planned_gate(job, transport, invocation)
    finally:
        await transport.close()
    shown = dataclasses.replace(
        job, codex=dataclasses.replace(without_secrets(job.codex), environment=job.codex.environment)
    )
    launch = prepared.launch(shown, new_run_id(job.name), 1)
    planned = {
        "job": job.name,
        **({"gate": gate} if gate else {}),
        "host": job.host,
        **made,
        "cwd": launch.cwd,
        "argv": list(launch.command),
        "environment": sorted(launch.environment),
        "config.toml": launch.config,
        "prompt": job.prompt,
        "timeout": launch.timeout,
        "checks": [{"name": check.name, "run": check.run} for check in job.checks],
        "artifacts": list(job.artifacts),
        **logged_in,
        **prepared.facts,
    }
    # A prompt or a check's command may hold a secret.
    redacted: dict[str, Any] = json.loads(Redactor(secrets_of(job.codex)).text(json.dumps(planned)))
    return redacted
