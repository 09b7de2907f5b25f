"""`runs`, `logs`, `report` and `prune`: what has run, told from the runs' folders alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from support import commands
from support.records import records
from support.report_states import PULL, delivered

from codex_runner.app.history import rebuild
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import DeliveryState
from codex_runner.domain.failure import Failure
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Usage, new_run_id
from codex_runner.sinks.jsonl import FileJournal

DAY = 86400.0
EXIT = ProcessExit(0, None, StopReason.NONE, 0, 0, 0, Sweep.CLEAN)


class Shelf:
    """An output folder with runs, and the command line before it."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "codex-runner-out"
        self.out.mkdir()
        (folder / "codex-runner.toml").write_text("version = 1\n[jobs.docs]\nprompt = 'p'\n")
        self.journals = []

    def begin(self, job="docs", *, age=0.0, reply="all done"):
        """Start a run and leave it open: its folder, its journal, and the records that are still to come."""
        began = time.time() - age
        folder = RunFolder(self.out / new_run_id(job, began))
        journal = FileJournal.create(folder)
        self.journals.append(journal)
        events = [
            ev.RunStarted(folder.run_id, job, "local", {"job": {"prompt": "p"}}),
            ev.AttemptStarted(1),
            ev.ThreadStarted("t"),
            ev.TurnStarted(),
            ev.ItemCompleted(ev.AgentMessage("i", reply)),
            ev.TurnCompleted(Usage(1000, 0, 234, 0)),
        ]
        done = [ev.AttemptEnded(1, Ending(None, "completed"), EXIT), ev.RunEnded(0, "succeeded", "it is done")]
        made = records([*events, *done], start=began, step=0.001)
        for record in made[: len(events)]:
            journal.append(record)
        return folder, journal, made[len(events) :]

    def run(self, job="docs", *, age=0.0, code=0, reports=True, delivery=None):
        """Put a finished run on the shelf."""
        folder, journal, rest = self.begin(job, age=age)
        if delivery:
            ended, verdict = rest
            rest = records([*[each.event for each in rest[:1]], delivery, verdict.event], start=ended.time, step=0.001)
            rest = [ev.Record(ended.seq + n, r.time, r.attempt, r.position, r.event) for n, r in enumerate(rest)]
        if code:
            failed = Ending(Failure.TIMEOUT, "out of time")
            last = [ev.AttemptEnded(1, failed, EXIT), ev.RunEnded(code, "failed", "out of time")]
            rest = [ev.Record(r.seq, r.time, r.attempt, r.position, e) for r, e in zip(rest, last, strict=True)]
        for record in rest:
            journal.append(record)
        journal.close()
        if reports:
            rebuild(folder, guards=True)
        return folder

    def command(self, *arguments, code=0):
        said = commands.run(*arguments, cwd=self.folder, environ={"HOME": str(self.folder), "TZ": "UTC"})
        assert said.code == code, said.text
        return said

    def start(self, *arguments):
        return commands.start(*arguments, cwd=self.folder, environ={"HOME": str(self.folder)})


@pytest.fixture
def shelf(tmp_path):
    shelf = Shelf(tmp_path)
    yield shelf
    for journal in shelf.journals:
        journal.close()


def test_runs_are_listed_the_newest_first(shelf):
    old = shelf.run(age=2 * DAY, code=9)
    new = shelf.run("notes", age=DAY)
    unreported = shelf.run(age=10, reports=False)
    live, _, _ = shelf.begin()
    killed, journal, _ = shelf.begin(age=5)
    journal.close()
    (shelf.out / "something-else").mkdir()
    said = shelf.command("runs", "--json")
    assert [(run["run_id"], run["ending"], run["exit_code"], run["tokens"]) for run in said.json] == [
        (live.run_id, "running", None, 1234),
        (killed.run_id, "unfinished", None, 1234),
        (unreported.run_id, "succeeded", 0, 1234),
        (new.run_id, "succeeded", 0, 1234),
        (old.run_id, "timeout", 9, 1234),
    ]
    table = shelf.command("runs").stdout.splitlines()
    assert table[0].split() == ["STARTED", "JOB", "HOST", "ENDING", "TOOK", "TOKENS", "RUN"]
    assert table[-1].split()[2:] == ["docs", "local", "failed:", "timeout", "0s", "1,234", old.run_id]
    assert [run["run_id"] for run in shelf.command("runs", "--failed", "--json").json] == [old.run_id]
    assert [run["run_id"] for run in shelf.command("runs", "--job", "notes", "--json").json] == [new.run_id]
    assert len(shelf.command("runs", "--limit", "2", "--json").json) == 2
    assert shelf.command("runs", "--job", "nope").stdout == ""
    assert len(shelf.command("runs", "--since", "25h", "--json").json) == 4
    assert "--since" in shelf.command("runs", "--since", "yesterday", code=2).stderr
    assert "--limit for more" in shelf.command("runs", "--limit", "4").stderr
    assert shelf.command("runs", "--limit", "5").stderr == ""


