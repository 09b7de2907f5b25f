"""A run's spans, as a collector on 127.0.0.1 receives them from the real SDK."""

import gzip
import importlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import HOSTILE, event_samples
from support.records import records as numbered
from support.report_states import events, exited, records, verdicts
from support.webhook import Answer, Receiver, took

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.state import fold
from codex_runner.reports.otel import _sayings, export_spans, wants_spans
from codex_runner.reports.spans import spans

FACTS = {"model": "gpt-5.5", "codex": {"version": "0.169.0"}}
RUN = [
    ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", "devbox", FACTS),
    ev.AttemptStarted(1),
    ev.ThreadStarted("0199"),
    ev.ItemStarted(ev.Command("c1", "sleep 60", "", None, "in_progress")),
    ev.AttemptEnded(1, Ending(Failure.CAPACITY, "the model has no capacity"), exited(1)),
    ev.Retrying(1, 5.0, resume=True, reason="no capacity"),
    ev.AttemptStarted(2, reason="the service may be back", thread_id="0199"),
    ev.ItemStarted(ev.Command("c1", "git log", "", None, "in_progress")),
    ev.ItemStarted(ev.ToolCall("t1", "search", "find", "in_progress")),
    ev.ItemCompleted(ev.ToolCall("t1", "search", "find", "failed", error="no")),
    ev.ItemCompleted(ev.Command("c1", "git log", "abc\n", 0, "completed")),
    ev.ItemCompleted(ev.Command("c2", "make", "broken\n", 2, "failed")),
    ev.TurnCompleted(Usage(1000, 800, 50, 10)),
    ev.Warned("budget", "no budget is set"),
    ev.Guarded("process sweep", passed=False, message="two processes are left"),
    ev.AttemptEnded(2, Ending(None, "the agent completed its turn"), exited()),
    ev.CheckStarted("docs build", "mkdocs build"),
    ev.CheckEnded("docs build", passed=False, exit_code=2, seconds=1.0, output="broken"),
    ev.RunEnded(1, "failed", "checks failed: docs build"),
]
RECORDS = numbered(RUN)
STATE = fold(RECORDS)
BEGIN = RECORDS[0].time


@pytest.fixture
def sdk():
    return pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="the otel extra")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No OTEL_* and no proxy from outside."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "TRACE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


def exported(environment, *answers, state=STATE, recorded=RECORDS, **variables):
    """Export to a collector; return what was said, and the requests that it got, decoded."""
    protocol = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

    with Receiver(*(answers or [Answer()])) as collector:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        for name, value in variables.items():
            environment.setenv(name, value)
        said = export_spans(state, recorded, os.environ, link="https://ci.example.com/1")
        posts = collector.posts
    requests = []
    for post in posts:
        assert post.path == "/v1/traces"
        body = gzip.decompress(post.body) if post.headers.get("content-encoding") == "gzip" else post.body
        requests.append(protocol.ExportTraceServiceRequest.FromString(body))
    return said, requests, posts


def received(requests):
    return [span for r in requests for rs in r.resource_spans for ss in rs.scope_spans for span in ss.spans]


def attributes(thing):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes}


