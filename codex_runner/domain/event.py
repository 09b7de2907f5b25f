"""Events, as values: what the agent did, and what the runner noticed.

A `Record` is one line of `events.jsonl`: an `Event` with its sequence number, its time, its attempt, and the position
in the host's output that it covers. Events carry no Secret: bytes are redacted before they are parsed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from typing import Any, ClassVar, Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.run import Ending, ProcessExit, Usage  # noqa: TC001 - build() reads the hints at run time

SCHEMA_VERSION = 1


class Event:
    """An event. `kind` is its stable name in events.jsonl, and never changes once published."""

    kind: ClassVar[str]
    __slots__ = ()


# --- what codex says -------------------------------------------------------------------------------------------------


class Item:
    """An item of a turn: a message, a command, an edit. `id` is codex's own, unique in its thread and attempt."""

    kind: ClassVar[str]
    id: str
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AgentMessage(Item):
    """Text of the agent for the user. The last one of a turn is the reply."""

    kind = "agent_message"
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning(Item):
    """A summary of the model's reasoning."""

    kind = "reasoning"
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Command(Item):
    """A shell command. `status` is codex's word: in_progress, completed, failed or declined.

    `refused` is true if it never ran because its sandbox did not start.
    """

    kind = "command_execution"
    id: str
    command: str
    output: str
    exit_code: int | None
    status: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file of a patch. `change` is codex's word: add, update or delete. `path` is absolute on the host."""

    path: str
    change: str


@dataclass(frozen=True, slots=True)
class FileChange(Item):
    """A patch that the agent applied, or tried to."""

    kind = "file_change"
    id: str
    changes: tuple[FileEdit, ...]
    status: str


@dataclass(frozen=True, slots=True)
class ToolCall(Item):
    """A call of an MCP tool. Arguments, result and error are kept as codex printed them."""

    kind = "mcp_tool_call"
    id: str
    server: str
    tool: str
    status: str
    arguments: Any = None
    result: Any = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class WebSearch(Item):
    """A search of the web."""

    kind = "web_search"
    id: str
    query: str


@dataclass(frozen=True, slots=True)
class Todo:
    """One line of the agent's plan."""

    text: str
    completed: bool


@dataclass(frozen=True, slots=True)
class TodoList(Item):
    """The agent's plan, complete each time."""

    kind = "todo_list"
    id: str
    items: tuple[Todo, ...]


@dataclass(frozen=True, slots=True)
class ItemWarning(Item):
    """An `error` item: despite its name, a warning of codex (a clamped setting, a policy that fell back).

    `code` is the warning's own. `known` is true if this version knows the sentence as only a warning.
    """

    kind = "error"
    id: str
    message: str
    code: str = "codex"
    known: bool = False


@dataclass(frozen=True, slots=True)
class OtherItem(Item):
    """An item of a kind that this version does not know, kept whole and shown by its type."""

    kind = "other"
    id: str
    type: str
    data: Any


@dataclass(frozen=True, slots=True)
class ThreadStarted(Event):
    """codex has started. `thread_id` is the thread that a resume names."""

    kind = "thread.started"
    thread_id: str


@dataclass(frozen=True, slots=True)
class TurnStarted(Event):
    """A turn has begun: codex has asked the model."""

    kind = "turn.started"


@dataclass(frozen=True, slots=True)
class TurnCompleted(Event):
    """The turn's end. `usage` is cumulative over the whole thread.

    `counted` is False if codex's counts are missing or no numbers. The turn's usage is then unknown.
    """

    kind = "turn.completed"
    usage: Usage
    counted: bool = True


@dataclass(frozen=True, slots=True)
class UsageSeen(Event):
    """Tokens of the whole thread so far, by codex's own record. Read before the turn's end, or if it has none."""

    kind = "usage"
    usage: Usage


@dataclass(frozen=True, slots=True)
class ReplyMissing(Event):
    """codex's own record of the thread says that the turn's last answer held no message, even if an earlier one did."""

    kind = "reply.missing"
    thread_id: str


@dataclass(frozen=True, slots=True)
class TurnFailed(Event):
    """The turn's end, and why. `message` is codex's own, word for word, or the JSON that it printed instead."""

    kind = "turn.failed"
    message: str


@dataclass(frozen=True, slots=True)
class StreamError(Event):
    """A top-level `error`. Not fatal by itself: successful runs print `Reconnecting...` too."""

    kind = "error"
    message: str


@dataclass(frozen=True, slots=True)
class ItemStarted(Event):
    """An item has begun."""

    kind = "item.started"
    item: Item


@dataclass(frozen=True, slots=True)
class ItemUpdated(Event):
    """An item has changed."""

    kind = "item.updated"
    item: Item


