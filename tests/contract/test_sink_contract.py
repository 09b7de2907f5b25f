"""What every sink must do, whoever reads it."""

import io
import json
import re

import pytest
from support.records import ATTACKS, HOSTILE, event_samples, play, records

from codex_runner.domain import event as ev
from codex_runner.domain.event import record_to_json
from codex_runner.domain.state import RunState
from codex_runner.sinks.console import PlainLog
from codex_runner.sinks.github import GitHubLog
from codex_runner.sinks.gitlab import GitLabLog
from codex_runner.sinks.jsonl import JsonLog
from codex_runner.sinks.live import LiveConsole

SINKS = {
    "plain": PlainLog,
    "verbose": lambda stream: PlainLog(stream, color=True, verbose=True),
    "github": GitHubLog,
    "gitlab": GitLabLog,
    "json": JsonLog,
    "live": lambda stream: LiveConsole(stream, color=True, width=100),
}
# What our own views write: colours, the cursor of the live view, GitLab's marks.
_OURS = re.compile(
    r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\r?\x1b\[1A|\r?\x1b\[2K|\x1b\[0Ksection_\w+:\d+:codex_runner_\w+\r\x1b\[0K"
)


@pytest.fixture(params=SINKS)
def make(request):
    return SINKS[request.param]


@pytest.mark.parametrize("text", ["some text", "", "\n", HOSTILE, "x" * 100_000], ids=str.__len__)
def test_every_kind_of_event_is_shown(make, text):
    stream = io.StringIO()
    sink = make(stream)
    state = RunState()
    for record in records(event_samples(text)):
        before = len(stream.getvalue())
        state.apply(record)
        sink.accept(record, state)
        assert stream.getvalue()[before:].strip(), record.event


def test_an_event_that_nobody_knows_is_shown_by_its_type(make):
    class Later(ev.Event):
        kind = "kind.of.the.future"

    try:
        stream = io.StringIO()
        play(make(stream), [ev.OtherEvent("type.of.the.future", {"x": 1})])
        assert "type.of.the.future" in stream.getvalue()
        if make is not JsonLog:  # which writes dataclasses
            play(make(stream), [Later()])
            assert "kind.of.the.future" in stream.getvalue()
    finally:
        del Later


@pytest.mark.parametrize("attack", [HOSTILE, *ATTACKS], ids=lambda attack: ascii(attack)[:30])
def test_nothing_foreign_reaches_a_terminal(make, attack):
    stream = io.StringIO()
    play(make(stream), event_samples(attack))
    rest = _OURS.sub("", stream.getvalue())
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", rest)


@pytest.mark.parametrize("attack", [HOSTILE, *ATTACKS], ids=lambda attack: ascii(attack)[:30])
def test_nothing_foreign_commands_a_ci_system(make, attack):
    stream = io.StringIO()
    play(make(stream), event_samples(attack))
    told = re.sub(r"(?m)^::(group|endgroup|notice|warning|error)( |::).*$", "", stream.getvalue())
    assert "##[" not in told
    assert "##vso[" not in told
    # GitHub trims white space, then looks for `::`. Colours of ours are no white space.
    assert not [line for line in re.split(r"[\r\n]", told) if line.lstrip().startswith("::")]


def test_closing_and_ticking_are_always_safe(make):
    stream = io.StringIO()
    sink = make(stream)
    sink.tick(1.0, RunState())
    sink.close()
    sink.close()
    sink = make(stream)
    state = play(sink, event_samples()[:20], close=False)
    sink.tick(state.updated - 100, state)
    sink.tick(state.updated + 1000, state)
    sink.close()
    sink.close()
    assert not stream.closed


def test_a_stream_that_knows_only_ascii_is_enough(make):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict" if make is not SINKS["live"] else "replace")
    play(make(stream), event_samples("größe → 日本"))
    stream.flush()
    assert raw.getvalue()


def test_a_stream_that_is_gone_is_an_error_and_not_silence(make):
    stream = io.StringIO()
    sink = make(stream)
    stream.close()
    with pytest.raises((OSError, ValueError)):
        play(sink, event_samples(), close=False)


def test_json_is_the_object_of_events_jsonl():
    stream = io.StringIO()
    samples = event_samples("##[error] ###[x] \\##[y] größe\n")
    play(JsonLog(stream), samples)
    lines = stream.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [
        json.loads(json.dumps(record_to_json(record))) for record in records(samples)
    ]