def test_a_run_is_found_by_the_beginning_of_its_id_if_no_other_has_it(shelf):
    old, new = shelf.run(age=2 * DAY), shelf.run("notes", age=DAY)
    day = old.run_id.partition("T")[0]
    assert old.run_id in shelf.command("report", day).stdout
    assert "all done" in shelf.command("logs", new.run_id[:-1]).stdout
    both = shelf.command("logs", "20", code=2).stderr
    assert "2 runs begin with 20: " in both
    assert old.run_id in both
    for nothing in ("", "../x", "1999", f"{new.run_id}0", "."):
        assert "is not a run id" in shelf.command("logs", nothing, code=2).stderr
    assert f"{old.run_id} is over" in shelf.command("cancel", day, code=2).stderr


def test_jobs_are_listed_with_their_last_run(shelf):
    (shelf.folder / "codex-runner.toml").write_text(
        "version = 1\n[jobs.docs]\nprompt = 'p'\ndescription = 'Writes\\u001b[2J the docs'\nhost = 'devbox'\n"
        "codex.env.TOKEN = 'canary-5f2b9c71d3e84a06'\n[jobs.notes]\nprompt = 'p'\nsandbox = 'workspace-write'\n"
        "description = 'canary-5f2b9c71d3e84a06'\n"
    )
    shelf.run(age=DAY)
    failed = shelf.run(code=9)
    shelf.run("gone")
    said = shelf.command("jobs", "--json")
    docs, notes = said.json["jobs"]
    assert (docs["job"], docs["host"], docs["sandbox"]) == ("docs", "devbox", "read-only")
    assert (docs["last"]["run_id"], docs["last"]["ending"]) == (failed.run_id, "timeout")
    assert (notes["sandbox"], notes["last"]) == ("workspace-write", None)
    table = shelf.command("jobs")
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["JOB", "docs", "notes"]
    assert "failed: timeout" in table.stdout
    assert "\x1b" not in table.stdout
    assert "canary" not in said.text + table.text


def test_runs_show_what_came_of_a_delivery_also_of_a_later_one(shelf):
    shelf.run(age=3)
    shelf.run(age=2, delivery=delivered())
    failed = shelf.run(age=1, delivery=delivered(DeliveryState.FAILED, "", "GitHub says no."), reports=False)
    seen = [run["delivery"] for run in shelf.command("runs", "--json").json]
    assert seen == [{"state": "failed", "link": None}, {"state": "updated", "link": PULL}, None]
    rebuild(failed, guards=True)
    failed.delivery.write_text(json.dumps({"state": "planned", "branch": "b"}))
    assert shelf.command("runs", "--json").json[0]["delivery"]["state"] == "failed"
    failed.delivery.write_text(json.dumps({"state": "delivered", "link": PULL + "8"}))
    assert shelf.command("runs", "--json").json[0]["delivery"] == {"state": "delivered", "link": PULL + "8"}
    head, newest, *_ = shelf.command("runs").stdout.splitlines()
    assert head.split()[4] == "DELIVERY"
    assert f"delivered {PULL}8" in newest


def test_runs_show_a_later_delivery_that_no_report_has_yet(shelf):
    """The process was killed after it had recorded the result, and before it had written any report."""
    folder = shelf.run(delivery=delivered(DeliveryState.FAILED, "", "GitHub says no."))
    records, journal = FileJournal.reopen(folder)
    last = list(records)[-1]
    later = ev.Record(last.seq + 1, last.time + DAY, last.attempt, last.position, delivered())
    journal.append(later)
    journal.close()
    folder.delivery.write_text(json.dumps({"state": "failed", "link": ""}))
    assert json.loads(folder.run_json.read_text())["delivery"]["state"] == "failed"
    (listed,) = shelf.command("runs", "--json").json
    assert (listed["delivery"], listed["ending"]) == ({"state": "updated", "link": PULL}, "succeeded")
    shelf.command("report", "last")
    document = json.loads(folder.run_json.read_text())
    assert (document["delivery"]["state"], document["seconds"] < DAY) == ("updated", True)


