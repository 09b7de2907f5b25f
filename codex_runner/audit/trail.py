"""The trail of a run: its records read once, with the number of the record that proves each fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex_runner.domain import event as ev
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable


class Trail:
    """The records of a run as far as they can be read. `broken` says why the rest cannot be; "" if all can.

    `settled` is the state without later deliveries at the end, which run.json may lack.
    """

    def __init__(self, records: Iterable[ev.Record]) -> None:
        """Read all records. A record that cannot be read ends the trail, without an error."""
        self.state, self.settled = RunState(), RunState()
        self.broken = ""
        self.last: dict[str, int] = {}
        """The number of the last record of each kind."""
        self.guards: dict[str, int] = {}
        self.checks: dict[str, int] = {}
        self.artifacts: dict[str, int] = {}
        self.commands: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.searches: list[dict[str, Any]] = []
        self.edits: dict[str, dict[str, Any]] = {}
        self.leaks: list[dict[str, Any]] = []
        self.approvals: list[dict[str, Any]] = []
        self.credential_seq: int | None = None
        try:
            for record in records:
                self._take(record)
        except RunnerError as error:
            self.broken = error.message

    @property
    def is_over(self) -> bool:
        """Whether the run has its verdict."""
        return self.state.verdict is not None

    @property
    def prepared(self) -> int | None:
        """The number of the record with what was known before anything was spent."""
        return self.last.get(ev.RunPrepared.kind)

    @property
    def started(self) -> int | None:
        """The number of the run's first record."""
        return self.last.get(ev.RunStarted.kind)

    def seq_of(self, *keys: str) -> int | None:
        """Return the number of the record that the run's facts below these keys come from."""
        if keys[0] == "credential":
            return self.credential_seq
        of_start = keys[0] in self._first or self.prepared is None
        return self.started if of_start else self.prepared

    _first: frozenset[str] = frozenset()

    def _take(self, record: ev.Record) -> None:  # noqa: C901 - one arm a kind of event
        self.state.apply(record)
        event, seq = record.event, record.seq
        self.last[event.kind] = seq
        if not (isinstance(event, ev.DeliveryEnded) and event.delivery.later):
            self.settled.apply(record)
        source = f"events.jsonl record {seq}"
        match event:
            case ev.RunStarted():
                self._first = frozenset(event.facts)
            case ev.RunPrepared():
                self._first -= frozenset(event.facts)
                if event.facts.get("credential") is not None:
                    self.credential_seq = seq
            case ev.CredentialTaken():
                self.credential_seq = seq
            case ev.Guarded():
                self.guards[event.name] = seq
            case ev.CheckEnded():
                self.checks[event.name] = seq
            case ev.ArtifactKept():
                self.artifacts[event.path] = seq
            case ev.Leaked():
                self.leaks.append({"path": event.path, "secret": event.secret, "done": event.done, "source": source})
            case ev.ItemCompleted(item=item):
                self._take_item(item, source)
            case ev.OtherEvent() if "approval" in event.type or "decision" in event.type:
                self.approvals.append({"event": event.type, "source": source})

    def _take_item(self, item: ev.Item, source: str) -> None:
        match item:
            case ev.Command():
                ran = {"command": item.command, "exit_code": item.exit_code, "status": item.status}
                self.commands.append({**ran, "source": source})
            case ev.FileChange():
                for edit in item.changes:
                    self.edits[edit.path] = {"path": edit.path, "change": edit.change, "status": item.status} | {
                        "source": source
                    }
            case ev.ToolCall():
                self.calls.append({"server": item.server, "tool": item.tool, "status": item.status, "source": source})
            case ev.WebSearch():
                self.searches.append({"query": item.query, "source": source})
            case ev.OtherItem(type=ev.Command.kind):
                self.commands.append({"command": None, "exit_code": None, "status": None, "source": source})
