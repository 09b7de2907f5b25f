"""A run's events as moments: each with its beginning, its end and its text."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain import event as ev
from codex_runner.domain.command_line import command_text
from codex_runner.text.counts import counted
from codex_runner.text.durations import format_elapsed, plausible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_TITLE = 4000  # characters: more than a page shows of a title


class Lane(StrEnum):
    """The rows of the timeline, from top to bottom. The values are their labels."""

    ATTEMPT = "Attempts"
    MODEL = "Model"
    COMMAND = "Commands"
    EDIT = "Edits"
    MESSAGE = "Messages"
    TOOL = "Tools"
    TROUBLE = "Trouble"
    CHECK = "Checks"


class Mood(StrEnum):
    """How something went. It chooses the colour; the words say it too."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened. Times are seconds since the epoch; `end` is `start` if it took no time.

    `text` is folded unless `shown`. `kind` says what it was, in a word or two, and `note` how it went. `listed` is
    False for moments that only the timeline draws: waiting for the model.
    """

    lane: Lane
    start: float
    end: float
    kind: str
    title: str
    mood: Mood = Mood.PLAIN
    note: str = ""
    text: str = ""
    shown: bool = False
    listed: bool = True

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return max(0.0, self.end - self.start)


def moments(records: Iterable[ev.Record], keep: Callable[[str], str] = str) -> list[Moment]:
    """Return all moments of a run, sorted by their beginning, with events that this version does not know.

    `keep` shortens each text: all of them together may have hundreds of megabytes.
    """
    reader = _Reader(keep)
    for record in records:
        reader.read(record)
    reader.finish()
    return sorted(reader.moments, key=lambda moment: moment.start)


class _Reader:
    def __init__(self, keep: Callable[[str], str]) -> None:
        self._keep = keep
        self.moments: list[Moment] = []
        self._now = 0.0
        self._open: dict[str, tuple[float, ev.Item]] = {}
        self._attempt: tuple[float, ev.AttemptStarted] | None = None
        self._between: float | None = None
        self._idle_since: float | None = None
        self._unreachable: tuple[float, str] | None = None
        self._check: dict[str, tuple[float, str]] = {}

    def read(self, record: ev.Record) -> None:
        self._now = record.time
        event = record.event
        match event:
            case ev.ItemStarted() | ev.ItemUpdated() | ev.ItemCompleted():
                self._read_item(event)
            case ev.TurnStarted() | ev.TurnCompleted() | ev.TurnFailed():
                self._read_turn(event)
            case ev.AttemptStarted() | ev.AttemptEnded() | ev.StopRequested():
                self._read_attempt(event)
            case ev.CheckStarted():
                self._check[event.name] = (record.time, event.run)
            case ev.CheckEnded():
                self._read_check(event)
            case ev.Warned():
                self._read_warning(event)
            case ev.Guarded():
                mood = Mood.GOOD if event.passed else Mood.BAD if event.judged else Mood.WARN
                self._point(Lane.CHECK, "guard", event.name, mood, note=event.message)
            case _:
                self._read_other(event)

    def finish(self) -> None:
        """Close what is still open: the run goes on, or its runner was killed."""
        self._wait_ends()
        self._close_items("end unknown")
        if self._attempt:
            start, attempt = self._attempt
            title = f"attempt {attempt.number}"
            self.moments.append(Moment(Lane.ATTEMPT, start, self._now, "attempt", title, Mood.WARN, "end unknown"))
        self._reach(None)

    # --- the agent's items -------------------------------------------------------------------------------------------

    def _read_item(self, event: ev.ItemStarted | ev.ItemUpdated | ev.ItemCompleted) -> None:
        item = event.item
        self._wait_ends()
        if isinstance(event, ev.ItemCompleted):
            start, _ = self._open.pop(item.id, (self._now, item))
            self._add(item_moment(item, start, self._now))
            self._idle_since = None if self._open else self._now
        elif isinstance(event, ev.ItemStarted) and not isinstance(item, ev.TodoList):
            self._open.setdefault(item.id, (self._now, item))
        elif not self._open:
            self._idle_since = self._now

    def _close_items(self, note: str) -> None:
        for start, item in self._open.values():
            self._add(replace(item_moment(item, start, self._now), mood=Mood.WARN, note=note))
        self._open.clear()

    def _read_turn(self, event: ev.TurnStarted | ev.TurnCompleted | ev.TurnFailed) -> None:
        self._wait_ends()
        match event:
            case ev.TurnStarted():
                self._idle_since = self._now
            case ev.TurnCompleted():
                usage = event.usage
                title = f"{usage.total:,} tokens: {usage.input:,} in, {usage.output:,} out"
                self._point(Lane.MODEL, "turn completed", title, Mood.GOOD)
            case ev.TurnFailed():
                self._point(Lane.TROUBLE, "turn failed", event.message, Mood.BAD)

    def _wait_ends(self) -> None:
        """Add the time spent waiting for the model: the part of a turn without an open item."""
        if self._idle_since is not None and self._now > self._idle_since:
            self.moments.append(Moment(Lane.MODEL, self._idle_since, self._now, "waiting", "the model", listed=False))
        self._idle_since = None

    # --- the runner --------------------------------------------------------------------------------------------------

    def _read_attempt(self, event: ev.AttemptStarted | ev.AttemptEnded | ev.StopRequested) -> None:
        if isinstance(event, ev.StopRequested):
            self._point(Lane.TROUBLE, "stop", event.message or event.reason, Mood.WARN, note=event.reason)
        elif isinstance(event, ev.AttemptEnded):
            self._wait_ends()
            self._close_items("never finished")
            start, _ = self._attempt or (self._now, None)
            mood = Mood.GOOD if event.ending.failure is None else Mood.BAD
            note = ", ".join(str(part) for part in (event.ending.failure, event.exit) if part)
            title = f"attempt {event.number}: {event.ending.message}"
            self.moments.append(Moment(Lane.ATTEMPT, start, self._now, "attempt", title, mood, note))
            self._attempt, self._between = None, self._now
        elif event.attached:
            self._point(Lane.ATTEMPT, "attached", event.reason or "another runner took over")
        else:
            if self._between is not None:
                self.moments.append(
                    Moment(Lane.ATTEMPT, self._between, self._now, "waiting to try again", event.reason, listed=False)
                )
            self._attempt, self._between = (self._now, event), None

    def _read_check(self, event: ev.CheckEnded) -> None:
        start, command = self._check.pop(event.name, (self._now - plausible(event.seconds), ""))
        how = "ran out of time" if event.exit_code is None else f"exit {event.exit_code}"
        text = f"$ {command}\n{event.output}" if command else event.output
        mood = Mood.GOOD if event.passed else Mood.BAD
        self._add(Moment(Lane.CHECK, start, self._now, "check", event.name, mood, how, text))

    def _read_warning(self, event: ev.Warned) -> None:
        if event.code == "disconnected":
            self._unreachable = self._unreachable or (self._now, event.message)
        elif event.code == "reconnected":
            self._reach(event.message)
        else:
            self._point(Lane.TROUBLE, "warning", event.message, Mood.WARN, note=event.code)

    def _reach(self, message: str | None) -> None:
        """End the disconnection, if there is one."""
        if self._unreachable:
            start, why = self._unreachable
            note = message or "never reconnected"
            mood = Mood.BAD if message is None else Mood.WARN
            self.moments.append(Moment(Lane.TROUBLE, start, self._now, "disconnected", why, mood, note))
            self._unreachable = None

    def _read_other(self, event: ev.Event) -> None:
        match event:
            case ev.StreamError():
                self._point(Lane.TROUBLE, "stream", event.message, Mood.WARN)
            case ev.Diagnostic():
                self._point(Lane.TROUBLE, "stderr", event.message, Mood.WARN, note=event.code or event.level)
            case ev.Unparsed():
                kind = "unreadable line" if event.count == 1 else "unreadable lines"
                lines = f"{counted(event.count, 'line')}, " if event.count > 1 else ""
                title = f"{event.reason} ({lines}{event.size:,} bytes)"
                self._point(Lane.TROUBLE, kind, title, Mood.WARN, text=event.text)
            case ev.OtherEvent():
                self._point(Lane.TOOL, event.type, "an event of an unknown kind", text=_json(event.data))
            case ev.Retrying():
                when = f" in {format_elapsed(event.seconds)}" if event.seconds else ""
                title = f"attempt {event.number}{when} {event.reason}"
                self._point(Lane.ATTEMPT, "retry", title, Mood.WARN)
            case ev.RunEnded():
                mood = Mood.BAD if event.exit_code else Mood.GOOD
                self._point(
                    Lane.ATTEMPT, "end", event.reason or event.result, mood, note=f"exit code {event.exit_code}"
                )
            case _:  # facts, the thread's id, artifacts: the page shows them in sections of their own
                pass

    def _point(  # noqa: PLR0913 - a moment's parts, less its times
        self, lane: Lane, kind: str, title: str, mood: Mood = Mood.PLAIN, *, note: str = "", text: str = ""
    ) -> None:
        self._add(Moment(lane, self._now, self._now, kind, title, mood, note, text))

    def _add(self, moment: Moment) -> None:
        said = [moment.kind, moment.title, moment.note]
        if moment.text or max(map(len, said)) > _TITLE:
            kind, title, note = (part[:_TITLE] for part in said)
            moment = replace(moment, kind=kind, title=title, note=note, text=self._keep(moment.text))
        self.moments.append(moment)


def item_moment(item: ev.Item, start: float, end: float) -> Moment:  # noqa: PLR0911 - one return a kind
    """Return an item of the agent as a moment."""
    match item:
        case ev.Command():
            good = item.exit_code == 0 and item.status == "completed"
            how = (
                item.status
                if item.exit_code is None or (item.exit_code == 0 and not good)
                else f"exit {item.exit_code}"
            )
            mood = Mood.GOOD if good else Mood.BAD
            return Moment(Lane.COMMAND, start, end, "command", command_text(item.command), mood, how, item.output)
        case ev.FileChange():
            files = ", ".join(f"{edit.change} {edit.path}" for edit in item.changes)
            mood = Mood.GOOD if item.status == "completed" else Mood.BAD
            text = files.replace(", ", "\n") if len(item.changes) > 3 else ""
            title = f"{len(item.changes)} files" if text else files or "nothing"
            return Moment(Lane.EDIT, start, end, "edit", title, mood, item.status, text)
        case ev.AgentMessage():
            return Moment(Lane.MESSAGE, start, end, "message", "", text=item.text, shown=True)
        case ev.Reasoning():
            title = next((line for line in item.text.split("\n") if line.strip(" *#")), "").strip(" *#")
            return Moment(Lane.MESSAGE, start, end, "reasoning", title, text=item.text)
        case ev.ToolCall():
            mood = Mood.GOOD if not item.error and item.status == "completed" else Mood.BAD
            text = _json({"arguments": item.arguments, "result": item.result, "error": item.error})
            return Moment(Lane.TOOL, start, end, "tool", f"{item.server}: {item.tool}", mood, item.status, text)
        case ev.WebSearch():
            return Moment(Lane.TOOL, start, end, "web search", item.query)
        case ev.TodoList():
            done = sum(todo.completed for todo in item.items)
            text = "\n".join(f"[{'x' if todo.completed else ' '}] {todo.text}" for todo in item.items)
            return Moment(Lane.MESSAGE, start, end, "plan", f"{done} of {len(item.items)} done", text=text)
        case ev.ItemWarning():
            return Moment(Lane.TROUBLE, start, end, "warning", item.message, Mood.WARN, note=item.code)
        case ev.OtherItem():
            return Moment(
                Lane.TOOL,
                start,
                end,
                item.type,
                "an item of an unknown kind",
                text=_json(item.data),
            )
        case _:
            return Moment(Lane.TOOL, start, end, item.kind, "")


def waited(every: Iterable[Moment]) -> float:
    """Return the seconds spent waiting for the model."""
    return sum(moment.seconds for moment in every if moment.kind == "waiting")


def of_lane(every: Iterable[Moment], lane: Lane) -> Iterator[Moment]:
    """Yield the moments of one lane."""
    return (moment for moment in every if moment.lane is lane)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, default=str)