@dataclass(frozen=True, slots=True)
class ItemCompleted(Event):
    """An item is done. Some kinds have only this event, without a start."""

    kind = "item.completed"
    item: Item


@dataclass(frozen=True, slots=True)
class OtherEvent(Event):
    """A JSON event of a type that this version does not know. `data` is the whole event."""

    kind = "other"
    type: str
    data: Any


TRUNCATED = "truncated"
"""The reason of an Unparsed for a line that is longer than the runner reads. codex.jsonl has the whole line."""


@dataclass(frozen=True, slots=True)
class Unparsed(Event):
    """Lines that are not events: not JSON, not an object, cut off, or `truncated` (longer than the runner reads).

    `count` successive lines have `size` bytes together. `text` holds their first characters. `voids` is False if the
    beginning of a truncated line proves that a reply before it is still the reply. If the beginning proves that the
    line is neither a message nor the turn's end, `item_type` is the kind of its item. `item_id` is the item that it
    completes.
    """

    kind = "unparsed"
    reason: str
    text: str
    size: int
    count: int = 1
    voids: bool = True
    item_type: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic(Event):
    """An important line of codex's stderr. `level` is codex's own word (ERROR, WARN).

    If it is a refusal that no other event shows, `code` is the warning's own.
    """

    kind = "diagnostic"
    level: str
    message: str
    code: str = ""


# --- what the runner notices -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The run has its folder. `facts` are the job, complete enough to attach, without any secret."""

    kind = "run.started"
    run_id: str
    job: str
    host: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPrepared(Event):
    """The run can begin. `facts` are known before anything is spent: codex's version, the credential's facts."""

    kind = "run.prepared"
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkspaceMade(Event):
    """The run has its own tree on the host: its top, the folder in it to work in, and its commit.

    `repo` and `ref` are the job's keys for its source.
    """

    kind = "workspace.made"
    path: str
    cwd: str
    commit: str
    repo: str
    ref: str


@dataclass(frozen=True, slots=True)
class WorkspaceKept(Event):
    """The run's tree stays on the host, for people to look at. After `seconds`, a later run removes it."""

    kind = "workspace.kept"
    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """codex has been started, or a running codex has been joined (`attached`).

    `thread_id` is the thread that this attempt goes on with, None if it begins a new one.
    """

    kind = "attempt.started"
    number: int
    attached: bool = False
    reason: str = ""
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """An attempt has ended. `ending` says how."""

    kind = "attempt.ended"
    number: int
    ending: Ending
    exit: ProcessExit | None = None


@dataclass(frozen=True, slots=True)
class Retrying(Event):
    """An attempt failed in a way that can pass. Another one begins after `seconds`."""

    kind = "attempt.retry"
    number: int
    seconds: float
    resume: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning. `code` is stable, for programs; `message` is for people."""

    kind = "warning"
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class CredentialTaken(Event):
    """The credential has been read, and is judged next. `facts` are those that may be shown (CredentialFacts)."""

    kind = "credential.taken"
    facts: dict[str, Any]


NOT_JUDGED = "not judged"
"""The third outcome of a guard, in the words of every report."""

NO_BUDGET = "no-budget"
"""The code of a warning that many runs have: logs show it without an annotation."""


@dataclass(frozen=True, slots=True)
class Guarded(Event):
    """One of the runner's own promises, kept or not: a credential rule, a revocation, a sweep.

    `judged` is false if nothing proves either. `passed` is then false too.
    """

    kind = "guard"
    name: str
    passed: bool
    message: str
    seconds: float = 0.0
    failure: str | None = None
    judged: bool = True

    @classmethod
    def unjudged(cls, name: str, message: str, seconds: float = 0.0) -> Self:
        """Return a guard that could not be judged: neither kept nor broken."""
        return cls(name, False, message, seconds, judged=False)

    @property
    def failed(self) -> bool:
        """Whether the promise is known to be broken."""
        return self.judged and not self.passed

    @property
    def outcome(self) -> str:
        """The outcome in the words of every report."""
        return "kept" if self.passed else "not kept" if self.judged else NOT_JUDGED


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """The runner has decided to end the agent, or a run whose agent is done. `reason` is a `StopReason`."""

    kind = "stop.requested"
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckStarted(Event):
    """A check has begun."""

    kind = "check.started"
    name: str
    run: str


@dataclass(frozen=True, slots=True)
class CheckEnded(Event):
    """A check is done. `exit_code` is None if it ran out of time. `output` holds its tail."""

    kind = "check.ended"
    name: str
    passed: bool
    exit_code: int | None
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class ArtifactKept(Event):
    """A file that the run leaves. `path` is relative to the run's folder. `size` is in bytes."""

    kind = "artifact"
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Leaked(Event):
    """A secret was in a file that the run left. `path` is relative to the run's folder.

    `done` is `removed`, or `masked` if the file is the run's own record. A removed artifact is no artifact any more.
    """

    kind = "leak"
    path: str
    secret: str
    done: str


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """The agent's changes by git: the counts of paths and lines, the diffstat, and the broken rules.

    `exit_code` is that of the gravest finding, 0 without any. Of the paths, `newly_ignored` are ignored only by rules
    that the agent has left, and are not to be delivered. `repositories` are what git would take for a repository of
    its own, new or changed. The lines of `uncounted` cannot be counted.
    """

    kind = "changes"
    paths: int
    lines: int
    diffstat: str
    findings: tuple[str, ...] = ()
    exit_code: int = 0
    newly_ignored: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The verdict, and what to do about it. If a report cannot be written, a second one follows. The last counts."""

    kind = "run.ended"
    exit_code: int
    result: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the host's output has been read and copied. All in bytes.

    `stdout` and `stderr` are offsets in the host's files. `stdout_copy` and `stderr_copy` are the lengths of
    codex.jsonl and stderr.log: these differ after a redaction, and hold all attempts. `stdout_crc` is the state of the
    POSIX cksum over the first `stdout` bytes (see `domain.cksum`).
    """

    stdout: int = 0
    stderr: int = 0
    stdout_copy: int = 0
    stderr_copy: int = 0
    stdout_crc: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Record:
    """One line of events.jsonl. `seq` counts from 1 without gaps; `time` is seconds since the epoch, UTC."""

    seq: int
    time: float
    attempt: int
    position: Position
    event: Event


