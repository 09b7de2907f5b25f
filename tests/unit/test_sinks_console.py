import io
import re
import subprocess
import sys

import pytest
from support.records import event_samples, play, records
from support.report_states import PULL, delivered

from codex_runner.app.showing import place_of
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import ByHand, CommitWay, Delivered, DeliveryState, ForgeKind
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.reports.moments import Mood, item_moment
from codex_runner.sinks import choose
from codex_runner.sinks.console import PlainLog, make_console
from codex_runner.sinks.github import GitHubLog
from codex_runner.sinks.gitlab import GitLabLog
from codex_runner.sinks.jsonl import JsonLog
from codex_runner.sinks.live import LiveConsole

BEGIN = [ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", "local"), ev.AttemptStarted(1), ev.TurnStarted()]


def command(text="make", output="", code=0, identity="i1", status=None):
    status = status or ("completed" if code == 0 else "failed")
    return ev.Command(identity, f"/bin/bash -lc '{text}'", output, code, status)


def shown(events, **settings):
    stream = io.StringIO()
    play(PlainLog(stream, **settings), events)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    "item",
    [
        command(status="paused"),
        ev.ToolCall("t", "demo", "echo", "paused"),
        ev.FileChange("f", (ev.FileEdit("/w/a", "add"),), "paused"),
    ],
)
def test_a_status_that_nobody_knows_is_no_success(item):
    assert "FAILED" in shown([*BEGIN, ev.ItemCompleted(item)])[3]
    assert item_moment(item, 0.0, 1.0).mood is Mood.BAD


def test_a_run_reads_as_a_story():
    lines = shown(
        [
            *BEGIN,
            ev.ItemStarted(command("make docs", code=None, status="in_progress")),
            ev.ItemCompleted(command("make docs")),
            ev.ItemCompleted(command("false", "one\ntwo\n", 3, "i2")),
            ev.ItemCompleted(ev.FileChange("i3", (ev.FileEdit("/w/NEWS.md", "add"),), "completed")),
            ev.ItemUpdated(ev.TodoList("i4", (ev.Todo("write", completed=True), ev.Todo("check", completed=False)))),
            ev.ItemCompleted(ev.AgentMessage("i5", "All done.\nSee NEWS.md.")),
            ev.TurnCompleted(Usage(1500, 100, 200, 0)),
            ev.AttemptEnded(1, Ending(None, "the turn completed")),
            ev.CheckStarted("build", "mkdocs build"),
            ev.CheckEnded("build", True, 0, 3.25, ""),
            ev.RunEnded(0, "succeeded", "the job succeeded"),
        ]
    )
    assert lines == [
        "    0:00 run      docs on local as 20260102T030405Z-docs-0a1b2c3d",
        "    0:01 attempt  1",
        "    0:02 turn     started",
        "    0:03 $        make docs",
        "    0:04 ok       (1s) make docs",
        "    0:05 FAILED   (exit 3) false",
        "         | one",
        "         | two",
        "    0:06 file     A /w/NEWS.md",
        "    0:07 plan     1/2 check",
        "    0:08 says",
        "         | All done.",
        "         | See NEWS.md.",
        "    0:09 turn     completed: 1,500 tokens in (100 cached), 200 out",
        "    0:10 attempt  1 is over: the turn completed",
        "    0:11 check    build: mkdocs build",
        "    0:12 passed   (3.2s) check build",
        "    0:13 ok       succeeded in 13s: the job succeeded (2 commands, 1 failed; 1 file changed; 1,700 tokens)",
    ]


def test_the_last_line_has_the_pull_request():
    stream = io.StringIO()
    play(PlainLog(stream), [*BEGIN, delivered(), ev.RunEnded(0, "succeeded", "done")])
    assert stream.getvalue().splitlines()[-1].endswith(f"delivery updated: {PULL}")


def test_commands_to_paste_are_whole_and_nothing_stands_before_them():
    stream, command = io.StringIO(), f"remote='{'x' * 900}'"
    ways = (ByHand("patch", "In a clone:", (command, "git push"), PULL), ByHand("open", "Open it:", (), PULL))
    failed = Delivered(
        DeliveryState.FAILED, ForgeKind.GITHUB, reason="No.", signed=True, way=CommitWay.TREES, by_hand=ways
    )
    play(PlainLog(stream), [*BEGIN, ev.DeliveryEnded(failed)])
    lines = stream.getvalue().splitlines()[-6:]
    assert [line[9:].strip() for line in lines] == [
        "FAILED   failed: No. GitHub made the commit from blobs and trees, and GitHub shows it as verified.",
        "by hand  In a clone:",
        command,
        "git push",
        f"by hand  then open {PULL}",
        f"by hand  Open it: {PULL}",
    ]


