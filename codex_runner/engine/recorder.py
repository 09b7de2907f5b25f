"""Where every event of a run goes: into the journal, into the state, to the sinks, in this order."""

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
    """Numbers events, and hands them on. Nothing is seen by anybody before it is in the journal."""

    def __init__(
        self,
        state: RunState,
        journal: Journal,
        sinks: Sequence[Sink],
        redactor: Redactor,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Go on from `state`: its sequence number, its attempt, its position, its time."""
        self.state = state
        self.clock = clock or Clock(state.updated)
        self.redactor = redactor
        self._journal = journal
        self._sinks = list(sinks)
        # What has been read and copied, and what of it the next record stands for.
        self._position = self._told = state.position
        self._between: list[Record] = []
        self.broken = False
        """Whether the journal has failed: what came since is in the state alone."""

    @property
    def position(self) -> Position:
        """How far the host's output has been read and copied, including what no record stands for yet."""
        return self._position

    def emit(self, event: Event, at: float | None = None) -> None:
        """Record an event. After the journal has failed, which raises once, only the state and the sinks get it.

        `at` is when another runner saw it, in seconds since the epoch. The times of records never run backwards.
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
        """Return what was recorded since the last attempt ended, or since the beginning, up to the one that begins."""
        records, self._between = self._between, []
        return records

    def copy(self, stream: Stream, data: bytes, *, end: int, crc: int | None = None, told: bool = True) -> None:
        """Keep redacted bytes of a stream, which stand for the host's bytes up to `end`.

        Unless they are `told`, no record stands for them before `settle`, or before later ones of the stream are told:
        a runner that goes on with the run reads them again.
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
        """Let the next record stand for all of a stream that has been copied."""
        out, err = (self._position, self._told) if stream == "stdout" else (self._told, self._position)
        self._told = Position(out.stdout, err.stderr, out.stdout_copy, err.stderr_copy, out.stdout_crc)

    def learn(self, secret: Secret) -> None:
        """Keep a secret out of everything from now on."""
        self.redactor.learn(secret)
        self._each_sink(lambda sink: sink.mask(secret))

    def warn(self, code: str, message: str) -> None:
        """Record a warning. What it quotes may hold a secret."""
        self.emit(Warned(code, self.redactor.text(message)))

    def tick(self, now: float) -> None:
        """Let the sinks that want to show that time passes do so. `now` is seconds since the epoch."""
        self._each_sink(lambda sink: sink.tick(now, self.state))

    def close(self) -> None:
        """Finish the sinks and the journal. Raises where the journal may not be whole; it has failed then."""
        self._each_sink(lambda sink: sink.close())
        self._keep(self._journal.close)

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception:
            self.broken = True
            raise

    def _each_sink(self, show: Callable[[Sink], None]) -> None:
        """Show something to each sink. One that fails goes and the run stays: a full pipe must not end what works."""
        failed: list[tuple[Sink, Exception]] = []
        for sink in self._sinks:
            try:
                show(sink)
            except Exception as error:  # noqa: BLE001 - whatever a sink raises
                failed.append((sink, error))
        # Told only now, and to those that are left: a warning in between would reach some of them before its cause.
        gone = [sink for sink, _ in failed]
        self._sinks = [sink for sink in self._sinks if sink not in gone]
        for sink, why in failed:
            self.warn("sink", f"{type(sink).__name__} failed and shows no more: {type(why).__name__}: {why}")
