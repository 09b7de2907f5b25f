"""`codex-runner deliver`: deliver the changes of a run that is over, later or again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from codex_runner.app.delivery import JobDelivery, noted_of
from codex_runner.app.folders import read_state
from codex_runner.app.history import PLANNED
from codex_runner.delivery import text
from codex_runner.domain.delivery import DeliveryRecord
from codex_runner.domain.errors import DeliveryError, UsageError
from codex_runner.domain.event import to_json
from codex_runner.domain.exit_code import ExitCode
from codex_runner.engine.handover import cleaned
from codex_runner.engine.planned import planned_job
from codex_runner.engine.verdict import judge_run
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.atomic_write import write_whole

if TYPE_CHECKING:
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery import Delivered
    from codex_runner.domain.event import Event
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState

# A run whose agent was green may end with another code: its delivery failed, or a signal came before its end.
_NEVER = frozenset((int(ExitCode.FORBIDDEN_CHANGE), int(ExitCode.INTERNAL)))


async def deliver_run(folder: RunFolder, invocation: Invocation) -> tuple[Delivered, bool]:
    """Deliver a run's changes, and write delivery.json into its folder. Idempotent.

    Returns the result, and whether the job asks for exit code 13 with it.

    Raises DeliveryError if the changes are not on this machine, or the forge refuses them; UsageError if there is
    nothing to deliver.
    """
    state, delivery = _due(folder, invocation)
    redactor = Redactor(invocation.secrets())

    def tell(event: Event) -> None:
        message = getattr(event, "message", "")
        if message:
            invocation.complain(redactor.text(message))

    is_change = state.ready is None or bool(state.ready.tree)
    result = await delivery.deliver(state, is_change=is_change, tell=tell, learn=redactor.learn)
    result = cleaned(result, redactor.text)
    _write(folder, to_json(result), redactor)
    return result, delivery.spec.fails(result.state)


def planned_delivery(folder: RunFolder, invocation: Invocation) -> dict[str, Any]:
    """Return what a delivery of this run would push and open, and write that into delivery.json. Asks no forge."""
    state, delivery = _due(folder, invocation)
    kept = delivery.store.read(folder.run_id)
    spec, words = delivery.spec, delivery.words(state)
    record = DeliveryRecord(words.workflow, spec.base or "", folder.run_id, "", kept.change.base, kept.change.tree)
    pull = text.pull_text(spec, words, noted_of(state).place.kind, record)
    plan: dict[str, Any] = {
        "state": PLANNED,
        "branch": text.branch(spec, words),
        "base_commit": kept.change.base,
        "tree": kept.change.tree,
        "paths": list(kept.change.paths),
        "commit_message": text.commit_message(spec, words),
        "title": pull.title,
        "body": pull.body,
        "draft": pull.draft,
    }
    redactor = Redactor(invocation.secrets())
    return _write(folder, plan, redactor)


def _due(folder: RunFolder, invocation: Invocation) -> tuple[RunState, JobDelivery]:
    state = read_state(folder)
    if not state.run_id or state.verdict is None:
        raise UsageError(f"{folder.run_id} is not over.", remedy=f"Run `codex-runner attach {folder.run_id}`.")
    job = planned_job(state)
    if job.delivery is None:
        raise UsageError(f"{folder.run_id} has no delivery.", remedy="Set the job's `delivery`, and run it again.")
    green = judge_run(job, state).exit_code is ExitCode.SUCCEEDED
    if not green or state.verdict.exit_code in _NEVER or state.verdict.result == "skipped":
        raise DeliveryError(
            f"{folder.run_id} is not green ({state.verdict.reason}), and only a green run is delivered.",
            remedy="Run the job again, or apply artifacts/changes.patch by hand.",
        )
    return state, JobDelivery(job, job.delivery, invocation, folder.run_id)


def _write(folder: RunFolder, document: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    data = redactor.text(json.dumps(document, indent=2, ensure_ascii=True))
    write_whole(folder.delivery, data.encode() + b"\n")
    shown: dict[str, Any] = json.loads(data)
    return shown
