"""One way for every event: into the journal, into the state, to the sinks."""

from pathlib import Path

import pytest

from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.run import Usage
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.engine import recorder as recorder_module
from codex_runner.engine.clock import Clock
from codex_runner.engine.recorder import Recorder
from codex_runner.redaction.redactor import Redactor

KEY = Secret("KEY", "key-0123456789")


class Everything:
    """A journal and a sink in one, which notes in which order it is called."""

    def __init__(self):
        self.calls = []
        self.fails = set()

    def _note(self, *call):
        self.calls.append(call)
        if call[0] in self.fails:
            raise ConfigurationError(f"{call[0]} failed")

    def copy(self, stream, data):
        self._note("copy", stream, data)

    def append(self, record):
        self._note("append", record)

    def mask(self, secret):
        self._note("mask", secret)

    def accept(self, record, state):
        self._note("accept", record, state.seq)

    def tick(self, now, state):
        self._note("tick", now)

    def close(self):
        self._note("close")


@pytest.fixture
def journal():
    return Everything()


@pytest.fixture
def sink():
    return Everything()


@pytest.fixture
def recorder(journal, sink):
    return Recorder(RunState(), journal, [sink], Redactor([KEY]))


def records(part):
    return [call[1] for call in part.calls if call[0] in {"append", "accept"}]


def test_a_record_is_kept_before_it_is_shown(recorder, journal, sink):
    journal.append = lambda record: journal.calls.append(("append", record, len(sink.calls)))
    recorder.emit(ev.TurnStarted())
    recorder.emit(ev.TurnCompleted(Usage()))
    assert [(call[1].seq, call[2]) for call in journal.calls] == [(1, 0), (2, 1)]
    assert [(call[1].seq, call[2]) for call in sink.calls] == [(1, 1), (2, 2)], "the state includes the record"


def test_positions(recorder, journal):
    recorder.emit(ev.AttemptStarted(1))
    recorder.copy("stdout", b"***KEY***\n", end=20, crc=7)
    recorder.copy("stderr", b"oops\n", end=5)
    recorder.emit(ev.TurnStarted())
    recorder.emit(ev.AttemptStarted(1, attached=True))
    # A new attempt has new streams; the copies run on.
    recorder.emit(ev.AttemptStarted(2))
    recorder.copy("stdout", b"x", end=1, crc=9)
    recorder.emit(ev.TurnStarted())
    start = ev.Position().stdout_crc
    assert [(r.attempt, r.position) for r in records(journal)] == [
        (1, ev.Position()),
        (1, ev.Position(20, 5, 10, 5, 7)),
        (1, ev.Position(20, 5, 10, 5, 7)),
        (2, ev.Position(0, 0, 10, 5, start)),
        (2, ev.Position(1, 0, 11, 5, 9)),
    ]


def test_what_is_not_told_yet_is_read_again(recorder, journal):
    recorder.emit(ev.AttemptStarted(1))
    recorder.copy("stdout", b"ab", end=2, crc=7, told=False)
    recorder.copy("stderr", b"oops\n", end=5)
    recorder.emit(ev.TurnStarted())
    assert recorder.position == ev.Position(2, 5, 2, 5, 7)
    recorder.settle("stdout")
    recorder.copy("stderr", b"x", end=6, told=False)
    recorder.emit(ev.TurnStarted())
    recorder.copy("stderr", b"y", end=7)
    recorder.emit(ev.TurnStarted())
    start = ev.Position().stdout_crc
    assert [r.position for r in records(journal)[1:]] == [
        ev.Position(0, 5, 0, 5, start),
        ev.Position(2, 5, 2, 5, 7),
        ev.Position(2, 7, 2, 7, 7),
    ]


