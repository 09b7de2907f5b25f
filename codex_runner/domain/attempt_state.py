"""The state of one attempt: one start of codex, as far as the records tell."""

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

    `resumes` is the thread that it was told to resume. `own_retries` counts codex's own retries.
    `checks` are those that ran after it. `usage` is cumulative over the thread, `spent` is this attempt's part of it.
    `uncounted`: codex ended a turn without the counts of its tokens.
    `reply` is the last message. `answered`: no later event shows that it is not the final one. `voided` describes such
    an event, or a line that may be a message and cannot be read.
    `items` counts all items, `commands` the finished commands, `refused` the commands that never ran.
    `open_plan` is the id of a plan (todo_list) that has begun and is not completed. `unread` describes an overlong line
    that may be a message or the turn's end; "" if there is none.
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
        """Whether it ended only for the runner: its host was unreachable, and codex may still run there."""
        return self.ending is not None and self.ending.failure is Failure.TRANSPORT and self.exit is None
