"""The log of a GitLab CI job: a collapsible section for each attempt."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from codex_runner.domain import event as ev
from codex_runner.sinks.console import LOG_LIMIT, LOG_WIDTH, PlainLog
from codex_runner.text.excerpts import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from codex_runner.domain.event import Record
    from codex_runner.domain.state import RunState

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


class GitLabLog(PlainLog):
    """Plain lines, with a section for each attempt and one for the checks.

    GitLab recognizes a section by a carriage return and an escape sequence after its name. Foreign text is
    cleaned of both.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        color: bool = True,
        width: int = LOG_WIDTH,
        verbose: bool = False,
        limit: int | None = LOG_LIMIT,
    ) -> None:
        """Write to `stream`. GitLab shows colours."""
        super().__init__(stream, color=color, width=width, verbose=verbose, limit=limit)
        self._section: str | None = None
        # Names must be unique in a job's log, and a job may run codex-runner more than once.
        self._token = secrets.token_hex(4)

    def close(self) -> None:
        """Close the open section, at the last record's time: GitLab shows the section's duration."""
        self._write(self._end(self._last))
        super().close()

    _last = 0.0

    def _before(self, record: Record, state: RunState) -> Iterable[str]:
        self._last = record.time
        match record.event:
            case ev.AttemptStarted() as event:
                title = f"Attempt {event.number}: {state.job}"
                return [*self._end(record.time), *self._begin(f"attempt_{event.number}", title, record.time)]
            case ev.CheckStarted() if self._section is None:
                return self._begin(f"checks_{record.seq}", "Checks", record.time)
            case ev.RunEnded():
                return self._end(record.time)
            case _:
                return ()

    def _after(self, record: Record, state: RunState) -> Iterable[str]:  # noqa: ARG002 - the record is enough
        return self._end(record.time) if isinstance(record.event, ev.AttemptEnded) else ()

    def _begin(self, name: str, title: str, time: float) -> list[str]:
        self._section = _NOT_IN_NAMES.sub("_", f"codex_runner_{name}_{self._token}")
        return [f"\x1b[0Ksection_start:{int(time)}:{self._section}\r\x1b[0K{first_line(title)}"]

    def _end(self, time: float) -> list[str]:
        if self._section is None:
            return []
        name, self._section = self._section, None
        return [f"\x1b[0Ksection_end:{int(time)}:{name}\r\x1b[0K"]