def test_a_narrow_terminal_breaks_no_run_id(shelf):
    folder = shelf.run(code=9)
    environ = {"HOME": str(shelf.folder), "TERM": "xterm", "COLUMNS": "40", "PATH": os.environ["PATH"]}
    shown = subprocess.run(
        ["script", "-qec", f"{commands.RUNNER} runs", "/dev/null"],
        cwd=shelf.folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    head, row = shown.splitlines()
    assert "\x1b[1m" in head
    assert "\x1b[31m" in row, "a failed run is red"
    assert row.split()[-1] == folder.run_id


@pytest.mark.parametrize(
    ("key", "value"),
    [("seconds", 1e999), ("seconds", float("nan")), ("started", "yesterday"), ("exit_code", "x"), ("usage", None),
     ("version", 2), ("job", "do\x1b[2Jcs\n::error::x")],
)  # fmt: skip
def test_whatever_run_json_says_the_runs_are_listed(shelf, key, value):
    folder = shelf.run()
    folder.run_json.write_text(json.dumps({**json.loads(folder.run_json.read_text()), key: value}))
    shown = shelf.command("runs").stdout
    assert folder.run_id in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_last_is_the_newest_run(shelf):
    assert "There is no run in" in shelf.command("logs", "last", code=2).stderr
    shelf.run(age=DAY)
    newest = shelf.run(code=9)
    assert newest.run_id in shelf.command("logs", "last").stdout
    assert str(newest.junit) in shelf.command("report", "last").stdout


def test_a_damaged_run_does_not_hide_the_others(shelf):
    whole, damaged = shelf.run(age=10), shelf.run(reports=False)
    lines = damaged.events.read_bytes().splitlines(keepends=True)
    damaged.events.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    assert [(run["run_id"], run["ending"]) for run in shelf.command("runs", "--json").json] == [
        (damaged.run_id, "unreadable"),
        (whole.run_id, "succeeded"),
    ]
    shelf.command("runs")
    shelf.command("prune", "--keep-last", "0")
    assert damaged.path.is_dir()


def test_logs_show_what_the_console_showed(shelf):
    folder = shelf.run(code=9)
    said = shelf.command("logs", folder.run_id)
    assert "all done" in said.stdout
    assert "out of time" in said.stdout
    assert "\x1b" not in said.stdout
    assert shelf.command("logs", "-f", folder.run_id).stdout == said.stdout
    assert "is not a run id" in shelf.command("logs", "nope", code=2).stderr


def test_logs_follow_a_live_run_until_it_ends(shelf):
    folder, journal, rest = shelf.begin()
    process = shelf.start("logs", "--follow", folder.run_id)
    try:
        os.set_blocking(process.stdout.fileno(), True)
        heard = b""
        while b"all done" not in heard:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            heard += line
        data = folder.events.read_bytes()
        time.sleep(0.5)
        assert process.poll() is None
        journal.append(rest[0])
        time.sleep(0.5)
        assert process.poll() is None
        journal.append(rest[1])
        journal.close()
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert b"it is done" in out
    assert folder.events.read_bytes().startswith(data)


def test_logs_end_where_the_runner_is_gone(shelf):
    folder, journal, _ = shelf.begin()
    journal.close()
    with folder.events.open("ab") as file:
        file.write(b'{"schema":1,"seq":7')  # torn
    said = shelf.command("logs", "-f", folder.run_id, code=6)
    assert "all done" in said.stdout
    assert f"codex-runner attach {folder.run_id}" in said.stderr


def test_reports_are_written_anew(shelf, tmp_path):
    folder = shelf.run(code=9)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    for name in ("run.json", "junit.xml", "summary.md", "report.html"):
        (folder.path / name).unlink()
    said = shelf.command("report", folder.run_id, "--junit", tmp_path / "a" / "junit.xml", "--html", "page.html")
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    assert (tmp_path / "a" / "junit.xml").read_bytes() == before["junit.xml"]
    assert (tmp_path / "page.html").read_bytes() == before["report.html"]
    assert str(folder.run_json) in said.stdout
    piped = shelf.command("report", folder.run_id, "--junit", "-")
    assert ET.fromstring(piped.stdout.encode()).tag == "testsuites"
    assert shelf.command("report", folder.run_id, "--html", "-").stdout.encode() == before["report.html"]
    shelf.command("report", folder.run_id, "--html", "-", "--junit", "-", code=2)
    said = shelf.command("report", folder.run_id, "--html", "codex-runner.toml/x", code=3)
    assert "cannot be written" in said.stderr


def test_prune_removes_what_is_old_and_not_among_the_last(shelf):
    runs = [shelf.run(age=days * DAY, reports=False) for days in (50, 40, 35, 2, 1)]
    live, _, _ = shelf.begin(age=60 * DAY)
    killed, journal, _ = shelf.begin(age=70 * DAY)
    journal.close()
    would = shelf.command("prune", "--older-than", "30d", "--keep-last", "3", "--dry-run")
    assert [line.split()[-1] for line in would.stdout.splitlines()] == [str(runs[1].path), str(runs[0].path)]
    assert all(run.path.is_dir() for run in runs)
    said = shelf.command("prune", "--older-than", "30d", "--keep-last", "3", "--json")
    assert said.json == [runs[1].run_id, runs[0].run_id]
    assert [run.path.is_dir() for run in runs] == [False, False, True, True, True]
    assert shelf.command("prune", "--older-than", "30d", "--job", "other").stdout == ""
    assert len(shelf.command("prune", "--keep-last", "0").stdout.splitlines()) == 3
    assert sorted(path.name for path in shelf.out.iterdir()) == sorted([live.run_id, killed.run_id])


def test_prune_takes_what_nobody_goes_on_with_only_when_it_is_told_to(shelf):
    killed, journal, _ = shelf.begin(age=DAY)
    journal.close()
    unborn = shelf.run(age=DAY, reports=False)
    unborn.events.write_bytes(b"")
    live, _, _ = shelf.begin(age=DAY)
    assert shelf.command("prune", "--keep-last", "0").stdout == ""
    assert "killed before it began" in shelf.command("logs", unborn.run_id).stderr
    assert "go on with `attach`" in shelf.command("logs", killed.run_id).stderr
    assert "follow it with -f" in shelf.command("logs", live.run_id).stderr
    said = shelf.command("prune", "--keep-last", "0", "--unfinished", "--json")
    assert set(said.json) == {killed.run_id, unborn.run_id}
    assert [path.name for path in shelf.out.iterdir()] == [live.run_id]


def test_prune_leaves_alone_what_is_locked_or_not_a_run(shelf, tmp_path):
    folder = shelf.run(age=DAY)
    mine = shelf.out / "20200101T000000Z-docs-0a1b2c3d"
    mine.mkdir()
    (mine / "precious").write_text("x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = shelf.run(age=3 * DAY)
    other.path.rename(elsewhere / other.run_id)
    other.path.symlink_to(elsewhere / other.run_id)
    (shelf.out / f".{folder.run_id}.pruned").mkdir()  # a removal that was killed
    _, journal = FileJournal.recover(folder)  # somebody attaches
    try:
        assert shelf.command("prune", "--keep-last", "0").stdout == ""
    finally:
        journal.close()
    assert folder.events.is_file()
    assert (mine / "precious").is_file()
    assert (elsewhere / other.run_id / "events.jsonl").is_file()
    assert not list(shelf.out.glob(".*.pruned"))
    assert "No runs selected" in shelf.command("prune", code=2).stderr
    assert "--older-than" in shelf.command("prune", "--older-than", "old", code=2).stderr


def test_a_reader_that_goes_away_is_no_bug(shelf):
    folder = shelf.run()
    process = shelf.start("logs", folder.run_id)
    process.stdout.close()
    _, err = process.stderr.read(), process.wait(120)
    assert process.returncode != 70, err
    process.stderr.close()


def test_nothing_there_is_no_error(shelf):
    assert shelf.command("runs", "-o", "nowhere", "--json").stdout == "[]\n"
    assert shelf.command("prune", "-o", "nowhere", "--keep-last", "1").stdout == ""


def test_history_needs_no_heavy_library(shelf):
    folder = shelf.run()
    code = "import sys, codex_runner.cli.main\nfrom codex_runner.app import history\n"
    code += "from pathlib import Path; list(history.list_runs(Path(sys.argv[1])))\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code, folder.path.parent], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pydantic", "httpx", "hvac", "rich", "junit_xml"} & set(loaded)
    assert json.loads(folder.run_json.read_text())["exit_code"] == 0