class Hands:
    """Two clocks that a test sets."""

    def __init__(self):
        self.wall, self.monotonic = 1_000_000.0, 50.0

    def clock(self, not_before=0.0):
        return Clock(not_before, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_jumps_changes_no_duration(journal, jump):
    hands = Hands()
    recorder = Recorder(RunState(), journal, [], Redactor(), clock=hands.clock())
    recorder.emit(ev.RunStarted("r", "docs", "local", {}))
    recorder.emit(ev.AttemptStarted(1))
    for _ in range(3):
        hands.monotonic += 10
        hands.wall += 10 + jump
        recorder.emit(ev.TurnStarted())
    assert [r.time for r in records(journal)] == [1_000_000, 1_000_000, 1_000_010, 1_000_020, 1_000_030]
    assert recorder.state.seconds == 30


def test_a_runner_that_goes_on_never_goes_back(journal):
    hands = Hands()
    recorder = Recorder(
        RunState(updated=1_000_100.0, started=1_000_000.0), journal, [], Redactor(), clock=hands.clock(1_000_100.0)
    )
    recorder.emit(ev.TurnStarted())
    hands.monotonic += 5
    recorder.emit(ev.TurnStarted())
    assert [r.time for r in records(journal)] == [1_000_100, 1_000_105]


def test_what_another_machine_saw_later_is_not_before_what_comes(journal):
    hands = Hands()
    recorder = Recorder(RunState(), journal, [], Redactor(), clock=hands.clock())
    for at in (1_086_400.0, 1_086_390.0, None):
        recorder.emit(ev.TurnStarted(), at)
        hands.monotonic += 1
    assert [r.time for r in records(journal)] == [1_086_400, 1_086_400, 1_086_402]


def test_going_on(journal, sink):
    state = RunState(seq=7, position=ev.Position(20, 5, 10, 5, 7))
    recorder = Recorder(state, journal, [sink], Redactor())
    recorder.emit(ev.TurnStarted())
    assert [(r.seq, r.position.stdout) for r in records(journal)] == [(8, 20)]


def test_a_warning_holds_no_secret(recorder, sink):
    recorder.warn("x", f"it said {KEY.reveal()}")
    assert records(sink)[0].event.message == "it said ***KEY***"


def test_a_secret_that_is_learnt_is_masked_by_all(recorder, sink):
    later = Secret("LATER", "another-secret")
    recorder.learn(later)
    assert sink.calls == [("mask", later)]
    assert recorder.redactor(b"another-secret") == b"***LATER***"


@pytest.mark.parametrize("fails", ["accept", "tick", "mask", "close"])
def test_a_sink_that_fails_goes_and_the_others_are_told(journal, fails):
    broken, other = Everything(), Everything()
    broken.fails = {fails}
    recorder = Recorder(RunState(), journal, [broken, other], Redactor())
    recorder.emit(ev.TurnStarted())
    recorder.learn(KEY)
    recorder.tick(1.0)
    recorder.close()
    assert [call[0] for call in broken.calls].count(fails) == 1
    assert records(other) == records(journal)
    warnings = [record.event for record in records(journal) if isinstance(record.event, ev.Warned)]
    assert [warning.code for warning in warnings] == ["sink"]
    assert "Everything failed" in warnings[0].message


@pytest.mark.parametrize("fails", ["append", "copy"])
def test_a_journal_that_fails_is_told_once(recorder, journal, sink, fails):
    recorder.emit(ev.AttemptStarted(1))
    journal.fails = {fails}
    with pytest.raises(ConfigurationError):
        recorder.emit(ev.TurnStarted()) if fails == "append" else recorder.copy("stdout", b"x", end=1, crc=1)
    assert recorder.broken
    kept = len(records(journal))
    recorder.emit(ev.RunEnded(3, "failed", "the disk is full"))
    assert recorder.state.verdict.exit_code == 3
    assert records(sink)[-1].event.kind == "run.ended"
    assert len(records(journal)) == kept, "nothing is written behind a gap"


def test_the_engine_asks_the_systems_clock_only_where_dates_count():
    """Whether a credential or a file is old, which day a ledger is at, and the date of a `Retry-After`.

    Durations are told by `recorder.clock`.
    """
    engine = Path(recorder_module.__file__).parent
    asked = {path.name for path in engine.glob("*.py") if "time.time()" in path.read_text()}
    assert asked == {"runner.py", "admission.py", "server_faults.py"}