def test_a_collector_gets_a_span_for_the_run_and_each_attempt_command_tool_and_check(sdk, environment):
    said, requests, _ = exported(environment)
    assert said == []
    found = sorted(received(requests), key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano))
    names = {span.span_id: span.name for span in found}
    second = 1_000_000_000
    tree = [
        (
            span.name,
            names.get(span.parent_span_id),
            round((span.start_time_unix_nano / second) - BEGIN),
            round((span.end_time_unix_nano / second) - BEGIN),
            span.status.message,
        )
        for span in found
    ]
    assert tree == [
        ("RUN docs", None, 0, 18, "checks failed: docs build"),
        ("invoke_agent codex", "RUN docs", 1, 4, "the model has no capacity"),
        ("execute_tool shell", "invoke_agent codex", 3, 4, "end unknown"),
        ("invoke_agent codex", "RUN docs", 6, 15, ""),
        ("execute_tool shell", "invoke_agent codex", 7, 10, ""),
        ("execute_tool search.find", "invoke_agent codex", 8, 9, "the tool failed"),
        ("execute_tool shell", "invoke_agent codex", 11, 11, "exit 2"),
        ("check docs build", "RUN docs", 16, 17, "exit 2"),
    ]
    assert len({span.trace_id for span in found}) == 1
    assert len({span.span_id for span in found}) == len(found)
    run = attributes(found[0])
    assert run["cicd.pipeline.name"] == "docs"
    assert run["cicd.pipeline.run.id"] == STATE.run_id
    assert run["cicd.pipeline.result"] == "failure"
    assert run["cicd.pipeline.run.url.full"] == "https://ci.example.com/1"
    assert run["gen_ai.request.model"] == "gpt-5.5"
    assert run["gen_ai.usage.input_tokens"] == 1000
    assert run["codex_runner.exit_code"] == 1
    assert [(event.name, attributes(event)["message"]) for event in found[0].events] == [
        ("retry", "no capacity"),
        ("warning", "no budget is set"),
        ("guard", "two processes are left"),
    ]
    assert attributes(found[1])["error.type"] == "capacity"
    assert attributes(found[3])["gen_ai.conversation.id"] == "0199"
    assert attributes(found[6])["process.command_line"] == "make"
    assert attributes(found[6])["process.exit.code"] == 2
    assert attributes(found[7])["cicd.pipeline.task.run.result"] == "failure"


