import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.codex.events import parse, parse_diagnostic
from codex_runner.domain import event as ev
from codex_runner.domain.run import Usage


def completed(**item):
    return json.dumps({"type": "item.completed", "item": {"id": "item_3", **item}}).encode()


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"type":"thread.started","thread_id":"01a"}', ev.ThreadStarted("01a")),
        (b'{"type":"turn.started"}', ev.TurnStarted()),
        (
            (
                b'{"type":"turn.completed","usage":{"input_tokens":600,"cached_input_tokens":120,'
                b'"cache_write_input_tokens":0,"output_tokens":180,"reasoning_output_tokens":30}}'
            ),
            ev.TurnCompleted(Usage(600, 120, 180, 30)),
        ),
        (b'{"type":"turn.completed"}', ev.TurnCompleted(Usage(), counted=False)),
        (b'{"type":"turn.failed","error":{"message":"no"}}', ev.TurnFailed("no")),
        (b'{"type":"error","message":"Reconnecting... 1/5"}', ev.StreamError("Reconnecting... 1/5")),
        (completed(type="agent_message", text="hi"), ev.ItemCompleted(ev.AgentMessage("item_3", "hi"))),
        (completed(type="reasoning", text="**x**"), ev.ItemCompleted(ev.Reasoning("item_3", "**x**"))),
        (completed(type="error", message="w"), ev.ItemCompleted(ev.ItemWarning("item_3", "w"))),
        (
            completed(type="command_execution", command="ls", aggregated_output="a\n", exit_code=2, status="failed"),
            ev.ItemCompleted(ev.Command("item_3", "ls", "a\n", 2, "failed")),
        ),
        (
            completed(type="file_change", changes=[{"path": "/w/a", "kind": "add"}], status="completed"),
            ev.ItemCompleted(ev.FileChange("item_3", (ev.FileEdit("/w/a", "add"),), "completed")),
        ),
        (
            completed(
                type="mcp_tool_call", server="s", tool="t", arguments={"a": 1}, result=None, error=None, status="x"
            ),
            ev.ItemCompleted(ev.ToolCall("item_3", "s", "t", "x", {"a": 1})),
        ),
        (
            completed(type="todo_list", items=[{"text": "a", "completed": True}]),
            ev.ItemCompleted(ev.TodoList("item_3", (ev.Todo("a", completed=True),))),
        ),
        (
            b'{"type":"item.started","item":{"id":"item_0","type":"web_search","id":"ws_1","query":"weather","action":{}}}',
            ev.ItemStarted(ev.WebSearch("ws_1", "weather")),
        ),
        (completed(type="hologram", depth=3), ev.ItemCompleted(ev.OtherItem("item_3", "hologram", {"depth": 3}))),
        (
            completed(type="command_execution", command=["ls"], status="x"),
            ev.ItemCompleted(ev.OtherItem("item_3", "command_execution", {"command": ["ls"], "status": "x"})),
        ),
        (b'{"type":"turn.paused","why":"x"}', ev.OtherEvent("turn.paused", {"why": "x"})),
        (b"not json", ev.Unparsed("not JSON", "not json", 8)),
        (b"[1]", ev.Unparsed("not an event", "[1]", 3)),
        (b'{"type":7}', ev.Unparsed("not an event", '{"type":7}', 10)),
        (b'{"type":"item.comp', ev.Unparsed("not JSON", '{"type":"item.comp', 18)),
    ],
)
def test_reads(line, event):
    assert parse(line) == event


