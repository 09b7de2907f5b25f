"""What codex's words come to. The messages are word for word those of codex 0.163 and 0.169."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.codex.failures import classify, judge
from codex_runner.domain import event as ev
from codex_runner.domain.errors import ExitCode
from codex_runner.domain.run import Failure, ProcessExit, StopReason, Sweep, Usage
from codex_runner.domain.state import RunState

TURN = (ev.TurnStarted(),)
MESSAGE = ev.ItemCompleted(ev.AgentMessage("i", "done"))
COMPLETED = ev.TurnCompleted(Usage(100, 0, 10, 0))


def begun():
    return ev.ItemStarted(ev.Command("c", "id", "", None, "in_progress"))


def command(*, refused):
    return ev.ItemCompleted(ev.Command("c", "id", "", int(refused), "completed", refused))


def ending(*events, code=0, signal=None, stopped=StopReason.NONE, stderr="", expect_message=True):
    state = RunState()
    for seq, event in enumerate((ev.AttemptStarted(1), *events), 1):
        state.apply(ev.Record(seq, 0.0, 1, ev.Position(), event))
    exit_ = ProcessExit(None if signal else code, signal, stopped, 0, 0, 0, Sweep.CLEAN)
    return judge(state.attempts[0], exit_, stderr, expect_message=expect_message)


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        ("We\u2019re currently experiencing high demand, which may cause temporary errors.", Failure.CAPACITY),
        ("Selected model is at capacity. Please try a different model.", Failure.CAPACITY),
        ("unexpected status 401 Unauthorized: Incorrect API key provided, url: http://x/v1", Failure.CREDENTIAL),
        ("unexpected status 403 Forbidden: not for this account", Failure.CREDENTIAL),
        ("The model does not exist", Failure.UNKNOWN_MODEL),
        ("exceeded retry limit, last status: 429 Too Many Requests", Failure.RATE_LIMIT),
        ("You\u2019ve hit your usage limit. Try again at 2:36 AM.", Failure.QUOTA),
        ("Quota exceeded. Check your plan and billing details.", Failure.QUOTA),
        (
            "Codex ran out of room in the model\u2019s context window. Start a new thread or clear earlier history.",
            Failure.CONTEXT_FULL,
        ),
        ("stream disconnected before completion: Rate limit reached. Please try again in 1s.", Failure.RATE_LIMIT),
        ("stream disconnected before completion: stream closed before response.completed", Failure.NETWORK),
        ("stream disconnected before completion: idle timeout waiting for SSE", Failure.NETWORK),
        ("stream disconnected before completion: error sending request for url (http://x/v1)", Failure.NETWORK),
        ("unexpected status 502 Bad Gateway: <html>", Failure.CAPACITY),
        ('{"error":{"message":"bad","type":"invalid_request_error"}}', Failure.BAD_REQUEST),
        (
            "thread/resume: thread/resume failed: no rollout found for thread id 01a1fd23 (code -32600)",
            Failure.THREAD_LOST,
        ),
        ("something that nobody has seen before", Failure.UNKNOWN),
        ("", Failure.UNKNOWN),
    ],
)
def test_messages(message, failure):
    assert classify(message) is failure
    told = ending(*TURN, ev.TurnFailed(message), code=1)
    assert told.failure is failure
    assert message in told.message


@pytest.mark.parametrize(
    ("stderr", "failure", "words"),
    [
        ("", Failure.STARTUP, "it said nothing"),
        ("Error: Missing environment variable: `KEY`.\n", Failure.CREDENTIAL, "Missing environment variable: `KEY`."),
        (
            (
                "Error loading config.toml:\n/run/home/config.toml:1:1: unknown configuration field `no_such_key`\n"
                "  |\n1 | no_such_key = 1\n  | ^^^^^^^^^^^\n"
            ),
            Failure.STARTUP,
            "Error loading config.toml: /run/home/config.toml:1:1: unknown configuration field `no_such_key`",
        ),
        (
            "Error: thread/start failed\n\nCaused by:\n    no rollout found\n\nStack backtrace:\n   0: main\n",
            Failure.STARTUP,
            "Error: thread/start failed no rollout found",
        ),
        (
            "Error: Failed to load cloud config bundle (workspace-managed policies).\n",
            Failure.CREDENTIAL,
            "cloud config bundle",
        ),
        ("WARNING: proceeding\nno such file\n", Failure.STARTUP, "no such file"),
    ],
)
def test_last_words(stderr, failure, words):
    told = ending(code=1, stderr=stderr)
    assert told.failure is failure
    assert told.message.endswith(words) or words in told.message
    assert "backtrace" not in told.message
    assert "|" not in told.message


@pytest.mark.parametrize(
    ("events", "exit_", "failure"),
    [
        ((*TURN, MESSAGE, COMPLETED), {}, None),
        ((*TURN, COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, ev.ItemCompleted(ev.AgentMessage("i", " \n")), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, MESSAGE, begun(), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, begun(), MESSAGE, command(refused=False), COMPLETED), {}, None),
        ((*TURN, ev.TurnCompleted(Usage())), {}, Failure.REFUSED),
        ((*TURN, ev.TurnCompleted(Usage())), {"expect_message": False}, Failure.REFUSED),
        ((*TURN, MESSAGE, ev.TurnCompleted(Usage())), {}, None),  # a service that counts no tokens
        ((*TURN, command(refused=True), MESSAGE, COMPLETED), {}, Failure.REFUSED),
        ((*TURN, command(refused=True), command(refused=False), MESSAGE, COMPLETED), {}, None),
        ((*TURN, MESSAGE, COMPLETED), {"code": 101}, Failure.CRASHED),
        ((*TURN, MESSAGE, COMPLETED), {"signal": 11}, Failure.CRASHED),
        ((*TURN, MESSAGE, COMPLETED), {"signal": 9, "stopped": StopReason.LINGERED}, None),
        ((*TURN, ev.TurnFailed("Quota exceeded.")), {"code": 0}, Failure.QUOTA),
        ((*TURN, MESSAGE, ev.TurnFailed("Quota exceeded."), COMPLETED), {"code": 0}, Failure.QUOTA),
        ((*TURN, MESSAGE, COMPLETED, ev.TurnFailed("Quota exceeded.")), {"code": 0}, Failure.QUOTA),
        ((*TURN, MESSAGE, COMPLETED, *TURN), {"code": 0}, Failure.INCOMPLETE),
        ((*TURN, MESSAGE), {"code": 0}, Failure.INCOMPLETE),
        ((*TURN, MESSAGE), {"code": 1}, Failure.INCOMPLETE),
        ((*TURN, MESSAGE), {"signal": 9}, Failure.INCOMPLETE),
        ((), {"code": 0}, Failure.INCOMPLETE),
        ((), {"signal": 9}, Failure.INCOMPLETE),
    ],
)
def test_endings(events, exit_, failure):
    assert ending(*events, **exit_).failure is failure


def test_the_last_error_is_told_where_nothing_else_is():
    told = ending(*TURN, ev.StreamError("Reconnecting... 2/5"), code=1)
    assert "Reconnecting... 2/5" in told.message


def test_a_reply_may_be_dispensable():
    assert ending(*TURN, COMPLETED, expect_message=False).failure is None


@given(st.text(max_size=80), st.integers(0, 255), st.text(max_size=200))
def test_a_failed_turn_is_never_a_success(message, code, stderr):
    assert ending(*TURN, ev.TurnFailed(message), code=code, stderr=stderr).exit_code is not ExitCode.SUCCEEDED


@given(st.lists(st.sampled_from([*TURN, MESSAGE, ev.StreamError("x")])), st.integers(0, 255), st.text(max_size=200))
def test_without_a_completed_turn_there_is_no_success(events, code, stderr):
    assert ending(*events, code=code, stderr=stderr, expect_message=False).failure is not None


def long(**fields):
    return ev.Unparsed("truncated", '{"type":"item.completed"', 209_715_260, **fields)


@pytest.mark.parametrize("events", [(long(), MESSAGE), (MESSAGE, long()), (MESSAGE, long(item_type="mcp_tool_call"))])
def test_a_line_that_is_too_long_may_be_the_reply(events):
    assert ending(*TURN, *events, COMPLETED).failure is Failure.NO_REPLY


def test_a_line_that_is_too_long_is_named():
    made = ending(*TURN, MESSAGE, long(), COMPLETED)
    assert "has 209,715,260 bytes" in made.message
    assert "file" in made.remedy
    assert "209,715,260 bytes" in ending(*TURN, long(), code=1).message


@pytest.mark.parametrize(
    "events",
    [
        (long(item_type="mcp_tool_call"), MESSAGE),
        (begun(), MESSAGE, long(item_type="command_execution", item_id="c", voids=False)),
        (MESSAGE, long(item_type="reasoning", item_id="r", voids=False)),
    ],
)
def test_a_line_that_is_too_long_and_is_no_reply(events):
    assert ending(*TURN, *events, COMPLETED).failure is None


def test_lines_that_are_no_events_void_what_came_before():
    noise = ev.Unparsed("not JSON", "x", 1)
    assert ending(*TURN, noise, MESSAGE, COMPLETED).failure is None
    assert ending(*TURN, MESSAGE, noise, COMPLETED).failure is Failure.NO_REPLY
