"""The state is a fold over records: whoever has events.jsonl has everything."""

import copy
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import event_samples, item_samples, records

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.state import RunState, fold

USAGE = Usage(100, 20, 30, 5)


def folded(*events):
    return fold(records(events))


def attempt(number, thread, *usages):
    return [ev.AttemptStarted(number), ev.ThreadStarted(thread), *(ev.TurnCompleted(usage) for usage in usages)]


@given(st.lists(st.sampled_from(event_samples()), max_size=30), st.integers(0, 30))
def test_any_events_in_any_order_and_from_any_point(events, cut):
    whole = records(events)
    state = fold(whole)
    again = fold(whole[:cut])
    for record in whole[cut:]:
        again.apply(record)
    assert again == state
    read = [ev.record_from_json(json.loads(json.dumps(ev.record_to_json(record)))) for record in whole]
    assert fold(read) == state
    assert copy.deepcopy(state) == state


@pytest.mark.parametrize(
    ("events", "total"),
    [
        (attempt(1, "a", USAGE), USAGE),
        # codex counts over a thread: a second turn, and a resume, go on from the last total.
        (attempt(1, "a", USAGE, USAGE + USAGE), USAGE + USAGE),
        (attempt(1, "a", USAGE) + attempt(2, "a", USAGE + USAGE), USAGE + USAGE),
        (attempt(1, "a", USAGE) + attempt(2, "b", USAGE), USAGE + USAGE),
        # A resume that reports less (`exec review` reports zeros) takes nothing away.
        (attempt(1, "a", USAGE) + attempt(2, "a", Usage()), USAGE),
    ],
)
def test_usage_is_counted_once(events, total):
    assert folded(*events).usage == total


def test_lines_that_are_no_events_are_one_warning():
    noise = ev.Unparsed("not JSON", "x", 10, count=3)
    state = folded(*attempt(1, "a"), noise, ev.Warned("w", "another"), noise, *attempt(2, "a"), noise)
    assert [(warning.code, warning.message) for warning in state.warnings] == [
        ("no-event", "codex printed 9 lines that are no events (30 bytes): codex.jsonl has all."),
        ("w", "another"),
    ]


def test_a_line_that_is_too_long_is_told_with_its_place():
    long = ev.Unparsed("truncated", "x", 10**8)
    records_ = records([*attempt(1, "a"), long])
    at = dataclasses.replace(records_[-1], position=ev.Position(stdout_copy=123_456_789))
    state = fold([*records_[:-1], at])
    assert state.warnings == [
        ev.Warned(
            "truncated",
            "The line of codex.jsonl that ends at byte 123,456,789 has 100,000,000 bytes, which is too long to be read."
            " The runner does not know what it holds.",
        )
    ]
    assert "123,456,789" in state.attempts[0].unread


def test_attaching_is_no_new_attempt():
    state = folded(*attempt(1, "a"), ev.AttemptStarted(1, attached=True))
    assert len(state.attempts) == 1
    assert state.thread_id == "a"


def test_what_is_open():
    command = ev.Command("c", "make", "", None, "in_progress")
    other = ev.Command("d", "sleep", "", None, "in_progress")
    state = folded(ev.AttemptStarted(1), ev.ItemStarted(command), ev.ItemStarted(other), ev.ItemCompleted(command))
    assert state.attempt.open_items == {"d": other}
    state = folded(ev.AttemptStarted(1), ev.ItemStarted(other), ev.AttemptEnded(1, Ending(Failure.TIMEOUT, "")))
    assert state.attempt.open_items == {}


def test_the_reply_is_the_last_attempts():
    first = ev.ItemCompleted(ev.AgentMessage("m", "first"))
    second = ev.ItemCompleted(ev.AgentMessage("m", "second"))
    assert folded(ev.AttemptStarted(1), first, second).reply == "second"
    assert folded(ev.AttemptStarted(1), first, ev.AttemptStarted(2)).reply is None
    assert folded().reply is None


def test_what_was_done():
    state = folded(
        ev.AttemptStarted(1),
        ev.ItemCompleted(ev.Command("c1", "true", "", 0, "completed")),
        ev.ItemCompleted(ev.Command("c2", "false", "", 1, "failed")),
        ev.ItemCompleted(ev.Command("c3", "gone", "", None, "failed")),
        ev.ItemCompleted(ev.Command("c4", "true", "", 0, "a status of the future")),
        ev.ItemCompleted(ev.OtherItem("c5", "command_execution", {"cmd": "a shape of the future"})),
        ev.ItemCompleted(ev.FileChange("f1", (ev.FileEdit("/a", "add"), ev.FileEdit("/b", "add")), "completed")),
        ev.ItemCompleted(ev.FileChange("f2", (ev.FileEdit("/b", "delete"),), "completed")),
        ev.ItemCompleted(ev.FileChange("f3", (ev.FileEdit("/c", "add"),), "failed")),
        ev.ItemCompleted(ev.ItemWarning("w", "a policy fell back")),
    )
    assert (state.commands, state.failed_commands) == (5, 4)
    assert state.files == {"/a": "add", "/b": "delete"}
    assert [warning.message for warning in state.warnings] == ["a policy fell back"]


def test_every_item_is_taken_by_a_state_that_knows_no_attempt():
    state = RunState()
    for record in records([ev.ItemCompleted(item) for item in item_samples("x")]):
        state.apply(record)
    assert (state.commands, state.files, state.attempts) == (0, {}, [])


def test_seconds():
    state = fold(records([ev.RunStarted("r", "j", "local")], start=10.0))
    assert state.seconds == 0
    state.apply(ev.Record(2, 15.0, 0, ev.Position(), ev.Warned("x", "y")))
    assert state.seconds == 4
    state.apply(ev.Record(3, 1.0, 0, ev.Position(), ev.RunEnded(0, "succeeded", "")))
    assert state.seconds == 0, "a clock that was set back gives no negative time"


def test_warnings_of_one_kind_are_told_a_hundred_times():
    state = RunState()
    state.apply(ev.Record(1, 0.0, 1, ev.Position(), ev.AttemptStarted(1)))
    for number in range(20_000):
        item = ev.ItemWarning(f"item_{number}", f"warning {number}")
        state.apply(ev.Record(number + 2, 0.0, 1, ev.Position(), ev.ItemCompleted(item)))
    told = [warning.message for warning in state.warnings]
    assert told[:2] == ["warning 0", "warning 1"]
    assert len(told) == 101
    assert told[-1].startswith("And more of these")