UNKNOWN_SHAPES = [
    (b'{"type":"turn.failed"}', ev.TurnFailed('{"type": "turn.failed"}')),
    (b'{"type":"turn.failed","error":{}}', ev.TurnFailed('{"type": "turn.failed", "error": {}}')),
    (b'{"type":"turn.failed","error":null}', ev.TurnFailed('{"type": "turn.failed", "error": null}')),
    (b'{"type":"turn.failed","error":"text"}', ev.TurnFailed("text")),
    (b'{"type":"turn.failed","error":7}', ev.TurnFailed('{"type": "turn.failed", "error": 7}')),
    (
        b'{"type":"turn.failed","error":{"error":{"message":"no"}}}',
        ev.TurnFailed('{"type": "turn.failed", "error": {"error": {"message": "no"}}}'),
    ),
    (
        b'{"type":"turn.failed","error":{"message":["no"]}}',
        ev.TurnFailed('{"type": "turn.failed", "error": {"message": ["no"]}}'),
    ),
    (b'{"type":"turn.failed","message":"no"}', ev.TurnFailed('{"type": "turn.failed", "message": "no"}')),
    (b'{"type":"turn.failed","error":{"mess', ev.TurnFailed('{"type":"turn.failed","error":{"mess')),
    (b' {"type" : "turn.failed"', ev.TurnFailed(' {"type" : "turn.failed"')),
    (b'{"type":"error"}', ev.StreamError('{"type": "error"}')),
    (b'{"type":"error","message":{"text":"x"}}', ev.StreamError('{"type": "error", "message": {"text": "x"}}')),
    (b'{"type":"turn.started","x":1}', ev.TurnStarted()),
    (b'{"type":"item.completed"}', ev.ItemCompleted(ev.OtherItem("", "", None))),
    (b'{"type":"item.completed","item":["x"]}', ev.ItemCompleted(ev.OtherItem("", "", ["x"]))),
    (b'{"type":"item.started","item":{"id":"i"}}', ev.ItemStarted(ev.OtherItem("i", "", {}))),
    (completed(type="agent_message"), ev.ItemCompleted(ev.OtherItem("item_3", "agent_message", {}))),
    (
        b'{"type":"item.completed","item":{"type":"agent_message","text":"hi"}}',
        ev.ItemCompleted(ev.OtherItem("", "agent_message", {"text": "hi"})),
    ),
    (
        completed(type="command_execution", command="x", exit_code=True, status="completed"),
        ev.ItemCompleted(
            ev.OtherItem("item_3", "command_execution", {"command": "x", "exit_code": True, "status": "completed"})
        ),
    ),
    (b'{"type":"x","y":' + b"[" * 70 + b"]" * 70 + b"}", None),
    (b'{"type":"turn.completed","usage":' + b'{"x":' * 900 + b"1" + b"}" * 901, None),
    (b'{"type":"x","y":"' + b"[" * 200 + b'"}', ev.OtherEvent("x", {"y": "[" * 200})),
]


@pytest.mark.parametrize(("line", "event"), UNKNOWN_SHAPES)
def test_a_name_that_is_known_keeps_its_meaning_whatever_its_shape(line, event):
    parsed = parse(line)
    assert parsed == event if event else isinstance(parsed, ev.Unparsed)
    json.dumps(ev.to_json(parsed))


def test_a_failure_that_nests_too_deeply_is_a_failure():
    event = parse(b'{"type":"turn.failed","error":' + b"[" * 5000 + b"]" * 5000 + b"}")
    assert isinstance(event, ev.TurnFailed)


COUNTS = {"input_tokens": 3, "cached_input_tokens": 1, "output_tokens": 2, "reasoning_output_tokens": 1}


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (COUNTS, True),
        ({"input_tokens": 0, "output_tokens": 0}, True),
        ({**COUNTS, "a_count_of_the_future": "x"}, True),
        *(({**COUNTS, name: value}, False) for name in COUNTS for value in ("3", None, -1, 1.5, True, [], {})),
        ({"input_tokens": 3}, False),
        ({"output_tokens": 3}, False),
        *((usage, False) for usage in ({}, [], "3", 3, None, True)),
    ],
)
def test_usage_that_is_no_number_is_not_counted(usage, counted):
    event = parse(json.dumps({"type": "turn.completed", "usage": usage}).encode())
    assert isinstance(event, ev.TurnCompleted)
    assert event.counted is counted
    assert counted or event.usage == Usage()


@pytest.mark.parametrize(
    ("message", "known"),
    [
        ("`--dangerously-bypass-hook-trust` is enabled. Enabled hooks may run without review.", True),
        ("clamping SessionEnd hook timeout to 3s in /home/ci/.codex", True),
        ("Under-development features enabled: x. Under-development features are incomplete.", True),
        (
            "Model metadata for `scripted` not found. Defaulting to fallback metadata; this can degrade performance.",
            True,
        ),
        ("`sandbox_mode` is disallowed by requirements; falling back to required value `read-only`", True),
        ("Command blocked by PreToolUse hook: no", False),
        ("Falling back from WebSockets to HTTPS transport. request timed out", False),
        ("the stream broke: Under-development features enabled: x", False),
        ("something new", False),
        ("", False),
    ],
)
def test_an_error_item_is_a_warning_if_its_sentence_is_known(message, known):
    assert parse(completed(type="error", message=message)).item.known is known


