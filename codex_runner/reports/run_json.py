"""run.json: the run for programs. Its schema is a contract (docs/run.schema.json)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from codex_runner.domain.event import to_json
from codex_runner.reports import facts
from codex_runner.reports.outcome import failure_class, word
from codex_runner.reports.room import REPORT_BYTES, fitted
from codex_runner.text.dates import format_instant
from codex_runner.text.durations import plausible

if TYPE_CHECKING:
    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.event import Changed
    from codex_runner.domain.run import ProcessExit, Usage
    from codex_runner.domain.state import RunState

VERSION = 1

# The keys that programs branch on are always present and whole.
_FIXED = (
    *("version", "run_id", "job", "host", "started", "updated", "ended", "seconds", "result", "ending", "exit_code"),
    *("failure", "thread_id", "usage", "money", "turns", "commands", "failed_commands", "cut"),
)


def run_json(state: RunState, *, limit: int = REPORT_BYTES) -> bytes:
    """Return the document in at most `limit` bytes. Its key `cut` names the keys that were shortened."""
    return fitted(run_document(state), _written, limit, _FIXED)


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"


def run_document(state: RunState) -> dict[str, Any]:
    """Return the document. During the run, `result`, `exit_code`, `reason` and `ended` are None.

    Times are ISO 8601 in UTC, durations seconds, sizes bytes.
    """
    verdict = state.verdict
    return {
        "version": VERSION,
        "run_id": state.run_id,
        "job": state.job,
        "host": state.host,
        "started": format_instant(state.started),
        "updated": format_instant(state.updated),
        "ended": None if state.ended is None else format_instant(state.ended),
        "seconds": round(plausible(state.seconds), 3),
        "result": verdict.result if verdict else None,
        "ending": word(verdict),
        "exit_code": verdict.exit_code if verdict else None,
        "reason": verdict.reason if verdict else None,
        "remedy": (verdict.remedy or None) if verdict else None,
        "failure": failure_class(state),
        "codex_version": facts.codex_version(state) or None,
        "model": facts.model(state) or None,
        "commit": facts.commit(state) or None,
        "thread_id": state.thread_id,
        "reply": state.reply,
        "usage": usage_document(state.usage),
        "money": _money(state),
        "turns": state.turns,
        "commands": state.commands,
        "failed_commands": state.failed_commands,
        "attempts": [_attempt(attempt) for attempt in state.attempts],
        "checks": [_timed(check) for check in state.checks.values()],
        "guards": [_timed(guard) for guard in state.guards.values()],
        "warnings": [_without_kind(warning) for warning in state.warnings],
        "files": [{"path": path, "change": change} for path, change in state.files.items()],
        "changes": _changes(state.changes),
        "gate": None if state.gate is None else _timed(state.gate),
        "delivery": None if state.delivery is None else to_json(state.delivery),
        "artifacts": [_without_kind(artifact) for artifact in state.artifacts.values()],
        "workspace": _without_kind(state.workspace) | {"kept": state.workspace_kept} if state.workspace else None,
        "instructions": to_json(state.facts.get("instructions")),
        "proposal": to_json(state.facts.get("proposal")),
        "permissions": to_json(state.facts.get("permissions")),
        "facts": to_json(state.facts),
        "cut": [],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    ending = attempt.ending
    return {
        "number": attempt.number,
        "reason": attempt.reason,
        "started": format_instant(attempt.started),
        "ended": None if attempt.ended is None else format_instant(attempt.ended),
        "thread_id": attempt.thread_id,
        "usage": usage_document(attempt.usage),
        "ending": {"failure": ending.failure and str(ending.failure), "message": ending.message} if ending else None,
        "exit": _exit(attempt.exit),
        "checks": [_timed(check) for check in attempt.checks.values()],
    }


def _exit(exit_: ProcessExit | None) -> dict[str, Any] | None:
    if exit_ is None:
        return None
    return {
        "code": exit_.code,
        "signal": exit_.signal,
        "stopped": str(exit_.stopped),
        "swept": str(exit_.swept),
        "killed": exit_.killed,
    }


def _money(state: RunState) -> dict[str, str] | None:
    known = facts.money(state)
    return None if known is None else {"amount": str(known[0]), "currency": known[1]}


def usage_document(usage: Usage) -> dict[str, int]:
    """Return tokens by kind, for run.json and notifications."""
    return {
        "input": usage.input,
        "cached_input": usage.cached_input,
        "output": usage.output,
        "reasoning_output": usage.reasoning_output,
        "total": usage.total,
    }


def _changes(changes: Changed | None) -> dict[str, Any] | None:
    if changes is None:
        return None
    return {
        "paths": changes.paths,
        "lines": changes.lines,
        "diffstat": changes.diffstat,
        "findings": list(changes.findings),
        "newly_ignored": list(changes.newly_ignored),
        "repositories": list(changes.repositories),
    }


def _without_kind(event: Any) -> dict[str, Any]:
    return {key: value for key, value in to_json(event).items() if key != "kind"}


def _timed(event: Any) -> dict[str, Any]:
    return _without_kind(event) | {"seconds": round(plausible(event.seconds), 3)}
