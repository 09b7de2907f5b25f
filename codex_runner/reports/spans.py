"""A run as spans: the run, each attempt, each command and tool call of the agent, each check.

Names and attributes are OpenTelemetry's for CI/CD and for generative AI, if it has one; ours begin with
`codex_runner.`.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain import event as ev
from codex_runner.domain.exit_code import ExitCode
from codex_runner.reports import facts
from codex_runner.reports.outcome import Blame, blame, reason, word
from codex_runner.text.durations import plausible
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codex_runner.domain.state import RunState

Attribute = str | int | float | bool
_TIMED_OUT = frozenset({ExitCode.TIMEOUT, ExitCode.STALLED})
_CANCELLED = frozenset({ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED})
_NO_END = "end unknown"


@dataclass(slots=True)
class Span:
    """A span. Times are seconds since the epoch; `parent` is an index into the list, None for the run.

    `error` says what went wrong; empty if nothing did. `events` are (time, name, attributes).
    """

    name: str
    parent: int | None
    start: float
    end: float
    attributes: dict[str, Attribute]
    error: str = ""
    events: list[tuple[float, str, dict[str, Attribute]]] = field(default_factory=list)


def spans(state: RunState, records: Iterable[ev.Record], *, link: str = "") -> list[Span]:
    """Return the spans of a run, the run's own first, each after its parent. `link` is the address of its CI job."""
    reader = _Reader(state, link)
    for record in records:
        reader.read(record)
    reader.finish()
    for span in reader.spans:  # no negative durations if the clock was set back
        span.end = max(span.start, span.end)
    return reader.spans


class _Reader:
    def __init__(self, state: RunState, link: str) -> None:
        self.spans = [Span(f"RUN {_text(state.job)}", None, state.started, state.started, _of_run(state, link))]
        if state.verdict and state.verdict.exit_code:
            self.spans[0].error = _text(reason(state.verdict))
        self._now = state.started
        self._attempt: int | None = None
        self._items: dict[str, int] = {}
        self._checks: dict[str, int] = {}

    def read(self, record: ev.Record) -> None:
        self._now = max(self._now, record.time)
        event = record.event
        match event:
            case ev.AttemptStarted() if not event.attached:
                self._close_attempt(_NO_END)
                attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "codex"}
                self._attempt = self._open(
                    "invoke_agent codex",
                    0,
                    {
                        **attributes,
                        "codex_runner.attempt": event.number,
                        "codex_runner.reason": event.reason,
                        "gen_ai.conversation.id": event.thread_id,
                    },
                )
            case ev.ThreadStarted() if self._attempt is not None:
                self.spans[self._attempt].attributes["gen_ai.conversation.id"] = _text(event.thread_id)
            case ev.AttemptEnded():
                self._end_attempt(event)
            case ev.ItemStarted() | ev.ItemUpdated() | ev.ItemCompleted():
                self._read_item(event)
            case ev.CheckStarted():
                self._checks[event.name] = self._open(
                    f"check {event.name}", 0, {"cicd.pipeline.task.name": event.name, "process.command_line": event.run}
                )
            case ev.CheckEnded():
                self._end_check(event)
            case _:
                self._read_note(event)

    def finish(self) -> None:
        """Close what is open: the run goes on, or its runner was killed."""
        for at in self._checks.values():
            self._close(at, _NO_END)
        self._close_attempt(_NO_END)
        self._close(0)

    def _open(self, name: str, parent: int, attributes: Mapping[str, Attribute | None]) -> int:
        self.spans.append(Span(_text(name, 200), parent, self._now, self._now, _clean(attributes)))
        return len(self.spans) - 1

    def _close(self, at: int, error: str = "", attributes: Mapping[str, Attribute | None] | None = None) -> None:
        span = self.spans[at]
        span.end, span.error = self._now, _text(error) or span.error
        span.attributes |= _clean(attributes or {})

    def _note(self, name: str, attributes: Mapping[str, Attribute | None]) -> None:
        self.spans[0].events.append((self._now, name, _clean(attributes)))

    def _read_note(self, event: ev.Event) -> None:
        """Add an event without a duration to the run's span."""
        match event:
            case ev.Warned():
                self._note("warning", {"codex_runner.warning": event.code, "message": event.message})
            case ev.Guarded() if not event.passed:
                word = "" if event.judged else f"{ev.NOT_JUDGED}: "
                self._note("guard", {"codex_runner.guard": event.name, "message": f"{word}{event.message}"})
            case ev.Retrying():
                self._note("retry", {"codex_runner.attempt": event.number, "message": event.reason})
            case ev.StopRequested():
                self._note("stop", {"codex_runner.stop": event.reason, "message": event.message})
            case _:
                pass

    def _close_attempt(self, error: str) -> None:
        for at in self._items.values():
            self._close(at, _NO_END)
        self._items.clear()
        if self._attempt is not None:
            self._close(self._attempt, error)
            self._attempt = None

    def _end_attempt(self, event: ev.AttemptEnded) -> None:
        if self._attempt is None:
            return
        exit_, failure = event.exit, event.ending.failure
        self.spans[self._attempt].attributes |= _clean(
            {
                "process.exit.code": exit_.code if exit_ else None,
                "codex_runner.signal": exit_.signal if exit_ else None,
                "error.type": str(failure) if failure else None,
            }
        )
        self._close_attempt((event.ending.message or str(failure)) if failure else "")

    def _read_item(self, event: ev.ItemStarted | ev.ItemUpdated | ev.ItemCompleted) -> None:
        item = event.item
        if not isinstance(item, ev.Command | ev.ToolCall):
            return
        tool = "shell" if isinstance(item, ev.Command) else f"{item.server}.{item.tool}"
        at = self._items.get(item.id)
        if at is None:
            attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
            parent = 0 if self._attempt is None else self._attempt
            at = self._items[item.id] = self._open(f"execute_tool {tool}", parent, attributes)
        if not isinstance(event, ev.ItemCompleted):
            return
        del self._items[item.id]
        if isinstance(item, ev.Command):
            good = item.exit_code == 0 and item.status == "completed"
            error = "" if good else f"exit {item.exit_code}" if item.exit_code else item.status
            self._close(at, error, {"process.command_line": item.command, "process.exit.code": item.exit_code})
        else:
            self._close(at, "" if not item.error and item.status == "completed" else "the tool failed")

    def _end_check(self, event: ev.CheckEnded) -> None:
        at = self._checks.pop(event.name, None)
        if at is None:
            at = self._open(f"check {event.name}", 0, {"cicd.pipeline.task.name": event.name})
            self.spans[at].start -= plausible(event.seconds)
        out_of_time = event.exit_code is None
        result = "success" if event.passed else "timeout" if out_of_time else "failure"
        error = "" if event.passed else "out of time" if out_of_time else f"exit {event.exit_code}"
        self._close(at, error, {"cicd.pipeline.task.run.result": result, "process.exit.code": event.exit_code})


