"""One start of codex, as far as it is known."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, ProcessExit, Usage

if TYPE_CHECKING:
    from codex_runner.domain import event as ev

TURN_RUNNING = "running"
TURN_COMPLETED = "completed"
TURN_FAILED = "failed"


@dataclass(slots=True)
class Attempt:
    """One start of codex: what it said, and how it ended. Times are seconds since the epoch.

    `resumes` is the thread that it was to go on with; `own_retries` counts the tries that codex announced by itself.
    `checks` are those that ran after it. `usage` is cumulative over the thread, `spent` is this attempt's part of it.
    `uncounted`: codex ended a turn without saying, in numbers, what it had used.
    `reply` is the last message; `answered`, that nothing came after it which makes another one the final message;
    `voided` names what did come, or what may have been a message and cannot be read.
    `items` counts what it did and said, `commands` its finished commands, `refused` those that never ran.
    `open_plan` is the id of a plan (todo_list) that has begun and is not completed. `unread` names a line that was too
    long to be read, and that may have been a message or the turn's end; empty without one.
    """

    number: int
    started: float
    reason: str = ""
    resumes: str | None = None
    ended: float | None = None
    thread_id: str | None = None
    turn: str | None = None
    turn_error: str | None = None
    last_error: str | None = None
    own_retries: int = 0
    reply: str | None = None
    answered: bool = False
    voided: str = ""
    usage: Usage = field(default_factory=Usage)
    spent: Usage = field(default_factory=Usage)
    uncounted: bool = False
    items: int = 0
    commands: int = 0
    refused: int = 0
    unread: str = ""
    open_items: dict[str, ev.Item] = field(default_factory=dict)
    open_plan: str | None = None
    stop: ev.StopRequested | None = None
    ending: Ending | None = None
    exit: ProcessExit | None = None
    diagnostics: list[ev.Diagnostic] = field(default_factory=list)
    checks: dict[str, ev.CheckEnded] = field(default_factory=dict)

    @property
    def out_of_reach(self) -> bool:
        """Whether it is over for the runner alone: its host could not be reached, and codex may go on there."""
        return self.ending is not None and self.ending.failure is Failure.TRANSPORT and self.exit is None