def test_invalid_utf8_keeps_the_event():
    assert parse(b'{"type":"turn.failed","error":{"message":"a\xffb"}}') == ev.TurnFailed("a\ufffdb")


def test_a_lone_surrogate_does_not_get_through():
    assert parse(b'{"type":"turn.failed","error":{"message":"a\\ud800b"}}') == ev.TurnFailed("a?b")


def test_a_line_of_five_megabytes():
    event = parse(
        completed(type="command_execution", command="x", aggregated_output="y" * 5_000_000, status="completed")
    )
    assert len(event.item.output) == 5_000_000


@given(st.binary(max_size=300))
def test_no_bytes_raise(line):
    assert isinstance(parse(line), ev.Event)
    parse_diagnostic(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
types = st.sampled_from(
    ["thread.started", "turn.completed", "turn.failed", "error", "item.started", "item.completed", "x"]
)
kinds = st.sampled_from([*ev.ITEM_KINDS, "x"])
names = [
    "thread_id",
    "usage",
    "error",
    "message",
    "text",
    "command",
    "exit_code",
    "status",
    "changes",
    "items",
    "query",
]
shapes = st.dictionaries(st.sampled_from(names), json_values, max_size=5)


@given(types, shapes, kinds | json_values, shapes)
def test_no_shape_raises_and_every_event_can_be_written_and_read_back(kind, fields, item_kind, item_fields):
    data = {**fields, "type": kind, "item": {"id": "item_1", **item_fields, "type": item_kind}}
    event = parse(json.dumps(data).encode())
    assert isinstance(event, ev.Event)
    written = json.loads(json.dumps(ev.to_json(event)))
    again = json.loads(json.dumps(ev.to_json(ev.event_from_json(written))))
    assert json.dumps(again) == json.dumps(written)


@pytest.mark.parametrize("identity", ["--last", "-c", "", "a b", "$(touch x)", "a\n", 5, None])
def test_what_is_no_id_of_a_thread_is_never_resumed(identity):
    """It would stand on codex's command line."""
    line = json.dumps({"type": "thread.started", "thread_id": identity}).encode()
    assert parse(line) == ev.OtherEvent("thread.started", {"thread_id": identity})


@pytest.mark.parametrize(
    ("line", "diagnostic"),
    [
        (b"Reading additional input from stdin...", None),
        (b"", None),
        (
            b"2026-11-21T01:37:00.957101Z ERROR codex_core::tools::router: error=unsupported call: shell",
            ev.Diagnostic("ERROR", "codex_core::tools::router: error=unsupported call: shell"),
        ),
        (b"Error: Unknown feature flag: x", ev.Diagnostic("ERROR", "Unknown feature flag: x")),
        (b"WARNING: proceeding", ev.Diagnostic("WARN", "proceeding")),
    ],
)
def test_reads_stderr(line, diagnostic):
    assert parse_diagnostic(line) == diagnostic


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "error=approval policy is Never; reject command \u2014 you cannot ask for escalated permissions",
            "escalation-refused",
            "approval policy is Never; reject",
        ),
        (
            "error=patch rejected: writing outside of the project; rejected by user approval settings",
            "patch-refused",
            "patch rejected: writing outside",
        ),
        ("error=Command blocked by PreToolUse hook: no. Command: id", "hook-blocked", "Command blocked by PreToolUse"),
        (
            r"""error=exec_command failed: CreateProcess { message: "Rejected(\"`id` rejected: not here\")" }""",
            "policy-forbids",
            "exec_command failed",
        ),
        ("error=unsupported call: no_such_tool", "", "codex_core::tools::router: error=unsupported call"),
    ],
)
def test_refusals_that_only_stderr_tells_of(line, code, message):
    told = parse_diagnostic(f"2026-11-21T08:03:44.265226Z ERROR codex_core::tools::router: {line}".encode())
    assert told.code == code
    assert told.message.startswith(message)


@pytest.mark.parametrize(
    ("output", "exit_code", "refused"),
    [
        ("bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded", 1, True),
        (
            "bwrap: Can't mkdir parents\n\nthread 'main' (1) panicked at linux-sandbox/src/linux_run_main.rs:1",
            101,
            True,
        ),
        ("bwrap: what a command printed that worked", 0, False),
        ("grep: bwrap: no such file", 1, False),
        ("", None, False),
    ],
)
def test_a_command_whose_sandbox_did_not_start(output, exit_code, refused):
    line = completed(type="command_execution", command="id", aggregated_output=output, exit_code=exit_code, status="f")
    assert parse(line).item.refused is refused
