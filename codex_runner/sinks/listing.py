"""A log in groups, of which a CI system lists some messages on its run's page, and only so many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from codex_runner.sinks.console import LOG_LIMIT, LOG_WIDTH, PlainLog

if TYPE_CHECKING:
    from typing import TextIO


class ListingLog(PlainLog):
    """Plain lines, with at most one open group. `END` is the line that ends a group.

    `MOST` is the number of messages that the system lists for each level and step.
    """

    END: ClassVar[str]
    MOST: ClassVar[int]

    def __init__(
        self,
        stream: TextIO,
        *,
        color: bool = False,
        width: int = LOG_WIDTH,
        verbose: bool = False,
        limit: int | None = LOG_LIMIT,
    ) -> None:
        """Write to `stream`."""
        super().__init__(stream, color=color, width=width, verbose=verbose, limit=limit)
        self._open = False
        self._listed = Counter[str]()

    def close(self) -> None:
        """Close the group that is open."""
        self._write(self._end_group())
        super().close()

    def _begin_group(self, line: str) -> list[str]:
        self._open = True
        return [line]

    def _end_group(self) -> list[str]:
        if not self._open:
            return []
        self._open = False
        return [self.END]

    def _is_listed(self, level: str, *, verdict: bool) -> bool:
        """Whether the system would still list a message; then it counts. The last error is kept for the verdict."""
        kept = 1 if level == "error" and not verdict else 0
        if self._listed[level] >= self.MOST - kept:
            return False
        self._listed[level] += 1
        return True