def test_a_failed_command_shows_its_last_lines():
    output = "".join(f"line {i}\n" for i in range(1, 101))
    lines = shown([*BEGIN, ev.ItemCompleted(command("x", output, 1))])[4:]
    assert lines[0].endswith("| … 60 lines before")
    assert lines[1].endswith("| line 61")
    assert lines[-1].endswith("| line 100")
    assert len(shown([*BEGIN, ev.ItemCompleted(command("x", output))])) == 4


@pytest.mark.parametrize(
    ("code", "status", "told"), [(None, "declined", "declined"), (0, "declined", "declined exit 0")]
)
def test_a_command_that_never_ran_is_not_shown_as_done(code, status, told):
    lines = shown([*BEGIN, ev.ItemCompleted(command("rm", "", code, status=status))])
    assert told in lines[3]


def test_what_codex_complains_of_again_and_again_is_told_once_with_a_count():
    again = [ev.Diagnostic("ERROR", "the same thing")]
    end = [ev.RunEnded(0, "succeeded", "done")]
    events = [*BEGIN, *again * 1000, ev.Diagnostic("ERROR", "another"), *again, ev.TurnStarted(), *again * 2, *end]
    told = [line.split(maxsplit=1)[1] for line in shown(events) if " codex  " in line]
    assert told == [
        "codex    ERROR: the same thing",
        "codex    … the same, 999 times more",
        "codex    ERROR: another",
        "codex    ERROR: the same thing",
        "codex    ERROR: the same thing",
        "codex    … the same, 1 time more",
    ]
    assert sum("ERROR: the same thing" in line for line in shown(events, verbose=True)) == 1003
    refused = [ev.Diagnostic("ERROR", "refused", "refused")] * 3
    assert sum("refused [refused]" in line for line in shown([*BEGIN, *refused, *end])) == 3


def test_lines_are_cut_at_the_width():
    lines = shown([*BEGIN, ev.ItemCompleted(command("y" * 900, "z" * 900, 1))], width=80)
    assert [len(line) for line in lines[3:]] == [80, 80]
    assert lines[4].endswith("…+831")


def test_after_a_minute_of_silence_it_says_that_it_is_alive():
    stream = io.StringIO()
    log = PlainLog(stream)
    state = play(log, [*BEGIN, ev.ItemStarted(command("pytest -q", code=None, status="in_progress"))], close=False)
    began = state.updated
    for second in range(1, 201):
        log.tick(began + second, state)
    assert stream.getvalue().splitlines()[4:] == [
        "    1:03 ...      still running: pytest -q, 1m",
        "    2:03 ...      still running: pytest -q, 2m",
        "    3:03 ...      still running: pytest -q, 3m",
    ]


def test_what_is_going_on_is_named():
    log = PlainLog(stream := io.StringIO())
    state = RunState()
    steps = [
        (ev.RunStarted("r", "docs", "local"), "still working"),
        (ev.AttemptStarted(1), "still starting codex, 1m01s"),
        (ev.TurnStarted(), "still waiting for the model"),
        (ev.ItemStarted(ev.ToolCall("i1", "srv", "tool", "in_progress")), "still running: srv.tool, 1m01s"),
        (ev.ItemStarted(ev.WebSearch("i2", "cats")), "still running: web search: cats, 1m01s"),
        (ev.TurnCompleted(Usage()), "still running: web search: cats"),
        (ev.AttemptEnded(1, Ending(None, "")), "still working"),
        (ev.CheckStarted("docs", "make"), "still checking: docs, 1m01s"),
        (ev.CheckEnded("docs", True, 0, 1.0, ""), "still working"),
    ]
    for record, (_, told) in zip(records([event for event, _ in steps]), steps, strict=True):
        state.apply(record)
        log.accept(record, state)
        log.tick(record.time + 61, state)
        assert told in stream.getvalue().splitlines()[-1]


def test_the_clock_may_be_set_back():
    log = PlainLog(stream := io.StringIO())
    state = play(log, BEGIN, close=False)
    before = stream.getvalue()
    log.tick(state.updated - 10_000, state)
    log.tick(state.updated - 9_950, state)
    assert stream.getvalue() == before
    log.tick(state.updated - 9_930, state)
    assert "still waiting" in stream.getvalue()


def test_the_log_is_bounded_and_says_so_once():
    noise = [ev.ItemCompleted(command("x", "y" * 400 + "\n", 1))] * 500
    events = [*BEGIN, *noise, ev.AttemptEnded(1, Ending(None, "")), ev.RunEnded(1, "failed", "the end")]
    stream = io.StringIO()
    play(PlainLog(stream, limit=10_000), events)
    text = stream.getvalue()
    assert len(text.encode()) < 11_000
    assert text.count("is full") == 1
    assert "attempt  1 is over" in text
    assert "FAILED   exit code 1: the end (after 8m24s; 500 commands, 500 failed)" in text
    assert len("\n".join(shown(events, limit=None))) > 100_000


def test_a_bound_counts_bytes():
    stream = io.StringIO()
    play(PlainLog(stream, limit=1000), [*BEGIN, *[ev.ItemCompleted(ev.AgentMessage("i", "日本" * 20))] * 50])
    assert len(stream.getvalue().encode()) < 1300


