"""`codex-runner deliver`: deliver the changes of a run that is over, later or again.

The result is one more record of the run: events.jsonl first, then delivery.json and the reports, which can be rebuilt
from it. The run's own verdict stays what it was.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from codex_runner.app.delivery import JobDelivery, noted_of
from codex_runner.app.folders import read_state
from codex_runner.app.history import PLANNED, rebuild
from codex_runner.dataclass import dataclass
from codex_runner.delivery import text
from codex_runner.domain.delivery import DeliveryRecord
from codex_runner.domain.errors import ConfigurationError, DeliveryError, RunnerError, UsageError
from codex_runner.domain.event import DeliveryEnded, to_json
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.folder import PATCH
from codex_runner.domain.state import fold
from codex_runner.engine.handover import cleaned
from codex_runner.engine.planned import planned_job
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.verdict import judge_run
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.atomic_write import write_whole
from codex_runner.sinks.jsonl import FileJournal

if TYPE_CHECKING:
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery import Delivered
    from codex_runner.domain.event import Event
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState

# A run whose agent was green may end with another code: its delivery failed, or a signal came before its end.
_NEVER = frozenset((int(ExitCode.FORBIDDEN_CHANGE), int(ExitCode.INTERNAL)))


@dataclass(frozen=True, slots=True)
class LateDelivery:
    """What `codex-runner deliver` did. `fails`: the job asks for exit code 13 with it.

    `error` is why the delivery failed, or why its result could not be recorded; None if all went well.
    """

    result: Delivered
    fails: bool = False
    error: RunnerError | None = None


async def deliver_run(folder: RunFolder, invocation: Invocation) -> LateDelivery:
    """Deliver a run's changes, record the result, and write the run's reports anew. Idempotent.

    A try that fails does not replace a result that has nothing left to deliver.

    Raises DeliveryError if the changes are not on this machine; UsageError if there is nothing to deliver; LockedError
    if another process writes the run's folder; ConfigurationError if this one cannot. Nothing was delivered then.
    """
    delivery = _due(folder, read_state(folder), invocation)
    records, journal = FileJournal.reopen(folder)
    try:
        redactor = Redactor(invocation.secrets())
        recorder = Recorder(fold(records), journal, invocation.sinks, redactor)
        state = recorder.state
        late = await _deliver(state, delivery, invocation, redactor)
        if late.error is None or state.delivery is None or not state.delivery.is_done:
            try:
                _record(folder, recorder, late.result)
            except RunnerError as error:
                if late.error is None:
                    late = dataclasses.replace(late, error=error)
    finally:
        journal.close()
    try:
        rebuild(folder, guards=invocation.guards, redactor=redactor)
    except RunnerError as error:
        if late.error is None:
            late = dataclasses.replace(late, error=error)
    return late


async def _deliver(state: RunState, delivery: JobDelivery, invocation: Invocation, redactor: Redactor) -> LateDelivery:
    def tell(event: Event) -> None:
        message = getattr(event, "message", "")
        if message:
            invocation.complain(redactor.text(message))

    error = None
    is_change = state.ready is None or bool(state.ready.tree)
    try:
        result = await delivery.deliver(state, is_change=is_change, tell=tell, learn=redactor.learn)
    except RunnerError as failure:
        error = failure
        result = delivery.undelivered(state, failure.message, failure)
    result = cleaned(dataclasses.replace(result, later=True), redactor.text)
    return LateDelivery(result, error is None and delivery.spec.fails(result.state), error)


def _record(folder: RunFolder, recorder: Recorder, result: Delivered) -> None:
    """Record the result, and no more: what is late must not stretch the run's timeline.

    `codex-runner runs` reads it from the end of events.jsonl.
    """
    recorder.emit(DeliveryEnded(result))
    _write(folder, to_json(result), recorder.redactor)


def planned_delivery(folder: RunFolder, invocation: Invocation) -> dict[str, Any]:
    """Return what a delivery of this run would push and open, and write that into delivery.json. Asks no forge."""
    state = read_state(folder)
    delivery = _due(folder, state, invocation)
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


def _due(folder: RunFolder, state: RunState, invocation: Invocation) -> JobDelivery:
    if not state.run_id or state.verdict is None:
        raise UsageError(f"{folder.run_id} is not over.", remedy=f"Run `codex-runner attach {folder.run_id}`.")
    job = planned_job(state)
    if job.delivery is None:
        raise UsageError(f"{folder.run_id} has no delivery.", remedy="Set the job's `delivery`, and run it again.")
    green = judge_run(job, state).exit_code is ExitCode.SUCCEEDED
    if not green or state.verdict.exit_code in _NEVER or state.verdict.result == "skipped":
        raise DeliveryError(
            f"{folder.run_id} is not green ({state.verdict.reason}), and only a green run is delivered.",
            remedy=f"Run the job again{_or_by_hand(folder)}.",
        )
    if state.ready is not None and state.ready.refusal:
        raise DeliveryError(state.ready.refusal, remedy=state.ready.remedy)
    noted_of(state)
    delivery = JobDelivery(job, job.delivery, invocation, folder)
    if state.ready is None or state.ready.tree:
        delivery.store.read(folder.run_id)
    return delivery


def _or_by_hand(folder: RunFolder) -> str:
    """Return the other way out, "" for a run without a patch: one that ended before the agent, or changed nothing."""
    patch = folder.artifacts / PATCH
    return f", or apply {patch} by hand" if patch.is_file() else ""


def _write(folder: RunFolder, document: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    data = redactor.text(json.dumps(document, indent=2, ensure_ascii=True))
    try:
        write_whole(folder.delivery, data.encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"{folder.delivery} cannot be written: {error.strerror}.",
            remedy="Grant write access to the run's folder, and free space there.",
        ) from None
    shown: dict[str, Any] = json.loads(data)
    return shown
