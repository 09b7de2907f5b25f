"""What a job's gate would say, for `--dry-run`: as far as that costs nothing, runs nothing and needs no token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.green_runs import FolderGreenRuns
from codex_runner.domain.gate import GateDecision, UnknownGreenRunError
from codex_runner.domain.run import new_run_id
from codex_runner.engine.config_secrets import secrets_of
from codex_runner.engine.gate_files import begin_with, compared
from codex_runner.git.base import UnknownBaseError
from codex_runner.redaction.redactor import Redactor
from codex_runner.transports.directory import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery_spec import GateSpec
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport


async def planned_gate(job: Job, transport: Transport, invocation: Invocation) -> list[str]:
    """Return a sentence for each question of the gate. Returns none if the job has no gate."""
    spec = job.gate
    if spec is None:
        return []
    if spec.ignored:
        return ["go: --no-gate"]
    said = list(_asked_later(job, spec))
    if spec.unless_changed:
        said.append(await _files(job, spec, transport, invocation))
    return said


def _asked_later(job: Job, spec: GateSpec) -> Iterator[str]:
    if spec.command is not None:
        yield f"the run will execute `{spec.command}`"
    if job.delivery is not None:
        yield f'the run will ask the forge for a held or closed branch, with `if_open = "{spec.if_open}"`'


async def _files(job: Job, spec: GateSpec, transport: Transport, invocation: Invocation) -> str:
    if job.workspace is not None:
        return "the run will compare the files of `unless_changed`, once it has its workspace"
    if job.delivery is not None:
        return "the run will compare the files of `unless_changed` with the record at the forge"
    redactor = Redactor([*secrets_of(job.codex), *invocation.secrets()])
    green_runs = FolderGreenRuns(state_folder(invocation.environ) / "gates")
    try:
        found = await begin_with(job, spec, new_run_id(job.name), transport, redactor.text)
        last = green_runs.read(green_runs.key(job.name, *found.place))
    except (UnknownBaseError, UnknownGreenRunError) as error:
        return f"{GateDecision.GO}: it cannot tell if a file has changed: {error.message}"
    is_same, why = compared(last, found.green, spec.unless_changed)
    return f"{GateDecision.SKIP if is_same else GateDecision.GO}: {why}"