def test_the_usual_variables_hold(sdk, environment):
    said, requests, posts = exported(
        environment,
        OTEL_SERVICE_NAME="nightly",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=ci,team=docs",
        OTEL_EXPORTER_OTLP_HEADERS="x-api-key=the%20key",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert said == []
    (resource,) = (attributes(rs.resource) for rs in requests[0].resource_spans)
    assert (resource["service.name"], resource["team"]) == ("nightly", "docs")
    assert resource["deployment.environment.name"] == "ci"
    assert "service.version" in resource
    assert posts[0].headers["x-api-key"] == "the key"
    assert posts[0].headers["content-encoding"] == "gzip"


def test_without_a_name_the_service_is_codex_runner(sdk, environment):
    _, requests, _ = exported(environment)
    assert attributes(requests[0].resource_spans[0].resource)["service.name"] == "codex-runner"


def test_a_trace_from_outside_is_gone_on_with(sdk, environment):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    _, requests, _ = exported(environment, TRACEPARENT=parent)
    found = received(requests)
    assert {span.trace_id.hex() for span in found} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    (run,) = (span for span in found if span.name == "RUN docs")
    assert run.parent_span_id.hex() == "00f067aa0ba902b7"


def test_a_trace_that_is_not_sampled_stays_so(sdk, environment):
    said, requests, _ = exported(environment, TRACEPARENT="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    assert (said, requests) == ([], [])
    said, requests, _ = exported(environment, TRACEPARENT="", OTEL_TRACES_SAMPLER="always_off")
    assert (said, requests) == ([], [])


def test_sent_again_they_are_the_same(sdk, environment):
    first, second = (received(exported(environment)[1]) for _ in range(2))
    assert [span.SerializeToString() for span in first] == [span.SerializeToString() for span in second]


def test_hostile_text_arrives_clean(sdk, environment):
    happened = numbered(event_samples(HOSTILE + " \ud800"))
    said, requests, _ = exported(environment, state=fold(happened), recorded=happened)
    assert said == []
    for span in received(requests):
        for value in [span.name, span.status.message, *map(str, attributes(span).values())]:
            assert value.isprintable(), value


def test_a_large_run_is_sent_in_parts(sdk, environment):
    commands = [ev.ItemCompleted(ev.Command(f"c{n}", "true", "", 0, "completed")) for n in range(2500)]
    happened = numbered([*RUN[:2], *commands, RUN[-1]])
    said, requests, _ = exported(environment, state=fold(happened), recorded=happened)
    assert (said, len(requests)) == ([], 3)
    assert len(received(requests)) == 2502


def test_a_collector_that_refuses_is_a_sentence_and_nothing_is_printed(sdk, environment, capfd):
    key = "the-secret-api-key"
    refusal = Answer(401, f"bad key {key}\x1b[2J".encode())
    (sentence,), _, _ = exported(environment, refusal, OTEL_EXPORTER_OTLP_HEADERS=f"authorization={key}")
    assert "401" in sentence
    assert key not in sentence
    assert "\x1b" not in sentence
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("opentelemetry").handlers == []
    assert logging.getLogger("opentelemetry").propagate


def test_a_collector_that_never_answers_is_left_in_time(sdk, environment):
    since = time.monotonic()
    (sentence,), _, _ = exported(environment, Answer(after=60), OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert took(since) < 10
    assert "not sent" in sentence


def test_nobody_listens(sdk, environment):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{reserved.getsockname()[1]}")
        environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        (sentence,) = export_spans(STATE, RECORDS, os.environ)
    assert "refused" in sentence


def test_an_endpoint_that_is_none_is_a_sentence(sdk, environment):
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "no address")
    (sentence,) = export_spans(STATE, RECORDS, os.environ)
    assert "not sent" in sentence


def test_another_protocol_is_refused_in_words():
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert export_spans(STATE, RECORDS, environ) == [
        "No traces were sent: the protocol is grpc, but only http/protobuf is supported."
    ]


def test_without_the_extra_a_sentence_says_what_to_install():
    program = """if True:
        import sys
        sys.modules["opentelemetry"] = None  # as if it were not there
        from codex_runner.domain.state import RunState
        from codex_runner.reports.otel import export_spans
        print(*export_spans(RunState(), [], {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}))
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert "pip install 'codex-runner[otel]'" in done.stdout


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_the_variables_decide(environ, wanted):
    assert wants_spans(environ) is wanted
    if not wanted:
        assert export_spans(STATE, RECORDS, environ) == []


def test_loading_it_needs_no_sdk():
    program = (
        "import sys, codex_runner.reports.otel\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


@given(st.lists(events, max_size=12), st.lists(verdicts, max_size=1))
def test_any_run_is_a_tree_within_its_times(happened, verdict):
    recorded = records([ev.RunStarted("r", "docs", "local"), *happened, *verdict])
    made = spans(fold(recorded), recorded)
    assert made[0].parent is None
    for at, span in enumerate(made[1:], 1):
        assert span.parent is not None
        assert span.parent < at
        assert span.start <= span.end <= made[0].end
    json.dumps([span.attributes for span in made]).encode()


def test_a_run_that_was_killed_ends_where_its_records_end():
    made = spans(fold(RECORDS[:8]), RECORDS[:8])
    assert [(span.name, span.end - BEGIN, span.error) for span in made] == [
        ("RUN docs", 7, ""),
        ("invoke_agent codex", 4, "the model has no capacity"),
        ("execute_tool shell", 4, "end unknown"),
        ("invoke_agent codex", 7, "end unknown"),
        ("execute_tool shell", 7, "end unknown"),
    ]


@pytest.mark.parametrize(
    ("exit_code", "result", "word"),
    [
        (0, "succeeded", "success"),
        (0, "skipped", "skip"),
        (1, "failed", "failure"),
        (9, "failed", "timeout"),
        (10, "failed", "timeout"),
        (7, "failed", "error"),
        (130, "failed", "cancellation"),
    ],
)
def test_the_result_is_said_in_opentelemetrys_words(exit_code, result, word):
    happened = numbered([ev.RunStarted("r", "docs", "local"), ev.RunEnded(exit_code, result, "why")])
    (run,) = spans(fold(happened), happened)
    assert run.attributes["cicd.pipeline.result"] == word
    assert bool(run.error) is bool(exit_code)


def test_what_another_run_is_told_at_the_same_time_is_not_heard():
    """It may quote the key of that run's collector."""
    logger = logging.getLogger("opentelemetry.exporter")
    theirs = []

    def another_run():
        with _sayings() as said:
            logger.warning("theirs")
        theirs.extend(said)

    with _sayings() as ours:
        thread = threading.Thread(target=another_run)
        thread.start()
        thread.join()
        logger.warning("ours")
    assert (ours, theirs) == (["ours"], ["theirs"])


def test_two_runs_that_cross_leave_the_logger_as_it_was():
    first, second = _sayings(), _sayings()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not logging.getLogger("opentelemetry").propagate
    second.__exit__(None, None, None)
    assert logging.getLogger("opentelemetry").propagate
    assert logging.getLogger("opentelemetry").handlers == []
