import io
import re

from support.records import HOSTILE, event_samples, play

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending
from codex_runner.sinks.gitlab import GitLabLog

# As GitLab's own reader looks for them.
SECTION = re.compile(r"section_((?:start)|(?:end)):(\d+):([a-zA-Z0-9\-_.]+)(\[[^\]]*\])?\r\x1b\[0K")


def sections(events):
    stream = io.StringIO()
    play(GitLabLog(stream), events)
    return [(match[1], int(match[2]), match[3]) for match in SECTION.finditer(stream.getvalue())], stream.getvalue()


def test_each_attempt_is_a_section_and_so_are_the_checks():
    found, text = sections(
        [
            ev.RunStarted("r", "docs", "local"),
            ev.AttemptStarted(1),
            ev.AttemptEnded(1, Ending(Failure.CAPACITY, "busy")),
            ev.AttemptStarted(2),
            ev.AttemptEnded(2, Ending(None, "")),
            ev.CheckStarted("a", "true"),
            ev.CheckEnded("a", True, 0, 1.0, ""),
            ev.CheckStarted("b", "true"),
            ev.CheckEnded("b", True, 0, 1.0, ""),
            ev.RunEnded(0, "succeeded", "done"),
        ]
    )
    assert [(kind, time - 1_000_000_000) for kind, time, _ in found] == [
        ("start", 2),
        ("end", 3),
        ("start", 4),
        ("end", 5),
        ("start", 6),
        ("end", 10),
    ]
    names = [name for kind, _, name in found if kind == "start"]
    assert names == [name for kind, _, name in found if kind == "end"]
    assert len(set(names)) == 3
    assert "\r\x1b[0KAttempt 2: docs\n" in text
    assert text.rindex("section_end") < text.index("succeeded in")


def test_names_are_unique_over_runs_of_one_job():
    events = [ev.RunStarted("r", "docs", "local"), ev.AttemptStarted(1)]
    assert sections(events)[0][0][2] != sections(events)[0][0][2]


def test_a_section_is_closed_whatever_happens():
    found, _ = sections(
        [ev.RunStarted("r", "docs", "local"), ev.AttemptStarted(1), ev.AttemptStarted(1, attached=True)]
    )
    assert [kind for kind, _, _ in found] == ["start", "end", "start", "end"]


def test_foreign_text_opens_and_closes_nothing():
    found, _ = sections(event_samples(HOSTILE))
    assert all(name.startswith("codex_runner_") for _, _, name in found)
    assert len([1 for kind, _, _ in found if kind == "start"]) == len([1 for kind, _, _ in found if kind == "end"])
