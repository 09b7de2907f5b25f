"""The look at codex ahead of the rest of a run: codex answers while this process loads the rest.

It gets no credential, so it may come before the run is on record and before the job has one. But it starts the codex
that the configuration names: if the pipeline is not trusted, or works on a proposal, that is judged first.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from codex_runner.app.imports import places
from codex_runner.ci_systems import Pipeline
from codex_runner.codex.bundled import bundled_codex
from codex_runner.codex.question import question, script
from codex_runner.domain.secret_names import PROXIES, without_secrets
from codex_runner.engine.trust import judge_trust
from codex_runner.transports.ahead import AskedAhead

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.job import Job


def look_ahead(job: Job, output: Path, invocation: Invocation) -> AskedAhead | None:
    """Begin to look at codex. `output` is the folder of the runs. The caller must hand it to a transport, or close it.

    Returns None if the look must wait: for another host, a workspace, another run, the gate, or a judgement. Also
    returns None if it cannot start: then the run says why.
    """
    environ = invocation.environ
    if not job.host.is_here or job.workspace is not None or job.concurrency is not None:
        return None
    if job.gate is not None:  # it starts no codex if the run has nothing to do
        return None
    pipeline = Pipeline(environ)
    if pipeline.proposal() is not None or judge_trust(pipeline.occasion(), job.trust, job.name) is not None:
        return None
    asked = question(
        job,
        job.credential.kind if job.credential else None,
        fallback=bundled_codex(job.host),
        places=places(job, output.resolve(), environ),
    )
    if asked.environment or not job.cwd.startswith("/"):
        return None
    with contextlib.suppress(OSError, ValueError):
        around = without_secrets(environ, invocation.hidden_from_host(job), PROXIES)
        return AskedAhead(script(), asked.arguments, around)
    return None
