"""The recorder: writes each event of a run to the journal, then applies it to the state, then shows it to the sinks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.domain.event import AttemptStarted, Position, Record, Warned
from codex_runner.engine.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Stream
    from codex_runner.domain.ports import Journal, Sink
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.redaction.redactor import Redactor


class Recorder:
    """Write-ahead: numbers each event and writes it to the journal before any sink sees it."""

    def __init__(
        self,
        state: RunState,
        journal: Journal,
        sinks: Sequence[Sink],
        redactor: Redactor,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Continue from `state`: its sequence number, its attempt, its position, its time."""
        self.state = state
        self.clock = clock or Clock(state.updated)
        self.redactor = redactor
        self._journal = journal
        self._sinks = list(sinks)
        # How far output has been read and copied, and how far the next record covers it.
        self._position = self._told = state.position
        self._between: list[Record] = []
        self.broken = False
        """Whether the journal has failed. Later records are in the state only."""

    @property
    def position(self) -> Position:
        """How far the host's output has been read and copied, including bytes that no record covers yet."""
        return self._position

    def emit(self, event: Event, at: float | None = None) -> None:
        """Record an event. Raises once if the journal fails; from then on only the state and the sinks get events.

        `at` is when another runner saw the event, in seconds since the epoch. The times of records never decrease.
        """
        if isinstance(event, AttemptStarted) and not event.attached:
            self._position = dataclasses.replace(self._position, stdout=0, stderr=0, stdout_crc=Position().stdout_crc)
            self._told = self._position
            attempt = event.number
        else:
            attempt = self.state.attempts[-1].number if self.state.attempts else 0
        if at is not None:
            self.clock.reach(at)
        at = self.clock.now() if at is None else max(at, self.state.updated)
        record = Record(self.state.seq + 1, at, attempt, self._told, event)
        if not self.broken:
            self._keep(lambda: self._journal.append(record))
        if self.state.attempt is None or self.state.attempt.ending is not None:
            self._between.append(record)
        self.state.apply(record)
        self._each_sink(lambda sink: sink.accept(record, self.state))

    def take_between(self) -> Sequence[Record]:
        """Return the records since the last attempt ended, or since the run began, and forget them."""
        records, self._between = self._between, []
        return records

    def copy(self, stream: Stream, data: bytes, *, end: int, crc: int | None = None, told: bool = True) -> None:
        """Append redacted bytes to the copy of a stream; they stand for the host's bytes up to the offset `end`.

        With `told` False, no record covers them until `settle`, or until later bytes of the stream are told. A runner
        that attaches before then reads them again.
        """
        self._keep(lambda: self._journal.copy(stream, data))
        at, more = self._position, len(data)
        if stream == "stdout":
            crc = at.stdout_crc if crc is None else crc
            self._position = Position(end, at.stderr, at.stdout_copy + more, at.stderr_copy, crc)
        else:
            self._position = Position(at.stdout, end, at.stdout_copy, at.stderr_copy + more, at.stdout_crc)
        if told:
            self.settle(stream)

    def settle(self, stream: Stream) -> None:
        """Let the next record cover all bytes of a stream that have been copied."""
        out, err = (self._position, self._told) if stream == "stdout" else (self._told, self._position)
        self._told = Position(out.stdout, err.stderr, out.stdout_copy, err.stderr_copy, out.stdout_crc)

    def learn(self, secret: Secret) -> None:
        """Redact a secret from now on, and tell the sinks to mask it."""
        self.redactor.learn(secret)
        self._each_sink(lambda sink: sink.mask(secret))

    def warn(self, code: str, message: str) -> None:
        """Record a warning, redacted: the message may quote a secret."""
        self.emit(Warned(code, self.redactor.text(message)))

    def tick(self, now: float) -> None:
        """Let the sinks show that time passes. `now` is seconds since the epoch."""
        self._each_sink(lambda sink: sink.tick(now, self.state))

    def close(self) -> None:
        """Close the sinks and the journal. Raises if the journal may be incomplete; it counts as failed then."""
        self._each_sink(lambda sink: sink.close())
        self._keep(self._journal.close)

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception:
            self.broken = True
            raise

    def _each_sink(self, show: Callable[[Sink], None]) -> None:
        """Call each sink. Drop one that raises, with a warning: a broken pipe must not end the run."""
        failed: list[tuple[Sink, Exception]] = []
        for sink in self._sinks:
            try:
                show(sink)
            except Exception as error:  # noqa: BLE001 - a sink may raise anything
                failed.append((sink, error))
        # Warn only after the loop: a warning in between would reach some sinks before the event that caused it.
        gone = [sink for sink, _ in failed]
        self._sinks = [sink for sink in self._sinks if sink not in gone]
        for sink, why in failed:
            self.warn("sink", f"{type(sink).__name__} failed, and gets no more events: {type(why).__name__}: {why}")
