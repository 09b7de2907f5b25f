"""Which message is the agent's final one: what may follow it, and what takes that away."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import event_samples, records

from codex_runner.codex.events import parse
from codex_runner.domain import event as ev
from codex_runner.domain.run import Usage
from codex_runner.domain.state import fold

REPLY = ev.ItemCompleted(ev.AgentMessage("m1", "partial..."))
COMMAND = ev.Command("c", "make  all", "", None, "in_progress")
DONE = replace(COMMAND, status="completed", exit_code=0)
PATCH = ev.FileChange("p", (ev.FileEdit("/w/a", "add"),), "in_progress")
TOOL = ev.ToolCall("t", "demo", "echo", "in_progress")
SEARCH = ev.WebSearch("w", "weather")
PLAN = ev.TodoList("l", (ev.Todo("a", completed=False),))
OTHER = ev.OtherItem("o", "collab_tool_call", {})
COMPLETED = ev.TurnCompleted(Usage(100, 0, 10, 0))


def attempt(*events):
    return fold(records([ev.AttemptStarted(1), ev.TurnStarted(), *events])).attempts[0]


def parsed(text):
    return parse(text.encode())


# What stood before the message, and what comes after it.
HARMLESS = [
    ((), (COMPLETED,)),
    ((ev.ItemStarted(PLAN),), (ev.ItemCompleted(PLAN),)),
    ((ev.ItemStarted(PLAN), ev.ItemUpdated(PLAN)), (ev.ItemCompleted(PLAN),)),
    ((), (ev.ItemCompleted(ev.Reasoning("r", "hm")),)),
    ((), (ev.ItemStarted(ev.Reasoning("r", "hm")), ev.ItemCompleted(ev.Reasoning("r", "hm")))),
    ((), (ev.ItemCompleted(ev.ItemWarning("e", "clamping", known=True)),)),
    ((ev.ItemStarted(COMMAND),), (ev.ItemCompleted(DONE),)),
    ((ev.ItemStarted(COMMAND),), (ev.ItemCompleted(replace(DONE, status="failed", exit_code=1)),)),
    ((ev.ItemStarted(TOOL),), (ev.ItemCompleted(replace(TOOL, status="completed")),)),
    ((ev.ItemStarted(PATCH),), (ev.ItemCompleted(replace(PATCH, status="completed")),)),
    ((ev.ItemStarted(SEARCH),), (ev.ItemCompleted(SEARCH),)),
    ((ev.ItemStarted(COMMAND),), (COMPLETED,)),
    ((ev.StreamError("Reconnecting... 1/5"), ev.Unparsed("not JSON", "x", 1)), ()),
    ((), (ev.Diagnostic("ERROR", "x"), ev.UsageSeen(Usage(1, 0, 1, 0)))),
    ((), (ev.Unparsed("known noise", "x", 1, voids=False),)),
]


@pytest.mark.parametrize(("before", "after"), HARMLESS)
def test_what_may_follow_a_reply(before, after):
    found = attempt(*before, REPLY, *after)
    assert (found.reply, found.answered, found.voided) == ("partial...", True, "")


VOIDING = [
    ((), ev.StreamError("Reconnecting... 1/1 (stream disconnected)"), "Reconnecting... 1/1"),
    ((), ev.StreamError("anything else"), "codex reported an error (anything else)"),
    ((), ev.ItemStarted(COMMAND), "the command 'make all' began"),
    ((), ev.ItemStarted(PATCH), "a patch began"),
    ((), ev.ItemStarted(TOOL), "the tool call 'demo.echo' began"),
    ((), ev.ItemStarted(SEARCH), "a web search began"),
    ((), ev.ItemStarted(OTHER), "'collab_tool_call' began"),
    ((), ev.ItemStarted(PLAN), "the plan began"),
    ((ev.ItemStarted(PLAN),), ev.ItemUpdated(PLAN), "the plan went on"),
    ((), ev.ItemStarted(ev.AgentMessage("m2", "")), "a message began"),
    ((), ev.ItemUpdated(ev.AgentMessage("m2", "an")), "a message went on"),
    ((ev.ItemStarted(COMMAND),), ev.ItemUpdated(COMMAND), "the command 'make all' went on"),
    ((), ev.ItemCompleted(DONE), "the command 'make all' came without its start"),
    ((), ev.ItemCompleted(replace(PATCH, status="completed")), "a patch came without its start"),
    ((), ev.ItemCompleted(replace(TOOL, status="completed")), "the tool call 'demo.echo' came without its start"),
    ((), ev.ItemCompleted(SEARCH), "a web search came without its start"),
    ((), ev.ItemCompleted(PLAN), "the plan came without its start"),
    ((ev.ItemStarted(replace(PLAN, id="l2")),), ev.ItemCompleted(PLAN), "the plan came without its start"),
    ((ev.ItemStarted(replace(TOOL, id="c")),), ev.ItemCompleted(DONE), "came without its start"),
    ((ev.ItemStarted(COMMAND),), ev.ItemCompleted(replace(DONE, status="paused")), "a status that codex-runner"),
    ((ev.ItemStarted(OTHER),), ev.ItemCompleted(OTHER), "'collab_tool_call' came, which cannot be read"),
    ((), ev.ItemCompleted(ev.ItemWarning("e", "Falling back from WebSockets")), "may be more than a warning"),
    ((), ev.ItemStarted(ev.ItemWarning("e", "x")), "began"),
    ((), ev.ItemCompleted(ev.OtherItem("m2", "agent_message", {})), "a message that cannot be read"),
    ((), ev.OtherEvent("turn.paused", {}), "turn.paused"),
    ((), ev.OtherEvent("thread.started", {"thread_id": 5}), "thread.started"),
    ((), ev.Unparsed("not JSON", "{", 12_345), "(not JSON, 12,345 bytes)"),
    ((), ev.ReplyMissing("t"), "the model went on and said nothing more"),
    ((), ev.TurnStarted(), "another turn began"),
    ((), ev.ThreadStarted("t"), "another thread began"),
]


@pytest.mark.parametrize(("before", "event", "why"), VOIDING)
def test_what_voids_a_reply(before, event, why):
    found = attempt(*before, REPLY, event, COMPLETED)
    assert not found.answered
    assert why in found.voided
    state = fold(records([ev.AttemptStarted(1), *before, REPLY, event]))
    assert state.reply is None, "no report takes it for the final message"


@pytest.mark.parametrize(("before", "event", "why"), VOIDING)
def test_another_message_is_the_reply_then(before, event, why):
    found = attempt(*before, REPLY, event, ev.ItemCompleted(ev.AgentMessage("m2", "done")), COMPLETED)
    assert (found.reply, found.answered, found.voided) == ("done", True, "")


def test_the_first_cause_is_told_or_what_may_have_been_a_message():
    begun = attempt(REPLY, ev.ItemStarted(COMMAND), ev.StreamError("later"))
    assert begun.voided == "the command 'make all' began"
    torn = attempt(REPLY, ev.ItemStarted(COMMAND), ev.Unparsed("not JSON", "{", 9), ev.StreamError("later"))
    assert "not JSON" in torn.voided
    assert "not JSON" in attempt(ev.Unparsed("not JSON", "{", 9)).voided, "without any message, too"
    assert attempt(ev.ItemStarted(COMMAND)).voided == ""


def test_a_long_command_is_told_in_short():
    found = attempt(REPLY, ev.ItemStarted(replace(COMMAND, command="x" * 10_000)))
    assert len(found.voided) < 200


def _says_nothing(event):
    """Whether an event neither is a message nor begins another attempt."""
    message = isinstance(event, ev.ItemCompleted) and isinstance(event.item, ev.AgentMessage)
    return not message and not isinstance(event, ev.AttemptStarted)


SILENT = st.lists(st.sampled_from([event for event in event_samples() if _says_nothing(event)]), max_size=10)


@given(SILENT, st.sampled_from([event for _, event, _ in VOIDING if _says_nothing(event)]), SILENT)
def test_only_another_message_makes_it_good(before, event, after):
    if isinstance(event, ev.ItemCompleted):  # it may have begun by now
        event = ev.StreamError("x")
    assert not attempt(REPLY, *before, event, *after).answered


# --- what still runs at the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [COMPLETED, ev.TurnFailed("no")])
def test_what_still_runs_when_the_turn_ends_is_named(end):
    waiting = [ev.ItemStarted(item) for item in (COMMAND, TOOL, OTHER, PLAN, ev.Reasoning("r", ""))]
    state = fold(records([ev.AttemptStarted(1), ev.TurnStarted(), *waiting, end, end]))
    assert [(each.code, each.message) for each in state.warnings] == [
        ("still-running", "The turn ended while the command 'make all' still ran."),
        ("still-running", "The turn ended while the tool call 'demo.echo' still ran."),
        ("still-running", "The turn ended while an item of the type 'collab_tool_call' still ran."),
    ]


def test_what_has_ended_is_not():
    state = fold(records([ev.AttemptStarted(1), ev.ItemStarted(COMMAND), ev.ItemCompleted(DONE), COMPLETED]))
    assert state.warnings == []


# --- what codex prints, word for word --------------------------------------------------------------------------------

TODO = (
    '{"type":"item.started","item":{"id":"item_0","type":"todo_list","items":[{"text":"a","completed":false}]}}',
    '{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"plan done"}}',
    '{"type":"item.completed","item":{"id":"item_0","type":"todo_list","items":[{"text":"a","completed":true}]}}',
)
FLAKY = (
    '{"type":"error","message":"Reconnecting... 1/1 (stream disconnected)"}',
    '{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"recovered"}}',
)
BACKGROUND = (
    (
        '{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"sleep 9",'
        '"aggregated_output":"","exit_code":null,"status":"in_progress"}}'
    ),
    '{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"did not wait"}}',
)


@pytest.mark.parametrize("lines", [TODO, FLAKY, BACKGROUND])
def test_endings_that_codex_prints_are_answers(lines):
    assert attempt(*map(parsed, lines), COMPLETED).answered


def test_a_reply_from_before_a_retry_is_stale():
    """The retried stream brought a refusal, of which codex says nothing."""
    message, retry = json.loads(FLAKY[1]), json.loads(FLAKY[0])
    found = attempt(parse(json.dumps(message).encode()), parse(json.dumps(retry).encode()), COMPLETED)
    assert not found.answered
    assert "Reconnecting... 1/1" in found.voided
