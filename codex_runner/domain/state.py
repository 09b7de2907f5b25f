"""The state of a run: a fold over its records, so that every report can be rebuilt from events.jsonl."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain import event as ev
from codex_runner.domain.attempt_state import TURN_COMPLETED, TURN_FAILED, TURN_RUNNING, Attempt
from codex_runner.domain.host import Host
from codex_runner.domain.reply import is_unreadable, is_work, named, voided_by
from codex_runner.domain.run import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codex_runner.domain.delivery import Delivered

# The most warnings of one code. codex may refuse a thousand commands of an agent, each with another message.
_MOST_WARNINGS = 100


@dataclass(slots=True)
class RunState:
    """Everything that a report needs. Only `apply` changes it.

    `checks` and `changes` are those after the last attempt; results after an earlier one no longer count. `files` maps
    each path that the agent reported as changed to its last change. `commands` and `failed_commands` count finished
    commands. `no_events` and `no_event_bytes` count codex's lines that are no events; `no_event_warning` is the index
    of the warning about them. `told` are codex's warnings by their code. `delivery` is the last result, also of a later
    `codex-runner deliver`; `own_delivery` is the run's own, which its verdict knows.
    """

    run_id: str = ""
    job: str = ""
    host: Host = field(default_factory=Host)
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None
    updated: float = 0.0
    seq: int = 0
    position: ev.Position = field(default_factory=ev.Position)
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    commands: int = 0
    failed_commands: int = 0
    no_events: int = 0
    no_event_bytes: int = 0
    no_event_warning: int | None = None
    files: dict[str, str] = field(default_factory=dict)
    todo: tuple[ev.Todo, ...] = ()
    warnings: list[ev.Warned] = field(default_factory=list)
    told: dict[str, set[str]] = field(default_factory=dict)
    guards: dict[str, ev.Guarded] = field(default_factory=dict)
    checks: dict[str, ev.CheckEnded] = field(default_factory=dict)
    artifacts: dict[str, ev.ArtifactKept] = field(default_factory=dict)
    workspace: ev.WorkspaceMade | None = None
    workspace_kept: bool = False
    changes: ev.Changed | None = None
    gate: ev.Gated | None = None
    ready: ev.DeliveryReady | None = None
    delivery: Delivered | None = None
    own_delivery: Delivered | None = None
    verdict: ev.RunEnded | None = None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that is running, or the last one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def reply(self) -> str | None:
        """The final message of the last attempt. None if its last message is not final."""
        attempt = self.attempt
        return attempt.reply if attempt and attempt.answered else None

    @property
    def uncounted(self) -> bool:
        """Whether codex did not count the tokens of an attempt, so that `usage` is too small."""
        return any(attempt.uncounted for attempt in self.attempts)

    @property
    def thread_id(self) -> str | None:
        """The last thread id that codex printed."""
        return next((a.thread_id for a in reversed(self.attempts) if a.thread_id), None)

    @property
    def seconds(self) -> float:
        """The run's duration in seconds, until its end or its last record."""
        return max(0.0, (self.ended or self.updated) - self.started)

    def apply(self, record: ev.Record) -> None:
        """Apply one more record."""
        self.seq, self.position, self.updated = record.seq, record.position, record.time
        self._take(record.event, record.time)

    def _take(self, event: ev.Event, time: float) -> None:  # noqa: C901, PLR0912 - one arm a kind of event
        match event:
            case ev.RunStarted():
                self.run_id, self.job, self.facts = event.run_id, event.job, event.facts
                self.host = Host(event.host)
                self.started = time
            case ev.RunPrepared():
                self.facts = {**self.facts, **event.facts}
            case ev.CredentialTaken():
                self.facts = {**self.facts, "credential": event.facts}
            case ev.Gated():
                self.gate = event
            case ev.DeliveryReady():
                self.ready = event
            case ev.DeliveryEnded():
                self.delivery = event.delivery
                if self.verdict is None:
                    self.own_delivery = event.delivery
            case ev.WorkspaceMade():
                self.workspace = event
            case ev.WorkspaceKept():
                self.workspace_kept = True
            case ev.AttemptStarted():
                self._begin_attempt(event, time)
            case ev.RunEnded():
                self.verdict, self.ended = event, time
            case ev.Warned():
                self.warnings.append(event)
            case ev.Guarded():
                self.guards[event.name] = event
            case ev.CheckEnded():
                self.checks[event.name] = event
            case ev.Changed():
                self.changes = event
                self.facts = {**self.facts, "diffstat": event.diffstat}
            case ev.ArtifactKept():
                self.artifacts[event.path] = event
            case ev.Leaked():
                self.artifacts.pop(event.path, None)
            case _ if self.attempts:
                self._take_of_attempt(self.attempts[-1], event, time)
            case _:
                pass

    def _begin_attempt(self, event: ev.AttemptStarted, time: float) -> None:
        if not event.attached:
            self.attempts.append(Attempt(event.number, time, event.reason, event.thread_id))
            self.checks, self.changes = self.attempts[-1].checks, None
        elif self.attempts:  # attached: if its host had been unreachable, the attempt is not over after all
            self.verdict = self.ended = None
            self.attempts[-1].ending = self.attempts[-1].ended = None

    def _take_of_attempt(self, attempt: Attempt, event: ev.Event, time: float) -> None:  # noqa: C901 - as above
        _void(attempt, event)
        match event:
            case ev.ThreadStarted():
                attempt.thread_id = event.thread_id
            case ev.TurnStarted():
                attempt.turn = TURN_RUNNING
                self.turns += 1
            case ev.TurnCompleted() | ev.TurnFailed():
                self._end_turn(attempt, event)
            case ev.UsageSeen():
                self._count_usage(attempt, event.usage)
            case ev.StreamError():
                attempt.last_error = event.message
                attempt.own_retries += event.message.startswith("Reconnecting...")
            case ev.ItemStarted() | ev.ItemUpdated() | ev.ItemCompleted():
                self._take_item(attempt, event)
            case ev.Unparsed():
                self._take_unparsed(attempt, event)
            case ev.Diagnostic():
                attempt.diagnostics.append(event)
                self._warn(event.code, event.message)
            case ev.StopRequested():
                attempt.stop = event
            case ev.AttemptEnded():
                attempt.ending, attempt.exit, attempt.ended = event.ending, event.exit, time
                attempt.open_items.clear()
            case _:
                pass

    def _end_turn(self, attempt: Attempt, event: ev.TurnCompleted | ev.TurnFailed) -> None:
        for item in attempt.open_items.values():
            if is_work(item):
                self._warn("still-running", f"The turn ended while {named(item)} still ran.")
        if isinstance(event, ev.TurnFailed):
            attempt.turn, attempt.turn_error = TURN_FAILED, event.message
            return
        # A failed turn stays failed: only another turn can succeed.
        attempt.turn = TURN_FAILED if attempt.turn == TURN_FAILED else TURN_COMPLETED
        if event.counted:
            self._count_usage(attempt, event.usage)
        else:
            attempt.uncounted = True
            self._warn("usage-unknown", "codex ended its turn without saying how many tokens it used.")

    def _count_usage(self, attempt: Attempt, usage: Usage) -> None:
        """Add the new tokens: codex counts over the whole thread, resumes included."""
        same_thread = [a.usage for a in self.attempts if a.thread_id == attempt.thread_id]
        attempt.usage = usage
        before = max(same_thread, key=lambda u: u.total, default=Usage())
        self.usage = self.usage + (usage - before)
        attempt.spent = attempt.spent + (usage - before)

    def _warn(self, code: str, message: str) -> None:
        """Add a warning of codex once, if there is a code: a refused agent tries the same again and again."""
        told = self.told.setdefault(code, set())
        if not code or message in told or len(told) > _MOST_WARNINGS:
            return
        told.add(message)
        more = "And more of these, which are not listed here: events.jsonl has all."
        self.warnings.append(ev.Warned(code, more if len(told) > _MOST_WARNINGS else message))

    def _take_unparsed(self, attempt: Attempt, event: ev.Unparsed) -> None:
        if event.item_id:  # the item is done, and counts although it cannot be read
            attempt.open_items.pop(event.item_id, None)
            attempt.items += 1
            if event.item_type == ev.Command.kind:
                self.commands += 1
                attempt.commands += 1
        if event.reason == ev.TRUNCATED:
            line = f"the line of codex.jsonl that ends at byte {self.position.stdout_copy:,} has {event.size:,} bytes"
            if not event.item_type:
                attempt.unread = f"{line}, which is too long to be read, and may be the reply or the turn's end"
            of = (
                f"It holds an item of type {event.item_type}."
                if event.item_type
                else "The runner does not know what it holds."
            )
            self._warn(ev.TRUNCATED, f"{line[0].upper()}{line[1:]}, which is too long to be read. {of}")
            return
        self.no_events += event.count
        self.no_event_bytes += event.size
        lines = "1 line that is no event" if self.no_events == 1 else f"{self.no_events:,} lines that are no events"
        told = ev.Warned("no-event", f"codex printed {lines} ({self.no_event_bytes:,} bytes): codex.jsonl has all.")
        if self.no_event_warning is None:
            self.no_event_warning = len(self.warnings)
            self.warnings.append(told)
        else:  # replace it: one warning for all of these lines
            self.warnings[self.no_event_warning] = told

    def _take_item(self, attempt: Attempt, event: ev.ItemStarted | ev.ItemUpdated | ev.ItemCompleted) -> None:
        item = event.item
        if isinstance(item, ev.TodoList):
            self.todo = item.items
            attempt.open_plan = None if isinstance(event, ev.ItemCompleted) else item.id
            return
        if not isinstance(event, ev.ItemCompleted):
            attempt.open_items[item.id] = item
            return
        attempt.open_items.pop(item.id, None)
        attempt.items += not _is_warning(item)
        match item:
            case ev.AgentMessage():
                attempt.reply, attempt.answered, attempt.voided = item.text, True, ""
            case ev.Command():
                self.commands += 1
                self.failed_commands += item.exit_code != 0 or item.status != "completed"
                attempt.commands += 1
                attempt.refused += item.refused
                if item.refused:
                    self._warn("sandbox-failed", item.output.partition("\n")[0])
            case ev.OtherItem(type=ev.Command.kind):  # counts although it cannot be read
                self.commands += 1
                self.failed_commands += 1
            case ev.FileChange() if item.status == "completed":
                self.files |= {edit.path: edit.change for edit in item.changes}
            case ev.ItemWarning():
                self._warn(item.code, item.message)
            case _:
                pass


def _is_warning(item: ev.Item) -> bool:
    """Whether this item is a warning of codex, also if it cannot be read."""
    return isinstance(item, ev.ItemWarning) or (isinstance(item, ev.OtherItem) and item.type == ev.ItemWarning.kind)


def _void(attempt: Attempt, event: ev.Event) -> None:
    """Note that the last message is not the final one, if `event` shows that. Keeps the first cause."""
    why = voided_by(event, attempt)
    if why is None:
        return
    if attempt.answered or is_unreadable(event):
        attempt.voided = why
    attempt.answered = False


def fold(records: Iterable[ev.Record]) -> RunState:
    """Return the state after these records."""
    state = RunState()
    for record in records:
        state.apply(record)
    return state
