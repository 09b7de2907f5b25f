"""How much of a CI system's log a run may fill, by default: the numbers that docs/github-actions.md promises."""

import io
import re
from pathlib import Path

import pytest
from support.records import play

from codex_runner.domain import event as ev
from codex_runner.domain.run import Ending
from codex_runner.reports.summary import append_step_summary
from codex_runner.sinks.console import PlainLog
from codex_runner.sinks.github import GitHubLog
from codex_runner.sinks.gitlab import GitLabLog

MIB = 1024 * 1024
BEGIN = [ev.RunStarted("r", "docs", "local"), ev.AttemptStarted(1)]
END = [ev.AttemptEnded(1, Ending(None, "")), ev.RunEnded(1, "failed", "the very end")]
LOGS = {"plain": PlainLog, "github": GitHubLog, "gitlab": GitLabLog}


def command(output, exit_code=1):
    return ev.ItemCompleted(ev.Command("i", "make", output, exit_code, "failed" if exit_code else "completed"))


@pytest.mark.parametrize("log", LOGS)
def test_a_log_is_full_at_two_mebibytes_and_still_tells_the_end(log):
    stream = io.StringIO()
    noise = [command("y" * 400 + f" {n}\n") for n in range(6000)]
    play(LOGS[log](stream), [*BEGIN, *noise, *END])
    text = stream.getvalue()
    assert 2 * MIB - 2000 < len(text.encode()) < 2 * MIB + 2000
    assert "is full at" in text
    assert "the very end" in text[-1000:]


@pytest.mark.parametrize("log", LOGS)
def test_of_a_command_the_last_forty_lines_are_shown(log):
    stream = io.StringIO()
    play(LOGS[log](stream), [*BEGIN, command("".join(f"line {n} of it\n" for n in range(1000))), *END])
    shown = [int(number) for number in re.findall(r"\| line (\d+) of it", stream.getvalue())]
    assert shown == list(range(960, 1000))


def test_ten_annotations_a_level():
    stream = io.StringIO()
    events = [ev.Warned("w", f"warning {n}") for n in range(30)]
    events += [ev.CheckEnded(f"c{n}", False, 1, 1.0, f"a.py:{n}: wrong\n" * 30) for n in range(30)]
    play(GitHubLog(stream), [*BEGIN, *events, *END])
    levels = re.findall(r"^::(warning|error|notice)[ :]", stream.getvalue(), re.MULTILINE)
    assert (levels.count("warning"), levels.count("error"), levels.count("notice")) == (10, 10, 0)


def test_the_step_summary_stays_below_githubs_mebibyte(tmp_path):
    path = tmp_path / "step"
    for _ in range(6):
        append_step_summary(path, "x" * (256 * 1024))
    assert 768 * 1024 < path.stat().st_size < MIB
    assert "does not fit" in path.read_text()


def test_the_numbers_are_those_of_the_docs():
    told = (Path(__file__).parents[2] / "docs/github-actions.md").read_text()
    assert "at most 2 MiB of the run, the last 40 lines of a command, the summary 1 MiB, and ten" in told.replace(
        "\n", " "
    )
    assert "beyond 64 KiB its beginning, and the path of the whole" in told
