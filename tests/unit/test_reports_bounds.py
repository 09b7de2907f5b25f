"""No report has more than 20 MB, whatever a run says: and what is red, and why, is in it all the same."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from support.records import records

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.state import fold
from codex_runner.reports.html import html_report
from codex_runner.reports.junit import junit
from codex_runner.reports.room import REPORT_BYTES, Outputs, Page, both_ends
from codex_runner.reports.run_json import run_json
from codex_runner.reports.summary import summary
from codex_runner.reports.writer import FileReports
from codex_runner.sinks.jsonl import FileJournal, read_records

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text())
)
END = [
    ev.TurnCompleted(Usage(100, 0, 10, 0)),
    ev.AttemptEnded(1, Ending(None, "codex completed its turn")),
    ev.RunEnded(1, "failed", "the agent completed its turn, but the check 'lint' exited with 1", "Look at it."),
]
BEGIN = [ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", "local", {"checks": ["lint"]}), ev.AttemptStarted(1)]


def text(size):
    """What takes the most bytes in each of the formats."""
    return "<&>\"'é\x01" * (size // 8)


def runs(size):
    """Runs that say too much, each in its own way; `size` bytes of each thing."""
    few, many = size // 100, size // 2000
    message = ev.ItemCompleted(ev.AgentMessage("m", text(size)))
    return {
        "a reply": [message],
        "a reason": [ev.StreamError(text(size)), ev.TurnFailed(text(size)), ev.RunEnded(7, "failed", text(size))],
        "messages": [message] * 10,
        "commands": [ev.ItemCompleted(ev.Command(f"c{n}", text(500), text(300), 1, text(100))) for n in range(many)],
        "other events": [ev.OtherEvent("x", n) for n in range(few)],
        "strange kinds": [ev.OtherEvent(text(size // 20), {"a": text(size // 20)})] * 20,
        "long commands": [
            *(ev.ItemStarted(ev.Command(f"c{n}", text(300), "", None, "x")) for n in range(many)),
            *(ev.ItemCompleted(ev.Command(f"c{n}", text(300), "", 0, "x")) for n in range(many)),
        ],
        "files": [
            ev.ItemCompleted(
                ev.FileChange("f", tuple(ev.FileEdit(f"/w/{n}/{text(300)}", "add") for n in range(many)), "completed")
            )
        ],
        "warnings": [ev.Warned("w", f"{n} {text(1000)}") for n in range(many)],
        "diagnostics": [ev.Diagnostic("ERROR", text(1000))] * many,
        "checks": [ev.CheckEnded(f"c{n}", False, 1, 1.0, text(65536)) for n in range(size // 50_000)],
        "guards": [ev.Guarded(f"g{n}", False, text(2000)) for n in range(size // 20_000)],
        "artifacts": [ev.ArtifactKept(f"artifacts/{n}{text(400)}", 1, "0" * 64) for n in range(many)],
        "attempts": [
            each
            for n in range(1, 21)
            for each in (ev.AttemptStarted(n), ev.AttemptEnded(n, Ending(Failure.UNKNOWN, text(size // 10))))
        ],
        "changes": [ev.Changed(3, 4, text(size), tuple(text(200) for _ in range(many)), 12)],
        "facts": [ev.RunPrepared({"prompt": text(size), "x": {"y": [text(100)] * many}})],
    }


# The same with a bound and a size that take no time, and once with those that count.
SMALL = 400_000


@pytest.mark.parametrize("name", runs(100_000))
def test_no_report_is_larger_than_its_bound(name):
    happened = records([*BEGIN, *runs(400_000)[name], *END])
    state = fold(happened)
    document = json.loads(data := run_json(state, limit=SMALL))
    SCHEMA.validate(document)
    assert (document["exit_code"], document["result"]) == (1, "failed")
    assert len(data) <= SMALL
    xml = junit(state, limit=SMALL)
    assert len(xml) <= SMALL
    assert {*ET.fromstring(xml).iter("failure"), *ET.fromstring(xml).iter("error")}
    page = html_report(state, happened, limit=SMALL).encode()
    assert len(page) <= SMALL
    assert b"exited with 1" in page
    assert len(summary(state).encode()) <= 256 * 1024


@pytest.mark.parametrize("name", ["checks", pytest.param("other events", marks=pytest.mark.thorough)])
def test_no_report_has_more_than_20_mb(tmp_path, name):
    folder = RunFolder(tmp_path / "20260102T030405Z-docs-0a1b2c3d")
    journal = FileJournal.create(folder)
    for record in records([*BEGIN, *runs(7_000_000)[name], *END]):
        journal.append(record)
    journal.close()
    state = fold(read_records(folder.events))
    for path in FileReports(folder, records=lambda: read_records(folder.events)).write(state):
        assert path.stat().st_size <= REPORT_BYTES, path


def test_what_is_cut_is_named_and_all_else_is_whole():
    state = fold(records([*BEGIN, *runs(1_000_000)["warnings"], ev.ItemCompleted(ev.AgentMessage("m", "done")), *END]))
    assert json.loads(run_json(state))["cut"] == []
    document = json.loads(run_json(state, limit=800_000))
    assert document["cut"] == ["warnings"]
    assert document["reply"] == "done"
    long = json.loads(run_json(fold(records([*BEGIN, *runs(4_000_000)["a reply"], *END])), limit=8_000_000))
    assert long["cut"] == ["reply"]
    assert "characters are left out" in long["reply"]


def test_a_long_list_shows_its_beginning_and_its_end():
    happened = records([*BEGIN, *(ev.OtherEvent(f"kind-{n}", n) for n in range(20_000)), *END])
    page = html_report(fold(happened), happened, limit=2_000_000)
    assert "kind-0<" in page
    assert "kind-19999<" in page
    assert "kind-10000<" not in page
    assert "events: the page would be too large. events.jsonl has them." in page


def test_both_ends():
    def make(number):
        return f"{number:04d}"

    assert both_ends(5, make, 20) == (["0000", "0001"], ["0002", "0003", "0004"])
    assert both_ends(100, make, 20) == (["0000", "0001"], ["0097", "0098", "0099"])
    assert both_ends(100, make, 3) == ([], [])
    assert both_ends(0, make, 3) == ([], [])


def test_outputs_are_shorter_the_less_room_there_is():
    room = Outputs(1_000)
    assert room.take("<" * 400) == "<" * 400
    assert len(room.take("x" * 2_000)) < 500
    for _ in range(3):
        room.take("x" * 2_000)
    assert room.take("x") == ""


def test_a_section_that_does_not_fit_says_so():
    page = Page(1000)
    assert "too large" in page.take("x" * 2000)
    assert page.take("x" * 800) == "x" * 800
