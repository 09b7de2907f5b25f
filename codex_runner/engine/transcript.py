"""The transcript of codex's output: splits its bytes into lines, redacts, copies and parses them, records events."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.domain import cksum
from codex_runner.domain.event import Diagnostic, Unparsed
from codex_runner.redaction.stream import StreamRedactor
from codex_runner.text.line_splitter import BOUND, Line, LineSplitter, Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Output, Stream
    from codex_runner.domain.ports import Agent
    from codex_runner.engine.recorder import Recorder

_STDERR_TAIL = 8192

# Bytes of the beginning and of the end of an overlong line that the agent's parser gets.
_HEAD = 1 << 16
_TAIL = 64

# Consecutive lines that are no events become one event, which shows _SHOWN characters of them. It is recorded after
# _QUIET seconds without another such line, and at the latest after _LONGEST seconds: a person may be watching the log.
# Their bytes are copied _AT_ONCE lines at a time.
_SHOWN = 500
_AT_ONCE = 4096
_QUIET = 1.0
_LONGEST = 60.0


class _Run:
    """Consecutive lines that are no events."""

    def __init__(self, first: Unparsed) -> None:
        self._first, self._reason = first, first.reason
        self._text, self._size, self._count = first.text, first.size, first.count
        self._seen, self._grown, self._since = 0, 0.0, 0.0
        self._raw: list[bytes] = []
        self._redacted: list[bytes] = []
        self._end = 0

    def hold(self, raw: bytes, redacted: bytes, end: int) -> bool:
        """Buffer a line, which ends at the offset `end`. Returns whether the buffer is full: then `write`."""
        self._raw.append(raw)
        self._redacted.append(redacted)
        self._end = end
        return len(self._raw) >= _AT_ONCE

    def write(self, recorder: Recorder) -> None:
        """Copy the buffered lines with one write. No record covers them yet."""
        if self._raw:
            crc = cksum.advance(recorder.position.stdout_crc, b"".join(self._raw))
            recorder.copy("stdout", b"".join(self._redacted), end=self._end, crc=crc, told=False)
            self._raw.clear()
            self._redacted.clear()

    def add(self, more: Unparsed) -> None:
        self._size += more.size
        self._count += more.count
        if more.reason != self._reason:
            self._reason = "not an event"
        if len(self._text) < _SHOWN:
            self._text = f"{self._text}\n{more.text}"[:_SHOWN]

    def is_due(self, now: float) -> bool:
        """Whether to record the lines although more may follow."""
        if not self._seen:
            self._since = now
        if self._count != self._seen:
            self._seen, self._grown = self._count, now
        return now - self._grown >= _QUIET or now - self._since >= _LONGEST

    def event(self) -> Unparsed:
        return dataclasses.replace(
            self._first, reason=self._reason, text=self._text, size=self._size, count=self._count
        )


class _LongLine:
    """An overlong line: only its redacted beginning and end are kept in memory."""

    def __init__(self, recorder: Recorder) -> None:
        self._stream = StreamRedactor(recorder.redactor)
        self.head = self.tail = b""

    def take(self, part: Part) -> bytes:
        """Take the next part; return the bytes that are redacted by now."""
        told = self._stream.feed(part.data) + (self._stream.finish() if part.last else b"")
        self.head += told[: _HEAD - len(self.head)]
        self.tail = (self.tail + told[-_TAIL:])[-_TAIL:]
        return told


class Transcript:
    """The two streams of the recorder's last attempt, from the recorder's position on.

    Memory is in proportion to `bound`, the length in bytes of the longest line that is parsed. A longer line is copied
    whole, and becomes one event that says so. Consecutive lines that are no events become one event, too. Until that
    event is recorded, no record covers its bytes: a runner that attaches reads them again.
    """

    def __init__(
        self,
        recorder: Recorder,
        agent: Agent,
        heard: Callable[[Event | None], None],
        *,
        bound: int = BOUND,
        said: bytes = b"",
    ) -> None:
        """`heard` gets each event before it is recorded, and None if codex wrote something that is no event.

        `said` is the end of codex's earlier stderr.
        """
        self._recorder, self._agent, self._heard = recorder, agent, heard
        at = recorder.position
        self._splitters: dict[Stream, LineSplitter] = {
            "stdout": LineSplitter(at.stdout, bound),
            "stderr": LineSplitter(at.stderr, bound),
        }
        self._long: dict[Stream, _LongLine] = {}
        self._run: _Run | None = None
        self.stderr_tail = said[-_STDERR_TAIL:]
        """The redacted end of codex's stderr."""

    def received(self, stream: Stream) -> int:
        """Return the offset behind the last byte received of a stream."""
        return self._splitters[stream].received

    def take(self, output: Output) -> None:
        """Take more bytes of a stream."""
        for piece in self._splitters[output.stream].feed(output.data):
            self._take(output.stream, piece)
        if self._run is not None and output.stream == "stdout":
            self._run.write(self._recorder)
            self._heard(None)

    def finish(self) -> None:
        """Take the unfinished last lines: both streams have ended."""
        for stream, splitter in self._splitters.items():
            for piece in splitter.finish():
                self._take(stream, piece)
        self.settle()

    def settle(self) -> None:
        """Record the pending lines that are no events, if there are any. Idempotent."""
        if self._run is not None:
            run, self._run = self._run, None
            run.write(self._recorder)
            self._recorder.settle("stdout")
            self._recorder.emit(run.event())

    def tick(self, now: float) -> None:
        """Record the pending lines that are no events if that is due. `now` is of the monotonic clock."""
        if self._run is not None and self._run.is_due(now):
            self.settle()

    def _take(self, stream: Stream, piece: Line | Part) -> None:
        if isinstance(piece, Part):
            self._take_part(stream, piece)
        elif stream == "stdout":
            self._take_line(piece)
        else:
            self._take_diagnostic(piece)

    def _take_line(self, line: Line) -> None:
        newline = b"\n" if line.whole else b""
        redacted = self._recorder.redactor(line.data)
        event = self._agent.parse(redacted) if redacted.strip() else None
        if isinstance(event, Unparsed):
            if self._run is None:
                self._run = _Run(event)
            else:
                self._run.add(event)
            event = None
        if event is None and self._run is not None:
            if self._run.hold(line.data + newline, redacted + newline, line.end):
                self._run.write(self._recorder)
            return
        self.settle()
        crc = cksum.advance(self._recorder.position.stdout_crc, line.data + newline)
        self._recorder.copy("stdout", redacted + newline, end=line.end, crc=crc)
        if event is not None:
            self._heard(event)
            self._recorder.emit(event)

    def _take_diagnostic(self, line: Line) -> None:
        redacted = self._recorder.redactor(line.data)
        self._recorder.copy("stderr", redacted + (b"\n" if line.whole else b""), end=line.end)
        self.stderr_tail = (self.stderr_tail + redacted + b"\n")[-_STDERR_TAIL:]
        if (event := self._agent.parse_diagnostic(redacted)) is not None:
            self._recorder.emit(event)

    def _take_part(self, stream: Stream, part: Part) -> None:
        if stream not in self._long:
            if stream == "stdout":
                self.settle()
            self._long[stream] = _LongLine(self._recorder)
        long = self._long[stream]
        newline = b"\n" if part.whole else b""
        told = long.take(part)
        crc = cksum.advance(self._recorder.position.stdout_crc, part.data + newline) if stream == "stdout" else None
        self._recorder.copy(stream, told + newline, end=part.end, crc=crc, told=part.last)
        if stream == "stdout":
            self._heard(None)
        else:
            self.stderr_tail = (self.stderr_tail + told + newline)[-_STDERR_TAIL:]
        if part.last:
            del self._long[stream]
            self._record_long(stream, long, part)

    def _record_long(self, stream: Stream, long: _LongLine, part: Part) -> None:
        if stream == "stdout":
            event = self._agent.parse_truncated(long.head, long.tail, part.size, whole=part.whole)
            self._heard(event)
            self._recorder.emit(event)
        elif (said := self._agent.parse_diagnostic(long.head)) is not None:
            self._recorder.emit(
                dataclasses.replace(said, message=f"{said.message} [... {part.size:,} bytes in all]")
                if isinstance(said, Diagnostic)
                else said
            )
