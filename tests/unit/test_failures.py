"""What codex's words come to. The messages are word for word those of codex 0.163 and 0.169."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.codex.events import parse
from codex_runner.codex.failures import classify, judge
from codex_runner.domain import event as ev
from codex_runner.domain.errors import ExitCode
from codex_runner.domain.run import Failure, ProcessExit, StopReason, Sweep, Usage
from codex_runner.domain.state import RunState

TURN = (ev.TurnStarted(),)
MESSAGE = ev.ItemCompleted(ev.AgentMessage("i", "done"))
COMPLETED = ev.TurnCompleted(Usage(100, 0, 10, 0))


UNREADABLE = ev.ItemCompleted(ev.OtherItem("i", "agent_message", {"words": "done"}))


WARNING = ev.ItemCompleted(ev.ItemWarning("i", "a setting", known=True))
NO_WARNING = ev.ItemCompleted(ev.OtherItem("i", "error", {"words": "a setting"}))


def says(text):
    return ev.ItemCompleted(ev.AgentMessage("i", text))


def begun():
    return ev.ItemStarted(ev.Command("c", "id", "", None, "in_progress"))


def command(*, refused):
    return ev.ItemCompleted(ev.Command("c", "id", "", int(refused), "completed", refused))


def ending(
    *events, code=0, signal=None, both=False, stopped=StopReason.NONE, stderr="", expect_message=True, resumes=None
):
    state = RunState()
    for seq, event in enumerate((ev.AttemptStarted(1, thread_id=resumes), *events), 1):
        state.apply(ev.Record(seq, 0.0, 1, ev.Position(), event))
    exit_ = ProcessExit(None if signal and not both else code, signal, stopped, 0, 0, 0, Sweep.CLEAN)
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
        ((*TURN, WARNING, WARNING, ev.TurnCompleted(Usage())), {"expect_message": False}, Failure.REFUSED),
        ((*TURN, NO_WARNING, ev.TurnCompleted(Usage())), {"expect_message": False}, Failure.REFUSED),
        ((*TURN, WARNING, ev.TurnCompleted(Usage(), counted=False)), {"expect_message": False}, Failure.REFUSED),
        ((*TURN, ev.StreamError("x"), ev.TurnCompleted(Usage())), {"expect_message": False}, Failure.NO_REPLY),
        ((*TURN, says("\u200b\ufeff\u2060"), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, says("\U000e0041\U000e0042\u180e"), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, says("\u3164"), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, MESSAGE, says("\u200b"), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, says("\u200b!"), COMPLETED), {}, None),
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
        ((*TURN, MESSAGE, ev.StreamError("Reconnecting... 1/5"), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, MESSAGE, ev.StreamError("x"), COMPLETED), {"expect_message": False}, None),
        ((*TURN, MESSAGE, ev.OtherEvent("turn.paused", {}), COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, MESSAGE, COMPLETED, ev.Unparsed("not JSON", "x", 1)), {}, Failure.NO_REPLY),
        ((*TURN, UNREADABLE, COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, MESSAGE, UNREADABLE, COMPLETED), {}, Failure.NO_REPLY),
        ((*TURN, UNREADABLE, MESSAGE, COMPLETED), {}, None),
        ((*TURN, MESSAGE, parse(b'{"type":"turn.failed"}'), COMPLETED), {}, Failure.UNKNOWN),
        ((*TURN, MESSAGE, COMPLETED, parse(b'{"type":"turn.failed","error":"Quota exceeded."}')), {}, Failure.QUOTA),
        ((*TURN, parse(b'{"type":"turn.failed","err'), MESSAGE, COMPLETED), {}, Failure.UNKNOWN),
        # An exit that says both is none that a supervisor writes.
        ((*TURN, MESSAGE, COMPLETED), {"code": 0, "signal": 9, "both": True}, Failure.CRASHED),
        # What is not proven to be the thread that was to go on.
        ((ev.ThreadStarted("t"), *TURN, MESSAGE, COMPLETED), {"resumes": "t"}, None),
        ((ev.OtherEvent("thread.started", {}), *TURN, MESSAGE, COMPLETED), {"resumes": "t"}, Failure.UNKNOWN),
        ((*TURN, MESSAGE, COMPLETED), {"resumes": "t"}, Failure.UNKNOWN),
        # The agent was at work: what stands on stderr may be its own words.
        ((MESSAGE,), {"code": 1, "stderr": "Error: Quota exceeded."}, Failure.INCOMPLETE),
        ((begun(),), {"code": 1, "stderr": "Error: Quota exceeded."}, Failure.INCOMPLETE),
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


def test_a_stale_message_is_told_with_what_came_after_it():
    told = ending(*TURN, MESSAGE, ev.StreamError("Reconnecting... 1/5 (cut)"), COMPLETED)
    assert told.message == (
        "codex completed its turn without a final message: after the last one, "
        "codex reported an error (Reconnecting... 1/5 (cut))"
    )
    assert "codex.jsonl" in told.remedy
    told = ending(*TURN, ev.Unparsed("not JSON", "{", 9), COMPLETED)
    assert told.message.endswith(": codex printed a line that is no event (not JSON, 9 bytes)")
    assert ending(*TURN, COMPLETED).message.endswith(": a refusal or an empty reply")


def test_a_reply_may_be_dispensable():
    assert ending(*TURN, COMPLETED, expect_message=False).failure is None


@given(st.text(max_size=80), st.integers(0, 255), st.text(max_size=200))
def test_a_failed_turn_is_never_a_success(message, code, stderr):
    assert ending(*TURN, ev.TurnFailed(message), code=code, stderr=stderr).exit_code is not ExitCode.SUCCEEDED


@given(st.lists(st.sampled_from([*TURN, MESSAGE, ev.StreamError("x")])), st.integers(0, 255), st.text(max_size=200))
def test_without_a_completed_turn_there_is_no_success(events, code, stderr):
    assert ending(*events, code=code, stderr=stderr, expect_message=False).failure is not None
