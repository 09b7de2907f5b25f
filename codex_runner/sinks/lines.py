"""Log lines for people: every log shows the same lines for a record, each in its own way."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain import event as ev
from codex_runner.domain.command_line import command_text
from codex_runner.domain.delivery import DeliveryState
from codex_runner.domain.gate import GateDecision
from codex_runner.text.clean import clean_line
from codex_runner.text.counts import counted
from codex_runner.text.durations import format_clock, format_duration
from codex_runner.text.excerpts import first_line, log_head, log_tail

if TYPE_CHECKING:
    from codex_runner.domain.delivery import Delivered
    from codex_runner.domain.event import Record
    from codex_runner.domain.state import RunState

_SILENCE = 60.0  # seconds without a line, after which a log says that it is still alive
_SAID = 200  # lines of a message


class Tone(Enum):
    """The tone of a line, which chooses its colour."""

    PLAIN = auto()
    DIM = auto()
    STRONG = auto()
    GOOD = auto()
    WARN = auto()
    BAD = auto()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for people. All of it is clean: it cannot move a cursor or command a CI system.

    `verb` is one of our own words, at most eight characters. `block` holds lines to show beneath. `commands` are lines
    to paste into a shell: shown beneath, whole and without a mark before them. None of them begins with a foreign word.
    An `essential` line is shown even if the log is full.
    """

    verb: str
    text: str
    tone: Tone = Tone.PLAIN
    block: tuple[str, ...] = ()
    essential: bool = False
    commands: tuple[str, ...] = ()


class Narrator:
    """Turns a run's records into lines: at least one for each record, except a repeated line of codex's stderr.

    codex may print the same complaint a thousand times. Repetitions are counted, and the count comes before the next
    line. `tail` is the number of lines of a failed command's output. `verbose` shows in full what is cut otherwise.
    """

    def __init__(self, *, tail: int, verbose: bool = False) -> None:
        """Begin with no line."""
        self._tail = tail
        self._verbose = verbose
        self._since: dict[str, float] = {}
        self._check: tuple[str, float] | None = None
        self._told = 0.0
        self._complaint: ev.Diagnostic | None = None
        self._repeated = 0

    def tell(self, record: Record, state: RunState) -> list[LogLine]:
        """Return the record's lines. `state` includes the record."""
        event = record.event
        if event == self._complaint and not self._verbose:
            self._repeated += 1
            return []
        lines = self._fold()
        self._complaint = event if isinstance(event, ev.Diagnostic) and not event.code else None
        self._told = record.time
        return lines + self._tell(record, state)

    def _fold(self) -> list[LogLine]:
        more, self._repeated = self._repeated, 0
        return [LogLine("codex", f"… the same, {counted(more, 'time')} more", Tone.DIM)] if more else []

    def _tell(self, record: Record, state: RunState) -> list[LogLine]:
        match record.event:
            case ev.ItemStarted() | ev.ItemUpdated() | ev.ItemCompleted():
                return self._item(record.event, record.time)
            case ev.CheckStarted() | ev.CheckEnded():
                return self._checked(record.event, record.time)
            case ev.AttemptStarted() | ev.AttemptEnded():
                self._since.clear()
                return _attempt(record.event)
            case ev.RunEnded():
                return _run_ended(record.event, state)
            case ev.DeliveryEnded():
                return _delivery(record.event.delivery)
            case _:
                return [_happening(record.event, state)]

    def silence(self, now: float, state: RunState) -> LogLine | None:
        """Return a line about what still goes on. Returns None unless there was no line for a minute."""
        if not self._told or now < self._told:  # the clock was set back
            self._told = now
        if now - self._told < _SILENCE or state.verdict is not None:
            return None
        self._told = now
        text, since = self.current(state)
        lasting = f", {format_duration(now - since)}" if since is not None else ""
        return LogLine("...", f"still {text}{lasting}", Tone.DIM)

    def current(self, state: RunState) -> tuple[str, float | None]:
        """Return what the run does now, and since when (seconds since the epoch) if that is known."""
        if self._check is not None:
            return f"checking: {self._check[0]}", self._check[1]
        attempt = state.attempt
        if attempt is None or attempt.ended is not None:
            return "working", None
        for identity, item in reversed(attempt.open_items.items()):
            return f"running: {_open(item)}", self._since.get(identity)
        if attempt.turn is None:
            return "starting codex", attempt.started
        return "waiting for the model" if attempt.turn == "running" else "waiting for codex to exit", None

    def _item(self, event: ev.ItemStarted | ev.ItemUpdated | ev.ItemCompleted, time: float) -> list[LogLine]:  # noqa: PLR0911 - as _happening
        item = event.item
        if isinstance(event, ev.ItemStarted):
            self._since[item.id] = time
        done = isinstance(event, ev.ItemCompleted)
        since = self._since.pop(item.id, None) if done else None
        took = "" if since is None else format_duration(time - since)
        match item:
            case ev.Command():
                return [self._command(item, took) if done else _begun(event, "$", command_text(item.command))]
            case ev.FileChange():
                return _changes(item, done=done)
            case ev.AgentMessage():
                return [self._said("says", item.text, Tone.STRONG)]
            case ev.Reasoning():
                return [self._said("thinks", item.text, Tone.DIM) if self._verbose else _line("thinks", item.text)]
            case ev.TodoList():
                return [_todo(item)]
            case ev.ItemWarning():
                return [_line("warning", f"{item.message} [{item.code}]", Tone.WARN)]
            case _ if done:
                return [_finished(item, took)]
            case _:
                return [_begun(event, "call", _open(item))]

    def _said(self, verb: str, text: str, tone: Tone) -> LogLine:
        text = text.strip()
        if "\n" not in text:
            return _line(verb, text, tone)
        return LogLine(verb, "", tone, log_head(text, _SAID if self._verbose else self._tail))

    def _command(self, item: ev.Command, took: str) -> LogLine:
        text = first_line(command_text(item.command))
        ok = item.exit_code == 0 and item.status == "completed"
        outcome = "" if item.exit_code is None else f"exit {item.exit_code}"
        if item.status not in {"completed", "failed"}:
            outcome = f"{first_line(item.status)} {outcome}".strip()
        facts = ", ".join(filter(None, ("" if ok else outcome, took)))
        told = f"({facts}) {text}" if facts else text
        if ok:
            return LogLine("ok", told, Tone.GOOD, log_tail(item.output, self._tail) if self._verbose else ())
        return LogLine("FAILED", told, Tone.BAD, log_tail(item.output, self._tail))

    def _checked(self, event: ev.CheckStarted | ev.CheckEnded, time: float) -> list[LogLine]:
        if isinstance(event, ev.CheckStarted):
            self._check = (first_line(event.name), time)
            return [_line("check", f"{first_line(event.name)}: {first_line(event.run)}")]
        self._check = None
        name, took = first_line(event.name), format_duration(event.seconds)
        if event.passed:
            return [LogLine("passed", f"({took}) check {name}", Tone.GOOD, essential=True)]
        outcome = "out of time" if event.exit_code is None else f"exit {event.exit_code}"
        told = f"({outcome}, {took}) check {name}"
        return [LogLine("FAILED", told, Tone.BAD, log_tail(event.output, self._tail), essential=True)]