# --- to JSON and back ------------------------------------------------------------------------------------------------


def _concrete(base: Any) -> dict[str, Any]:
    return {cls.kind: cls for cls in base.__subclasses__()}


EVENT_KINDS: dict[str, type[Event]] = _concrete(Event)
ITEM_KINDS: dict[str, type[Item]] = _concrete(Item)


def to_json(value: Any) -> Any:
    """Return a domain value as JSON types. Events and items carry their `kind`."""
    if isinstance(value, Event | Item):
        return {"kind": value.kind, **_fields(value)}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if isinstance(value, Mapping):
        return {key: to_json(part) for key, part in value.items()}
    if isinstance(value, Decimal):  # as text: a JSON number would come back as a float, with another value
        return str(value)
    # TOML has dates, and JSON has not.
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as its JSON object. A runner that attaches continues at `end_offset` and `codex_length`."""
    at = record.position
    return {
        "schema": SCHEMA_VERSION,
        "seq": record.seq,
        "time": record.time,
        "attempt": record.attempt,
        "end_offset": at.stdout,
        "codex_length": at.stdout_copy,
        "stderr_offset": at.stderr,
        "stderr_length": at.stderr_copy,
        "stdout_crc": at.stdout_crc,
        "event": to_json(record.event),
    }


def record_from_json(data: dict[str, Any]) -> Record:
    """Read a record from its JSON object. An unknown kind becomes `OtherEvent`. Raises KeyError if a key is missing."""
    return Record(
        seq=data["seq"],
        time=data["time"],
        attempt=data["attempt"],
        position=Position(
            stdout=data["end_offset"],
            stderr=data["stderr_offset"],
            stdout_copy=data["codex_length"],
            stderr_copy=data["stderr_length"],
            stdout_crc=data["stdout_crc"],
        ),
        event=event_from_json(data["event"]),
    )


def event_from_json(data: dict[str, Any]) -> Event:
    """Read an event from its JSON object. An unknown kind becomes `OtherEvent`."""
    cls = EVENT_KINDS.get(data["kind"])
    if cls is None:
        return OtherEvent(type=data["kind"], data={k: v for k, v in data.items() if k != "kind"})
    return typing.cast("Event", build(cls, data))


def build(cls: type, data: dict[str, Any]) -> Any:
    """Build a domain dataclass from a JSON object. Ignores unknown keys, which a newer version may have written."""
    hints = _hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{key: _read(hints[key], value) for key, value in data.items() if key in known})


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _read(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one return a shape
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        # Of several arms, the tuple takes a JSON array, and the plain type anything else.
        fitting = (arm for arm in arms if (typing.get_origin(arm) is tuple) == isinstance(value, list))
        return _read(arms[0] if len(arms) == 1 else next(fitting, Any), value)
    if origin is tuple:
        part = typing.get_args(hint)[0]
        return tuple(_read(part, each) for each in value)
    if hint is Item:
        return build(ITEM_KINDS.get(value["kind"], OtherItem), value)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type", hint), value)
    if isinstance(hint, type) and issubclass(hint, str | Decimal) and hint is not str:
        return hint(value)
    return value
