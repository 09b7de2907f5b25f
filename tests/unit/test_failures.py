"""What codex's words come to. The messages are word for word those of codex 0.163 and 0.169."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_errors import CASES, URL

from codex_runner.codex.classes import ROWS, classify
from codex_runner.codex.events import parse
from codex_runner.codex.failures import judge
from codex_runner.domain import event as ev
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import ProcessExit, StopReason, Sweep, Usage
from codex_runner.domain.state import RunState

TURN = (ev.ThreadStarted("a-thread"), ev.TurnStarted())
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
    *events,
    code=0,
    signal=None,
    both=False,
    stopped=StopReason.NONE,
    stderr="",
    expect_message=True,
    resumes=None,
    sandboxed=True,
):
    state = RunState()
    for seq, event in enumerate((ev.AttemptStarted(1, thread_id=resumes), *events), 1):
        state.apply(ev.Record(seq, 0.0, 1, ev.Position(), event))
    exit_ = ProcessExit(None if signal and not both else code, signal, stopped, 0, 0, 0, Sweep.CLEAN)
    return judge(state.attempts[0], exit_, stderr, expect_message=expect_message, sandboxed=sandboxed)


EXIT_CODES = {
    Failure.QUOTA: 8,
    Failure.CREDENTIAL: 4,
    Failure.UNKNOWN_MODEL: 3,
    Failure.PROXY: 3,
    Failure.NOT_FOUND: 7,
    Failure.CAPACITY: 7,
    Failure.RATE_LIMIT: 7,
    Failure.NETWORK: 7,
    Failure.CONTEXT_FULL: 1,
    Failure.BAD_REQUEST: 1,
    Failure.RESPONSE_INCOMPLETE: 1,
    Failure.UNKNOWN: 1,
}
RETRIED = {Failure.CAPACITY, Failure.RATE_LIMIT, Failure.NETWORK}


@pytest.mark.parametrize(
    ("message", "failure"),
    [(sentence, case.failure) for case in CASES.values() for sentence in case.sentences],
)
def test_what_codex_says_of_each_error_of_the_service(message, failure):
    assert classify(message) is failure
    told = ending(*TURN, ev.TurnFailed(message), code=1)
    assert told.failure is failure
    assert message in told.message
    assert (failure.exit_code, failure.retried) == (EXIT_CODES[failure], failure in RETRIED)


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        # Words of codex for what the scripted service cannot do, or did with other versions.
        ("exceeded retry limit, last status: 502 Bad Gateway", Failure.CAPACITY),
        ("exceeded retry limit, last status: 503 Service Unavailable, request id: 1", Failure.CAPACITY),
        ("exceeded retry limit, last status: 401 Unauthorized", Failure.CREDENTIAL),
        ("Connection failed: error sending request", Failure.NETWORK),
        ("Flex capacity unavailable.", Failure.CAPACITY),
        ("request timed out", Failure.NETWORK),
        ("This request has been flagged for possible cybersecurity risk.", Failure.BAD_REQUEST),
        ("stream disconnected before completion: Rate limit reached. Please try again in 1s.", Failure.RATE_LIMIT),
        ("stream disconnected before completion: stream closed before response.completed", Failure.NETWORK),
        ("stream disconnected before completion: idle timeout waiting for SSE", Failure.NETWORK),
        ("stream disconnected before completion: error sending request for url (http://x/v1)", Failure.NETWORK),
        ("Your authentication session could not be refreshed automatically. Please log out", Failure.CREDENTIAL),
        (
            "thread/resume: thread/resume failed: no rollout found for thread id 01a1fd23 (code -32600)",
            Failure.THREAD_LOST,
        ),
        # Bodies of other gateways.
        ('unexpected status 429 X: {"error":{"type":"usage_limit_reached","message":"x"}}, url: x', Failure.QUOTA),
        ('unexpected status 429 X: {"error":{"code":429,"type":"requests"}}, url: x', Failure.RATE_LIMIT),
        ('unexpected status 404 X: {"error":{"code":"DeploymentNotFound"}}, url: x', Failure.UNKNOWN_MODEL),
        ('unexpected status 400 X: {"error":{"code":"context_length_exceeded"}}, url: x', Failure.CONTEXT_FULL),
        ('stream disconnected before completion: {"error":{"code":"new"}}', Failure.NETWORK),
        ('{"code":"model_not_found"}', Failure.UNKNOWN_MODEL),
        ('{"error":{"code":"insufficient_quota","type":"invalid_request_error"}}', Failure.QUOTA),
        ('{"error":{"message":"Invalid value","type":"invalid_request_error","code":null}}', Failure.BAD_REQUEST),
        ('{"error":{"message":"a forbidden quota of too many requests","type":"new"}}', Failure.BAD_REQUEST),
        ('{"error":{"message":"The model x does not exist","type":"new"}}', Failure.UNKNOWN_MODEL),
        ('{"type": "turn.failed", "error": {"error": {"message": "Quota exceeded."}}}', Failure.QUOTA),
        ('{"type": "turn.failed", "error": {"code": 7}}', Failure.UNKNOWN),
        ('{"detail":"a quota exceeded, or forbidden"}', Failure.BAD_REQUEST),
        # The status decides, whatever stands in the body or the address.
        ("unexpected status 502 Bad Gateway: quota exceeded, unauthorized, model x does not exist", Failure.CAPACITY),
        ("unexpected status 403 Forbidden: Too Many Requests", Failure.CREDENTIAL),
        ('unexpected status 500 X: {"error":{"code":"insufficient_quota"}}', Failure.CAPACITY),
        (f"unexpected status 404 Not Found: <html>, url: http://model/not found, url: {URL}", Failure.NOT_FOUND),
        ("unexpected status 404 Not Found: x, url: http://h/the-model-does/not-exist", Failure.NOT_FOUND),
        ("unexpected status 404 Not Found: the model-gateway was not found, url: x", Failure.NOT_FOUND),
        ('unexpected status 404 Not Found: "unexpected status 401"', Failure.NOT_FOUND),
        ("unexpected status 405 Method Not Allowed: forbidden, url: x", Failure.UNKNOWN),
        ("unexpected status 301 Moved Permanently: unauthorized, url: x", Failure.UNKNOWN),
        # A status in somebody else's words is none.
        ('it said "unexpected status 401"', Failure.UNKNOWN),
        ("<p>unexpected status 401</p>", Failure.UNKNOWN),
        ("something that nobody has seen before", Failure.UNKNOWN),
        ('{"type": "turn.failed"}', Failure.UNKNOWN),
        ("{", Failure.UNKNOWN),
        ("", Failure.UNKNOWN),
    ],
)
def test_messages(message, failure):
    assert classify(message) is failure
    told = ending(*TURN, ev.TurnFailed(message), code=1)
    assert told.failure is failure
    assert message in told.message


def test_an_unknown_error_says_so_and_is_shown_whole():
    message = "the flux is not aligned\n" + "x" * 5000
    told = ending(*TURN, ev.TurnFailed(message), code=1)
    assert told.message == f"codex: an error that codex-runner cannot classify: {message}"


def test_the_agents_own_words_are_no_error():
    """Neither what it says, nor what a command of its prints, nor what stands on stderr once it was at work."""
    words = "unexpected status 402 Payment Required: Quota exceeded. Error: Quota exceeded."
    said = ev.ItemCompleted(ev.AgentMessage("i", words))
    printed = ev.ItemCompleted(ev.Command("c", words, words, 1, "failed"))
    for events in ((said, printed), (printed,), (said,)):
        told = ending(*TURN, *events, code=1, stderr=f"Error: {words}")
        assert told.failure is Failure.INCOMPLETE
        assert ending(*events, code=1, stderr=f"Error: {words}").failure is Failure.INCOMPLETE
    assert ending(*TURN, said, COMPLETED).failure is None


def test_each_row_is_of_another_class_and_no_status_or_code_is_of_two():
    assert len({row.failure for row in ROWS}) == len(ROWS)
    for column in ("statuses", "codes"):
        every = [word for row in ROWS for word in getattr(row, column)]
        assert len(set(every)) == len(every)


@given(st.text(max_size=200), st.integers(100, 599), st.text(max_size=200))
def test_no_message_raises(before, status, after):
    classify(f"{before}unexpected status {status}{after}")
    classify(f'{{"error":{{"code":"{before}"{after}')


@pytest.mark.parametrize(
    ("stderr", "failure", "words"),
    [
        ("", Failure.STARTUP, "it printed nothing"),
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
            "(the cause is unknown: refused, or out of reach)",
        ),
        (
            "Error: Your authentication session could not be refreshed automatically. Please log out and sign in.\n",
            Failure.CREDENTIAL,
            "could not be refreshed automatically",
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
        ((*TURN, command(refused=True), MESSAGE, COMPLETED), {"sandboxed": False}, None),
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
        ((ev.ThreadStarted("t"), ev.TurnStarted(), MESSAGE, COMPLETED), {"resumes": "t"}, None),
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


@pytest.mark.parametrize(
    "error",
    [
        {"message": "In context=('properties', 'model'), 'minLength' is not supported.", "param": "text.format.schema"},
        {"message": "Tool 'x' with this model is not supported.", "param": "tools"},
    ],
)
def test_words_about_a_model_decide_nothing_where_the_service_names_another_cause(error):
    body = {"error": {"type": "invalid_request_error", "code": "unsupported_value", **error}}
    assert classify(json.dumps(body)) is Failure.BAD_REQUEST
    body["error"]["param"] = "model"
    assert classify(json.dumps(body)) is Failure.UNKNOWN_MODEL


def test_only_the_ends_of_a_long_answer_are_looked_at():
    assert classify("unexpected status 404 Not Found: " + "x" * 10**7 + " model not found") is Failure.UNKNOWN_MODEL
    assert classify("unexpected status 404 Not Found: " + "model not found " * 10**6) is Failure.UNKNOWN_MODEL


def test_a_turn_of_no_thread_proves_nothing():
    found = ending(ev.TurnStarted(), MESSAGE, COMPLETED)
    assert found.failure is Failure.UNKNOWN
    assert "reported no thread id" in found.message