def _line(verb: str, text: str, tone: Tone = Tone.PLAIN, *, essential: bool = False) -> LogLine:
    return LogLine(verb, first_line(text), tone, essential=essential)


def _begun(event: ev.ItemStarted | ev.ItemUpdated | ev.ItemCompleted, verb: str, text: str) -> LogLine:
    return _line(verb if isinstance(event, ev.ItemStarted) else "update", text, Tone.DIM)


def _open(item: ev.Item) -> str:
    """Return the name of an item: what it does."""
    match item:
        case ev.Command():
            return first_line(command_text(item.command))
        case ev.ToolCall():
            return first_line(f"{item.server}.{item.tool}")
        case ev.WebSearch():
            return first_line(f"web search: {item.query}")
        case ev.FileChange():
            return first_line(f"edit of {', '.join(edit.path for edit in item.changes)}")
        case ev.OtherItem():
            return first_line(item.type)
        case _:
            return item.kind


def _finished(item: ev.Item, took: str) -> LogLine:
    told = f"({took}) {_open(item)}" if took else _open(item)
    match item:
        case ev.ToolCall() if item.error is not None or item.status != "completed":
            return LogLine("FAILED", told, Tone.BAD, log_tail(_brief(item.error or item.result), 1))
        case ev.OtherItem():
            return _line("item", f"{told} {_brief(item.data)}")
        case _:
            return LogLine("done", told)


_LETTERS = {"add": "A", "update": "M", "delete": "D"}


def _changes(item: ev.FileChange, *, done: bool) -> list[LogLine]:
    if not done:
        return [_line("patch", ", ".join(edit.path for edit in item.changes), Tone.DIM)]
    if item.status != "completed":
        return [_line("FAILED", f"({item.status}) {_open(item)}", Tone.BAD)]
    lines = [_line("file", f"{_LETTERS.get(edit.change, edit.change)} {edit.path}") for edit in item.changes]
    return lines or [LogLine("file", "an empty patch")]


