import io
import re

import pytest
from support.records import HOSTILE, event_samples, play

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending
from codex_runner.domain.secret import Secret
from codex_runner.sinks import LogReader, choose
from codex_runner.sinks.azure import ISSUES, AzureLog

# As the agent looks for commands: anywhere in a line. Groups it finds at the beginning.
COMMAND = re.compile(r"##vso\[([^\]]*)\](.*)")
GROUP = re.compile(r"^##\[(\w+)\](.*)$", re.MULTILINE)


def log(events, **settings):
    stream = io.StringIO()
    play(AzureLog(stream, **settings), events)
    return stream.getvalue()


def test_each_attempt_is_a_group_and_so_are_the_checks():
    text = log(
        [
            ev.RunStarted("r", "docs", "local"),
            ev.AttemptStarted(1),
            ev.AttemptEnded(1, Ending(Failure.CAPACITY, "busy")),
            ev.AttemptStarted(2),
            ev.AttemptEnded(2, Ending(None, "")),
            ev.CheckStarted("a", "true"),
            ev.CheckEnded("a", True, 0, 1.0, ""),
            ev.RunEnded(0, "succeeded", "done"),
        ]
    )
    assert GROUP.findall(text) == [
        *[("group", "Attempt 1: docs"), ("endgroup", "")],
        *[("group", "Attempt 2: docs"), ("endgroup", "")],
        *[("group", "Checks"), ("endgroup", "")],
    ]
    assert text.rindex("##[endgroup]") < text.index("succeeded in")
    assert COMMAND.findall(text) == [("task.logissue type=warning", f"Attempt 1 failed ({Failure.CAPACITY}): busy")]


def test_a_group_is_closed_whatever_happens():
    text = log([ev.RunStarted("r", "docs", "local"), ev.AttemptStarted(1), ev.AttemptStarted(1, attached=True)])
    assert [kind for kind, _ in GROUP.findall(text)] == ["group", "endgroup", "group", "endgroup"]


def test_what_went_wrong_is_an_issue_of_the_run():
    text = log(
        [
            ev.RunStarted("r", "docs", "local"),
            ev.Warned("no-tests", "no tests\nwere found: 100%"),
            ev.CheckStarted("a", "false"),
            ev.CheckEnded("a", False, 1, 1.0, "out"),
            ev.RunEnded(1, "failed", "check a failed"),
        ]
    )
    assert COMMAND.findall(text) == [
        ("task.logissue type=warning", "no-tests: no tests were found: 100%AZP25"),
        ("task.logissue type=error", "check a failed with exit code 1"),
        ("task.logissue type=error", "docs failed: check a failed"),
    ]


def test_there_are_not_more_issues_than_azure_shows_and_the_last_one_is_the_verdict():
    many = [ev.Guarded(f"guard-{number}", False, "broken", failure="leak") for number in range(30)]
    text = log([ev.RunStarted("r", "docs", "local"), *many, ev.RunEnded(12, "failed", "a leak")])
    found = COMMAND.findall(text)
    assert len(found) == ISSUES
    assert found[-1] == ("task.logissue type=error", "docs failed: a leak")


def test_no_foreign_word_is_a_command():
    """The agent would set a variable, or end the task as succeeded."""
    text = log(event_samples(HOSTILE))
    commands = [name.split()[0] for name, _ in COMMAND.findall(text)]
    assert set(commands) <= {"task.logissue"}
    assert {kind for kind, _ in GROUP.findall(text)} <= {"group", "endgroup"}
    evil = "##vso[task.complete result=Succeeded;]done ##[error]x"
    text = log([ev.RunStarted("r", evil, "local"), ev.AttemptStarted(1), ev.RunEnded(1, "failed", evil)])
    assert [name for name, _ in COMMAND.findall(text)] == ["task.logissue type=error"]


@pytest.mark.parametrize(("log_format", "formats"), [("auto", ("azure",)), ("azure", ())])
def test_it_is_chosen_and_prints_no_secret(log_format, formats):
    """`task.setsecret` would print it: an agent that does not read this stream would keep it."""
    stream = io.StringIO()
    (sink,) = choose(log_format, stream, {}, [Secret("T", "canary")], place=LogReader(formats=formats))
    sink.mask(Secret("T", "canary"))
    assert isinstance(sink, AzureLog)
    assert stream.getvalue() == ""