def _of_run(state: RunState, link: str) -> dict[str, Attribute]:
    verdict = state.verdict
    return _clean(
        {
            "cicd.pipeline.name": state.job,
            "cicd.pipeline.run.id": state.run_id,
            "cicd.pipeline.run.url.full": link or None,
            "cicd.pipeline.result": _result(verdict) if verdict else None,
            "error.type": word(verdict) if verdict and verdict.exit_code else None,
            "codex_runner.ending": word(verdict),
            "codex_runner.exit_code": verdict.exit_code if verdict else None,
            "codex_runner.host": state.host,
            "codex_runner.attempts": len(state.attempts),
            "codex_runner.codex_version": facts.codex_version(state) or None,
            "gen_ai.request.model": facts.model(state) or None,
            "gen_ai.usage.input_tokens": state.usage.input,
            "gen_ai.usage.cache_read.input_tokens": state.usage.cached_input,
            "gen_ai.usage.output_tokens": state.usage.output,
            "gen_ai.usage.reasoning.output_tokens": state.usage.reasoning_output,
        }
    )


def _result(verdict: ev.RunEnded) -> str:
    """Return OpenTelemetry's word for `cicd.pipeline.result`."""
    if verdict.exit_code == 0:
        return "skip" if verdict.result == "skipped" else "success"
    if verdict.exit_code in _TIMED_OUT:
        return "timeout"
    if verdict.exit_code in _CANCELLED:
        return "cancellation"
    return "failure" if blame(verdict.exit_code) is Blame.JOB else "error"


def _clean(attributes: Mapping[str, Attribute | None]) -> dict[str, Attribute]:
    return {
        name: _text(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None and value != ""
    }


def _text(text: str, limit: int = 1000) -> str:
    return one_line(text, limit)
