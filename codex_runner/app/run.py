"""A run is a call: from a job to the state of an ended run, without effects on the process.

It sets no signal handler, writes no stream and reads no environment: the invocation has all that a run may know, and
a caller ends it by `stopping`. So one process may have many runs at once, each with its own secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.aftermath import after
from codex_runner.app.audience import targets_of
from codex_runner.app.begin import begin
from codex_runner.app.compose import Assignment, compose
from codex_runner.engine.config_secrets import secrets_of
from codex_runner.sinks.jsonl import FileJournal

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.app.invocation import Invocation
    from codex_runner.app.way import Way
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState
    from codex_runner.engine.stopping import Stopping


async def run_job(
    job: Job, output_dir: Path, invocation: Invocation, *, stopping: Stopping
) -> tuple[RunFolder, RunState]:
    """Run a job to its end, in a new folder below `output_dir`. Raises as `begin` does, before anything is made."""
    folder, way = begin(job, output_dir, invocation, stopping)
    return folder, await run(job, folder, invocation, stopping=stopping, way=way)


async def run(
    job: Job, folder: RunFolder, invocation: Invocation, *, stopping: Stopping, way: Way | None = None
) -> RunState:
    """Run a job to its end in this new folder. `way` is given if a caller has begun to connect to the host."""
    if way is None:
        from codex_runner.app.way import Way

        way = Way(job, folder.run_id, invocation)
    try:
        journal = FileJournal.create(folder)
    except BaseException:
        await way.transport.close()
        raise
    return await carry_out(Assignment(job, folder, journal, way, secrets_of(job.codex)), invocation, stopping)


async def carry_out(assignment: Assignment, invocation: Invocation, stopping: Stopping) -> RunState:
    """Continue a run from its state, to its end."""
    folder, transport = assignment.folder, assignment.way.transport
    # Read it now: the agent may overwrite the file that holds an address.
    audience = targets_of(invocation.notify, invocation.environ)
    told = assignment.state.verdict if folder.is_reported else None
    try:
        runner, redactor = compose(assignment, invocation, stopping)
        state = await runner.run()
    finally:
        await transport.close()
    is_told = told is not None and state.verdict == told
    await after(state, folder, redactor, invocation, audience=audience, is_told=is_told)
    return state
