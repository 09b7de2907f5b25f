"""Progress for people: plain lines for logs and pipes, a live view on a terminal.

Only `make_console` on a terminal imports rich: a run in a pipeline does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.sinks.lines import LogLine, Narrator, Tone
from codex_runner.text.durations import format_clock
from codex_runner.text.excerpts import cut

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from codex_runner.domain.event import Record
    from codex_runner.domain.ports import Sink
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState

LOG_LIMIT = 2 * 1024 * 1024  # bytes
LOG_WIDTH = 500  # characters
_LOG_TAIL = 40  # lines of a failed command's output
_INDENT = " " * 9 + "| "
_COLORS = {
    Tone.PLAIN: "",
    Tone.DIM: "\x1b[2m",
    Tone.STRONG: "\x1b[1m",
    Tone.GOOD: "\x1b[32m",
    Tone.WARN: "\x1b[33m",
    Tone.BAD: "\x1b[31m",
}
_RESET = "\x1b[0m"


def make_console(  # noqa: PLR0913 - independent settings, all named
    stream: TextIO,
    *,
    is_tty: bool,
    color: bool,
    width: int | None = None,
    verbose: bool = False,
    limit: int | None = LOG_LIMIT,
) -> Sink:
    """Return the console for `stream`: the live view on a terminal, plain lines elsewhere.

    `width` is in characters; the default is the terminal's, or LOG_WIDTH. `limit` bounds plain lines, in bytes; None
    means no limit.
    """
    if is_tty:
        from codex_runner.sinks.live import LiveConsole

        return LiveConsole(stream, color=color, width=width, verbose=verbose)
    return PlainLog(stream, color=color, width=width or LOG_WIDTH, verbose=verbose, limit=limit)


class PlainLog:
    """A sink of plain lines: elapsed time, a word, what happened. Foreign text comes after a bar.

    No line begins with foreign text, so a CI system takes none for a command. `text.clean_line` disarms the one form of
    command that works in the middle of a line. After `limit` bytes the log has only essential lines.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        color: bool = False,
        width: int = LOG_WIDTH,
        verbose: bool = False,
        limit: int | None = LOG_LIMIT,
    ) -> None:
        """Write to `stream`, which stays open."""
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self._color = color
        self._width = width
        self._limit = limit
        self._size = 0
        self._full = False
        self._narrator = Narrator(tail=_LOG_TAIL, verbose=verbose)

    def accept(self, record: Record, state: RunState) -> None:
        """Write a record's lines."""
        stamp = format_clock(record.time - state.started) if state.started else format_clock(0)
        self._write(self._before(record, state))
        for line in self._narrator.tell(record, state):
            self._write(self._render(line, stamp), essential=line.essential)
        self._write(self._after(record, state))
        self._stream.flush()

    def mask(self, secret: Secret) -> None:
        """See Sink.mask. Does nothing: records come redacted."""

    def tick(self, now: float, state: RunState) -> None:
        """Write what still goes on, after a minute without a line."""
        line = self._narrator.silence(now, state)
        if line is not None:
            self._write(self._render(line, format_clock(now - state.started)))
            self._stream.flush()

    def close(self) -> None:
        """Flush. The stream stays open: it belongs to the caller."""
        self._stream.flush()

    def _before(self, record: Record, state: RunState) -> Iterable[str]:  # noqa: ARG002 - for logs with groups
        """Return lines in the CI system's own language to write before a record. They ignore the limit."""
        return ()

    def _after(self, record: Record, state: RunState) -> Iterable[str]:  # noqa: ARG002 - as above
        """Return lines in the CI system's own language to write after a record. They ignore the limit."""
        return ()

    def _render(self, line: LogLine, stamp: str) -> list[str]:
        head = cut(f"{stamp:>8} {line.verb:<8} {line.text}".rstrip(), self._width)
        body = [cut(_INDENT + text, self._width).rstrip() for text in line.block]
        body += [f"{'':{len(_INDENT)}}{text}" for text in line.commands]
        color = _COLORS[line.tone] if self._color else ""
        return [f"{color}{head}{_RESET}", *body] if color else [head, *body]

    def _write(self, lines: Iterable[str], *, essential: bool | None = None) -> None:
        """Write lines. `essential` is None for the CI system's own lines, True or False for those that people read."""
        text = "".join(f"{line}\n" for line in lines)
        if not text:
            return
        data = text.encode(self._encoding, "backslashreplace")
        if essential is False and self._is_full(len(data)):
            return
        self._size += len(data)
        self._stream.write(data.decode(self._encoding))

    def _is_full(self, more: int) -> bool:
        if self._limit is None or (not self._full and self._size + more <= self._limit):
            return False
        if not self._full:
            self._full = True
            self._stream.write(
                f"{'':8} log      is full at {self._size:,} bytes: from now on it shows only essential lines; "
                "events.jsonl has all\n"
            )
        return True
