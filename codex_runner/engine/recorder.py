"""Where every event of a run goes: into the journal, into the state, to the sinks, in this order."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.domain.event import AttemptStarted, Position, Record, Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Stream
    from codex_runner.domain.ports import Journal, Sink
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.engine.redact import Redactor


class Recorder:
    """Numbers events, and hands them on. Nothing is seen by anybody before it is in the journal."""

    def __init__(self, state: RunState, journal: Journal, sinks: Sequence[Sink], redactor: Redactor) -> None:
        """Go on from `state`: its sequence number, its attempt, its position."""
        self.state = state
        self.redactor = redactor
        self._journal = journal
        self._sinks = list(sinks)
        self._position = state.position

    @property
    def position(self) -> Position:
        """How far the host's output has been read and copied, including what no record stands for yet."""
        return self._position

    def emit(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, AttemptStarted) and not event.attached:
            self._position = dataclasses.replace(self._position, stdout=0, stderr=0, stdout_crc=Position().stdout_crc)
            attempt = event.number
        else:
            attempt = self.state.attempts[-1].number if self.state.attempts else 0
        record = Record(self.state.seq + 1, time.time(), attempt, self._position, event)
        self._journal.append(record)
        self.state.apply(record)
        for sink in list(self._sinks):
            self._show(sink, record)

    def copy(self, stream: Stream, data: bytes, *, end: int, crc: int | None = None) -> None:
        """Keep redacted bytes of a stream, which stand for the host's bytes up to `end`."""
        self._journal.copy(stream, data)
        at = self._position
        if stream == "stdout":
            self._position = dataclasses.replace(
                at, stdout=end, stdout_copy=at.stdout_copy + len(data), stdout_crc=at.stdout_crc if crc is None else crc
            )
        else:
            self._position = dataclasses.replace(at, stderr=end, stderr_copy=at.stderr_copy + len(data))

    def learn(self, secret: Secret) -> None:
        """Keep a secret out of everything from now on."""
        self.redactor.learn(secret)
        for sink in list(self._sinks):
            try:
                sink.mask(secret)
            except Exception as error:  # noqa: BLE001 - a sink is best effort, and our own masks hold without it
                self._drop(sink, error)

    def warn(self, code: str, message: str) -> None:
        """Record a warning."""
        self.emit(Warned(code, message))

    def tick(self, now: float) -> None:
        """Let the sinks that want to show that time passes do so. `now` is seconds since the epoch."""
        for sink in list(self._sinks):
            try:
                sink.tick(now, self.state)
            except Exception as error:  # noqa: BLE001 - a sink is best effort: it goes, the run stays
                self._drop(sink, error)

    def close(self) -> None:
        """Finish the sinks and the journal."""
        for sink in list(self._sinks):
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - as above
                self._drop(sink, error)
        self._journal.close()

    def _show(self, sink: Sink, record: Record) -> None:
        try:
            sink.accept(record, self.state)
        except Exception as error:  # noqa: BLE001 - a full pipe of the log must not end a run that works
            self._drop(sink, error)

    def _drop(self, sink: Sink, error: Exception) -> None:
        self._sinks.remove(sink)
        self.warn("sink", f"{type(sink).__name__} failed and shows no more: {type(error).__name__}: {error}")
