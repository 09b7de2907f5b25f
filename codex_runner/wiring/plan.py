"""What a run would do, without doing it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from codex_runner.codex.agent import Codex
from codex_runner.domain.credential import Granted
from codex_runner.domain.run import new_run_id
from codex_runner.engine.config_secrets import secrets_of, without_secrets
from codex_runner.engine.redact import Redactor
from codex_runner.wiring.hosts import bundled_codex, transport_for
from codex_runner.wiring.proposal import proposal_at
from codex_runner.wiring.runs import detector, reply_schema
from codex_runner.workspaces.make import look

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.wiring.setting import Setting


async def plan(job: Job, setting: Setting) -> dict[str, Any]:
    """Say what a run of this job would do, and start nothing. No value of `codex.env` is in it, no secret setting."""
    environ = setting.environ

    reply_schema(job)
    detector(job)
    made = {}
    if job.workspace is not None:
        made = {"workspace": await look(job.workspace, environ)}
    transport = transport_for(
        job.host,
        environ,
        ssh_config=setting.ssh_config,
        hidden=setting.secret_names,
        given=setting.given_to(job.host),
    )
    agent = Codex(fallback=bundled_codex(job.host), proposal=proposal_at(environ))
    try:
        facts = await agent.prepare(job, transport, Granted(), lambda _: None)
    finally:
        await transport.close()
    shown = dataclasses.replace(
        job, codex=dataclasses.replace(without_secrets(job.codex), environment=job.codex.environment)
    )
    launch = agent.launch(shown, new_run_id(job.name), 1)
    planned = {
        "job": job.name,
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
        **facts,
    }
    # A prompt or a check's command may hold a secret.
    redacted: dict[str, Any] = json.loads(Redactor(secrets_of(job.codex)).text(json.dumps(planned)))
    return redacted