def test_colours_only_when_asked():
    assert not any("\x1b" in line for line in shown(event_samples()))
    colored = shown(event_samples(), color=True)
    assert any(line.startswith("\x1b[31m") for line in colored)
    assert all(line.count("\x1b[") in {0, 2} for line in colored)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def chosen(log_format, stream, environ, secrets=()):
    return choose(log_format, stream, environ, secrets, place=place_of(environ))


@pytest.mark.parametrize(
    ("log_format", "stream", "environ", "kind"),
    [
        ("auto", io.StringIO, {}, PlainLog),
        ("auto", Terminal, {}, LiveConsole),
        ("auto", Terminal, {"TERM": "dumb"}, PlainLog),
        ("auto", Terminal, {"CI": "true"}, PlainLog),
        ("auto", Terminal, {"GITHUB_ACTIONS": "true"}, GitHubLog),
        ("auto", io.StringIO, {"GITLAB_CI": "true"}, GitLabLog),
        ("auto", io.StringIO, {"GITLAB_CI": "false"}, PlainLog),
        ("text", io.StringIO, {"GITHUB_ACTIONS": "true"}, PlainLog),
        ("github", io.StringIO, {}, GitHubLog),
        ("gitlab", io.StringIO, {}, GitLabLog),
        ("json", Terminal, {"GITHUB_ACTIONS": "true"}, JsonLog),
    ],
)
def test_the_right_sink_is_chosen(log_format, stream, environ, kind):
    (sink,) = chosen(log_format, stream(), environ)
    assert type(sink) is kind


def test_secrets_are_masked_on_github_and_printed_nowhere_else():
    for log_format in ("auto", "text", "github", "gitlab", "json"):
        for environ in ({}, {"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}):
            stream = io.StringIO()
            chosen(log_format, stream, environ, [Secret("TOKEN", "s3cret")])
            on_github = "GITHUB_ACTIONS" in environ and log_format in {"auto", "github"}
            assert stream.getvalue() == ("::add-mask::s3cret\n" if on_github else "")


def test_plain_lines_do_not_load_rich():
    code = (
        "import sys, io; from codex_runner.sinks.console import make_console;"
        "make_console(io.StringIO(), is_tty=False, color=True);"
        "loaded = {name.split('.')[0] for name in sys.modules};"
        "assert not loaded & {'rich', 'pydantic', 'httpx', 'hvac', 'asyncio'}, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_terminal_gets_the_live_view():
    stream = io.StringIO()
    console = make_console(stream, is_tty=True, color=False, width=60)
    todo = ev.TodoList("i0", tuple(ev.Todo(f"step {n}", completed=n < 5) for n in range(20)))
    state = play(
        console,
        [
            *BEGIN,
            ev.ItemStarted(todo),
            ev.ItemCompleted(command("false", "".join(f"{n}\n" for n in range(50)), 1, "i2")),
            ev.ItemStarted(command("pytest -q " + "x" * 100, code=None, status="in_progress")),
            ev.Warned("w", "mind the gap"),
        ],
        close=False,
    )
    console.tick(state.updated + 63, state)
    drawn = stream.getvalue().rsplit("──\n", 1)[1]
    above = stream.getvalue()
    assert "▸ running: pytest -q" in drawn
    assert "1 command (1 failed) · 0 files · 0 tokens · 1 warning" in drawn
    assert [line.strip() for line in drawn.splitlines() if "step" in line] == [
        "[x] step 4",
        *(f"[ ] step {n}" for n in range(5, 10)),
    ]
    assert "| 49" in above
    assert "| 39" not in above
    console.close()
    assert stream.getvalue().endswith("\x1b[2K")
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h")


def test_the_verdict_is_shown_whole_on_a_narrow_terminal():
    stream = io.StringIO()
    reason = "the check docs build failed with exit code 1 and then some more words that go on"
    play(make_console(stream, is_tty=True, color=False, width=40), [*BEGIN, ev.RunEnded(1, "failed", reason)])
    assert "and then some more words" in " ".join(stream.getvalue().split())


@pytest.mark.parametrize("is_tty", [True, False])
def test_a_red_log_ends_with_what_failed_and_what_to_do(is_tty):
    check = ev.CheckEnded("unit tests", False, 1, 1.0, "test_1 ok\nFAILED test_2\n\n")
    advice = "Look at the output of the check, and at the patch that it judged, which is a long sentence indeed."
    stream = io.StringIO()
    sink = make_console(stream, is_tty=is_tty, color=False, width=60 if is_tty else None)
    play(sink, [*BEGIN, check, ev.RunEnded(1, "failed", "a check failed", advice)])
    text = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).split())
    assert re.search(r"FAILED exit code 1: a check failed \(.*?\) \| unit tests: FAILED test_2 .* to do Look", text)
    assert advice in text
