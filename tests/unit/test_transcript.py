"""What codex prints beyond all measure: it is kept whole, told once, and never lost or doubled by a death."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.child import COMMAND, COMPLETED, MESSAGE, STARTED, THREAD

from codex_runner.codex.agent import Codex
from codex_runner.domain import event as ev
from codex_runner.domain.cksum import cksum, finish
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.host import Output
from codex_runner.domain.run import Usage
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState, fold
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.transcript import Transcript
from codex_runner.redaction.redactor import Redactor
from codex_runner.sinks.jsonl import FileJournal, read_records

BOUND = 1000
SECRET = Secret("KEY", "s3cret/key+1")
BEGIN, END = f"{THREAD}\n{STARTED}\n".encode(), f"{MESSAGE}\n{COMPLETED}\n".encode()


def item(kind, size=2 * BOUND, how="completed", **fields):
    data = {"id": "item_1", "type": kind, "text": "x" * size, **fields}
    return json.dumps({"type": f"item.{how}", "item": data}, separators=(",", ":")).encode() + b"\n"


class Session:
    """Runners on one folder, one after the other, each from where the one before has died."""

    def __init__(self, path):
        self.folder = RunFolder(path / "20260102T030405Z-docs-0a1b2c3d")
        self.heard = []
        self._begin(RunState(), FileJournal.create(self.folder))
        self.recorder.emit(ev.RunStarted("r", "docs", "local", {}))
        self.recorder.emit(ev.AttemptStarted(1))
        self._listen()

    def _begin(self, state, journal):
        self._journal = journal
        self.recorder = Recorder(state, journal, [], Redactor([SECRET]))

    def _listen(self):
        self.transcript = Transcript(self.recorder, Codex(), self.heard.append, bound=BOUND)

    def die(self):
        """End without a word; another runner goes on."""
        self._journal.close()
        records, journal = FileJournal.recover(self.folder)
        self._begin(fold(records), journal)
        self._listen()

    def take(self, data, piece=64, stream="stdout", until=None):
        data = data[:until]
        while (at := self.transcript.received(stream)) < len(data):
            self.transcript.take(Output(stream, at, data[at : at + piece]))

    @property
    def events(self):
        return [record.event for record in read_records(self.folder.events)][2:]

    @property
    def unparsed(self):
        return [event for event in self.events if isinstance(event, ev.Unparsed)]


@pytest.fixture
def session(tmp_path):
    return Session(tmp_path)


def test_a_line_beyond_the_bound_is_kept_whole_and_told_once(session):
    line = item("agent_message")
    stream = BEGIN + line + END
    session.take(stream)
    session.transcript.finish()
    assert session.folder.codex.read_bytes() == stream
    assert session.unparsed == [ev.Unparsed("truncated", line[:500].decode(), len(line) - 1)]
    assert [event.kind for event in session.events] == [
        "thread.started", "turn.started", "unparsed", "item.completed", "turn.completed",
    ]  # fmt: skip
    at = session.recorder.position
    assert (at.stdout, finish(at.stdout_crc, at.stdout)) == (len(stream), cksum(stream))


@pytest.mark.parametrize("before", range(BOUND - 14, BOUND + 2))
def test_a_secret_that_straddles_the_bound_is_masked(session, before):
    session.take(b"y" * before + SECRET.reveal().encode() + b"z" * BOUND + b"\n")
    session.transcript.finish()
    assert session.folder.codex.read_bytes() == b"y" * before + b"***KEY***" + b"z" * BOUND + b"\n"


def test_no_secret_is_in_the_excerpt(session):
    session.take(b"y" * 490 + SECRET.reveal().encode() + b"z" * BOUND + b"\n")
    session.transcript.finish()
    (event,) = session.unparsed
    assert event.text == "y" * 490 + "***KEY***z"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (item("command_execution"), {"voids": False, "item_type": "command_execution", "item_id": "item_1"}),
        (item("reasoning"), {"voids": False, "item_type": "reasoning", "item_id": "item_1"}),
        (item("mcp_tool_call"), {"item_type": "mcp_tool_call", "item_id": "item_1"}),
        (item("command_execution", how="started"), {"item_type": "command_execution"}),
        (item("agent_message"), {}),
        (item("from_the_future"), {}),
        (item("error"), {}),
        (item("command_execution", id='item_1","type":"reasoning'), {}),
        (item("command_execution")[:-2] + b"\n", {}),
        (item("command_execution")[:-1], {}),
        (b'{"item":{"type":"command_execution"},"text":"' + b"x" * 2 * BOUND + b'"}\n', {}),
        (b'{"type":"turn.completed","x":"' + b"x" * 2 * BOUND + b'"}\n', {}),
        (b"\xff" * 2 * BOUND + b"\n", {}),
    ],
)
def test_of_what_a_long_line_tells(session, line, fields):
    session.take(BEGIN + line)
    session.transcript.finish()
    (event,) = session.unparsed
    assert event == ev.Unparsed(
        "truncated", line[:500].decode("utf-8", "replace"), len(line.removesuffix(b"\n")), **fields
    )
    assert session.heard[-1] == event


def test_a_command_that_ends_with_a_long_line_is_over(session):
    session.take(BEGIN + COMMAND.encode() + b"\n" + item("command_execution"))
    session.transcript.finish()
    assert session.recorder.state.attempts[0].open_items == {}


def test_lines_that_are_no_events_are_one(session):
    garbage = b"not json\n\n12\n" + b"more of it\n" * 5000
    session.take(BEGIN + garbage + END, piece=4096)
    session.transcript.finish()
    (event,) = session.unparsed
    assert (event.count, event.size) == (5002, 8 + 2 + 5000 * 10)
    assert event.text.startswith("not json\n12\nmore of it\nmore")
    assert (event.reason, len(event.text)) == ("not an event", 500)
    assert session.folder.codex.read_bytes() == BEGIN + garbage + END
    assert session.folder.events.stat().st_size < 10_000
    (warning,) = session.recorder.state.warnings
    assert (warning.code, "5,002 lines" in warning.message) == ("no-event", True)


def test_one_line_that_is_no_event_is_told_as_ever(session):
    session.take(b"not json\n" + BEGIN + b"[1]\n")
    session.transcript.finish()
    assert session.unparsed == [ev.Unparsed("not JSON", "not json", 8), ev.Unparsed("not an event", "[1]", 3)]
    assert [warning.message for warning in session.recorder.state.warnings] == [
        "codex printed 2 lines that are no events (11 bytes): codex.jsonl has all."
    ]


def test_a_run_of_lines_is_told_while_it_goes_on(session):
    session.take(b"one\n" * 3)
    for now in (10.0, 10.9):
        session.transcript.tick(now)
        assert session.unparsed == []
    session.transcript.tick(11.0)
    assert [event.count for event in session.unparsed] == [3]
    stream = b"one\n" * 3 + b"two\n" * 200
    for second in range(61):
        session.take(stream, until=16 + 4 * second)
        session.transcript.tick(20.0 + second)
    assert [event.count for event in session.unparsed] == [3, 61]


def test_what_is_recorded_meanwhile_does_not_stand_for_it(session):
    stream = BEGIN + b"noise\n" * 10 + item("agent_message") + END
    for until in (len(BEGIN) + 30, len(BEGIN) + 60 + 1500):
        session.take(stream, piece=1, until=until)
        session.recorder.warn("meanwhile", "something happened")
        session.take(b"WARNING: so it goes\n" * (until // 500), stream="stderr")
        session.die()
    session.take(stream)
    session.transcript.finish()
    assert [(event.reason, event.count) for event in session.unparsed] == [("not JSON", 10), ("truncated", 1)]
    assert session.folder.codex.read_bytes() == stream
    assert session.folder.stderr.read_bytes() == b"WARNING: so it goes\n" * ((len(BEGIN) + 1560) // 500)


pieces = st.sampled_from([*BEGIN.splitlines(True), *END.splitlines(True), item("reasoning"), item("agent_message")])
pieces |= st.sampled_from([b"noise\n", b"\n", b"[1]\n", b"\xff\xfe\n", b"x" * 3000 + b"\n", SECRET.reveal().encode()])


@given(st.lists(pieces, max_size=25), st.lists(st.floats(0, 1), max_size=4), st.integers(1, 2000), st.booleans())
def test_killed_anywhere_nothing_is_lost_or_doubled(tmp_path_factory, lines, deaths, piece, warns):
    stream = b"".join(lines)
    calm, killed = (Session(tmp_path_factory.mktemp("runner")) for _ in range(2))
    calm.take(stream)
    calm.transcript.finish()
    for death in sorted(deaths):
        killed.take(stream, piece, until=int(death * len(stream)))
        if warns:
            killed.recorder.emit(ev.UsageSeen(Usage()))
        killed.die()
    killed.take(stream, piece)
    killed.transcript.finish()
    assert killed.folder.codex.read_bytes() == calm.folder.codex.read_bytes()
    assert [event for event in killed.events if not isinstance(event, ev.UsageSeen)] == calm.events
    assert killed.recorder.position.stdout_crc == calm.recorder.position.stdout_crc


def test_a_long_line_of_stderr_is_kept_whole_and_costs_little(session):
    line = b"2026-11-21T01:37:00.957101Z ERROR codex_core: " + b"y" * 5_000_000 + SECRET.reveal().encode() + b"\n"
    tracemalloc.start()
    try:
        session.take(line, piece=1 << 16, stream="stderr")
        session.transcript.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
    assert session.folder.stderr.read_bytes() == line.replace(SECRET.reveal().encode(), b"***KEY***")
    (said,) = session.events
    assert said.level == "ERROR"
    assert said.message.endswith(f"yyy [... {len(line) - 1:,} bytes in all]")
    assert len(said.message) < 70_000
    assert session.transcript.stderr_tail.endswith(b"y***KEY***\n")