def _todo(item: ev.TodoList) -> LogLine:
    done = sum(todo.completed for todo in item.items)
    now = next((todo.text for todo in item.items if not todo.completed), "")
    return _line("plan", f"{done}/{len(item.items)} {now}")


def _attempt(event: ev.AttemptStarted | ev.AttemptEnded) -> list[LogLine]:
    if isinstance(event, ev.AttemptStarted):
        told = f"{event.number}{' (joined)' if event.attached else ''} {event.reason}"
        return [_line("attempt", told, Tone.STRONG, essential=True)]
    ending, how = event.ending, f"; codex: {event.exit}" if event.exit else ""
    if ending.failure is None:
        return [_line("attempt", f"{event.number} is over: {ending.message or 'done'}{how}", essential=True)]
    told = f"{event.number} ({ending.failure}): {ending.message}{how}"
    return [_line("FAILED", f"attempt {told}", Tone.BAD, essential=True)]


def _run_ended(event: ev.RunEnded, state: RunState) -> list[LogLine]:
    """Return the verdict's lines. People read the end of a red job's log: it says what failed and what to do."""
    good = event.exit_code == 0
    told = f"{event.result} in {format_duration(state.seconds)}" if good else f"exit code {event.exit_code}"
    facts = [] if good else [f"after {format_duration(state.seconds)}"]
    facts += [f"{counted(state.commands, 'command')}, {state.failed_commands} failed"] if state.commands else []
    facts += [f"{counted(len(state.files), 'file')} changed"] if state.files else []
    facts += [f"{state.usage.total:,} tokens"] if state.usage.total else []
    facts += [counted(len(state.warnings), "warning")] if state.warnings else []
    told = f"{told}: {event.reason}" + (f" ({'; '.join(facts)})" if facts else "")
    if good:
        pull = [_line("delivery", _briefly(state.delivery), essential=True)] if state.delivery else []
        return [_line("ok", told, Tone.GOOD, essential=True), *pull]
    failed = (check for check in state.checks.values() if not check.passed)
    block = tuple(line for check in failed if (line := _last_words(check, event.reason)))
    advice = [_line("to do", event.remedy, essential=True)] if event.remedy else []
    return [LogLine("FAILED", first_line(told), Tone.BAD, block, essential=True), *advice]


def _last_words(check: ev.CheckEnded, known: str) -> str:
    """Return a failed check's last line, which usually says why; empty if that is `known`."""
    last = next((line for line in reversed(check.output.splitlines()) if line.strip()), "it printed nothing")
    return "" if last.strip() in known else f"{first_line(check.name)}: {first_line(last)}"


def _gate(event: ev.Gated) -> LogLine:
    """Return the gate's line, with the end of its command's output if that failed."""
    told = f"{event.decision}: {event.reason}"
    if event.decision != GateDecision.FAIL:
        return _line("gate", told, essential=True)
    return LogLine("FAILED", first_line(f"gate {told}"), Tone.BAD, log_tail(event.output, _SAID), essential=True)


