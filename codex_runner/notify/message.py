"""The notification of a run that has ended: a versioned document, complete before it gets a receiver's shape."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from codex_runner.reports.outcome import failure_class, reason, remedy, word
from codex_runner.reports.run_json import usage_document
from codex_runner.text.clean import clean
from codex_runner.text.dates import format_instant
from codex_runner.text.durations import plausible
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.state import RunState

VERSION = 1
TYPE = "run.ended"
_ROWS = 50
_LINE = 1000
_REPLY = 4000  # characters; a notification points to a run, it does not replace its report


def document(state: RunState, *, redact: Callable[[str], str], link: str = "") -> dict[str, Any]:
    """Return the notification of a run that has its verdict. docs/notifications.md explains each key.

    Every text in it has gone through `redact`, is clean and bounded. `link` is the run's address for a person.
    """
    verdict = state.verdict
    data = {
        "run_id": state.run_id,
        "job": state.job,
        "host": state.host,
        "link": link or None,
        "started": format_instant(state.started),
        "ended": format_instant(state.ended or state.updated),
        "seconds": round(plausible(state.seconds), 3),
        "result": verdict.result if verdict else None,
        "ending": word(verdict),
        "exit_code": verdict.exit_code if verdict else None,
        "failure": failure_class(state),
        "reason": reason(verdict),
        "remedy": remedy(verdict),
        "attempts": len(state.attempts),
        "turns": state.turns,
        "commands": state.commands,
        "failed_commands": state.failed_commands,
        "files": len(state.files),
        "usage": usage_document(state.usage),
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "exit_code": check.exit_code,
                "seconds": round(plausible(check.seconds), 3),
            }
            for check in islice(state.checks.values(), _ROWS)
        ],
        "warnings": [{"code": each.code, "message": each.message} for each in state.warnings[:_ROWS]],
        "delivery": _delivery(state),
        "reply": state.reply,
    }
    told: dict[str, Any] = _fit(data, redact)
    return {"version": VERSION, "type": TYPE, "timestamp": told["ended"], "data": told}


def _delivery(state: RunState) -> dict[str, Any] | None:
    if (delivery := state.delivery) is None:
        return None
    return {"state": delivery.state.value, "link": delivery.link or None, "reason": delivery.reason}


def _fit(value: Any, redact: Callable[[str], str], limit: int = _LINE) -> Any:
    if isinstance(value, str):
        # Redacted twice: cutting could halve a secret, and cleaning could bring one to light.
        text = redact(clean(redact(value))).strip()
        return one_line(text, limit) if limit == _LINE else shortened(text, limit)
    if isinstance(value, dict):
        return {key: _fit(part, redact, _REPLY if key == "reply" else _LINE) for key, part in value.items()}
    if isinstance(value, list):
        return [_fit(part, redact) for part in value]
    return value


def shortened(text: str, limit: int) -> str:
    """Return `text`, or its beginning if it has more than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