def _happening(event: ev.Event, state: RunState) -> LogLine:  # noqa: C901, PLR0911, PLR0912 - one case a kind, one line a case
    match event:
        case ev.RunStarted():
            return _line("run", f"{event.job} on {event.host} as {event.run_id}", Tone.STRONG, essential=True)
        case ev.WorkspaceMade():
            return _line("tree", f"{event.repo} at {event.ref}, commit {event.commit[:12]}, in {event.path}")
        case ev.WorkspaceKept():
            days = counted(round(event.seconds / 86400), "day")
            lasting = days if event.seconds >= 2 * 86400 else format_duration(event.seconds)
            told = f"the workspace stays on {state.host} for {lasting}: {event.path}"
            return _line("kept", told, essential=True)
        case ev.RunPrepared():
            return _line("ready", _facts(event.facts))
        case ev.CredentialTaken():
            return _line("token", _origin(event.facts))
        case ev.ThreadStarted():
            return _line("thread", event.thread_id, Tone.DIM)
        case ev.TurnStarted():
            return LogLine("turn", "started", Tone.DIM)
        case ev.TurnCompleted():
            used = event.usage
            if not event.counted:
                return LogLine("turn", "completed, without saying how many tokens it used", Tone.WARN)
            told = f"completed: {used.input:,} tokens in ({used.cached_input:,} cached), {used.output:,} out"
            return LogLine("turn", told)
        case ev.UsageSeen():
            return LogLine("tokens", f"{event.usage.total:,} so far", Tone.DIM)
        case ev.ReplyMissing():
            return LogLine("trouble", "codex's own record has no message in the last answer", Tone.WARN)
        case ev.TurnFailed():
            return _line("FAILED", f"turn: {event.message}", Tone.BAD)
        case ev.StreamError():
            return _line("trouble", event.message, Tone.WARN)
        case ev.Changed():
            told = f"{counted(event.paths, 'path')}, {counted(event.lines, 'line')}" if event.paths else "none"
            broken = "".join(f"; {sentence}" for sentence in event.findings)
            return _line("changes", f"{told}{broken}", Tone.BAD if broken else Tone.PLAIN)
        case ev.Retrying():
            when = f" in {format_duration(event.seconds)}" if event.seconds else ""
            told = f"attempt {event.number}{when} {event.reason}"
            return _line("retry", told, Tone.WARN, essential=True)
        case ev.Warned():
            tone = Tone.DIM if event.code == ev.NO_BUDGET else Tone.WARN
            return _line("warning", f"{event.message} [{event.code}]", tone)
        case ev.Guarded():
            tone = Tone.DIM if event.passed else Tone.BAD if event.judged else Tone.WARN
            word = "" if event.judged else f"{ev.NOT_JUDGED}: "
            return _line("FAILED" if event.failed else "guard", f"{event.name}: {word}{event.message}", tone)
        case ev.Leaked():
            return _line("FAILED", f"a leak: {event.path} held {event.secret}, and was {event.done}", Tone.BAD)
        case ev.StopRequested():
            return _line("stopping", event.message or event.reason, Tone.WARN, essential=True)
        case ev.Gated():
            return _gate(event)
        case ev.DeliveryReady():
            return _line("packed", event.refusal or event.tree[:12] or "nothing to deliver", Tone.DIM)
        case ev.ArtifactKept():
            return _line("kept", f"{event.path} ({event.size:,} bytes)")
        case ev.Diagnostic():
            if event.code:
                return _line("refused", f"{event.message} [{event.code}]", Tone.WARN)
            return _line("codex", f"{event.level}: {event.message}", Tone.WARN)
        case ev.Unparsed():
            lines = f"{counted(event.count, 'line')}, " if event.count > 1 else ""
            return _line("unread", f"({event.reason}, {lines}{event.size:,} bytes) {event.text}", Tone.WARN)
        case ev.OtherEvent():
            return _line("event", f"{event.type} {_brief(event.data)}", Tone.DIM)
        case _:
            return _line("event", f"{event.kind} at {format_clock(state.seconds)}", Tone.DIM)


def _delivery(delivery: Delivered) -> list[LogLine]:
    said = (f"{delivery.state.value}:", delivery.reason, delivery.commit_told, delivery.link)
    told = " ".join(part for part in said if part)
    good = {DeliveryState.DELIVERED: Tone.GOOD, DeliveryState.UPDATED: Tone.GOOD, DeliveryState.UNCHANGED: Tone.PLAIN}
    word = "FAILED" if delivery.state is DeliveryState.FAILED else "delivery"
    tone = Tone.BAD if delivery.state is DeliveryState.FAILED else good.get(delivery.state, Tone.WARN)
    lines = [_line(word, told, tone, essential=True)]
    for way in delivery.by_hand:
        needs = _line("by hand", way.needs if way.commands else f"{way.needs} {way.link}", essential=True)
        lines.append(dataclasses.replace(needs, commands=tuple(map(clean_line, way.commands))))
        if way.commands and way.link:
            lines.append(_line("by hand", f"then open {way.link}", essential=True))
    return lines


def _briefly(delivery: Delivered) -> str:
    """Return state and link, for the end of the log."""
    return f"{delivery.state.value}: {delivery.link or delivery.branch or delivery.reason}"


def _facts(facts: dict[str, Any]) -> str:
    """Return the facts of a prepared run, a table by its version: `codex 0.169.0, model gpt-5.5`."""
    said = []
    for key, value in facts.items():
        named = value.get("version") if isinstance(value, dict) else value
        said += [f"{key} {named}"] if isinstance(named, str | int | float) else []
    return ", ".join(said)


def _origin(facts: dict[str, Any]) -> str:
    """Return a credential's origin: `codex/acme/app/docs, version 3, of ada, until 2026-01-31T12:00:00Z`."""
    words = {"version": "version ", "owner": "of ", "expires_at": "until "}
    known = [f"{word}{facts[key]}" for key, word in words.items() if facts.get(key) is not None]
    return ", ".join([str(facts.get("place", "")), *known])


def _brief(data: object) -> str:
    """Return the first characters of JSON data."""
    try:
        return json.dumps(data, ensure_ascii=False, default=str)[:1000]
    except (RecursionError, ValueError):
        return "(nested too deeply)"
