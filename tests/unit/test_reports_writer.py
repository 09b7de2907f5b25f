from __future__ import annotations

import json
import os
import stat
from xml.etree import ElementTree as ET

import pytest
from support.report_states import a_run, records

from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError, RunnerError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.state import fold
from codex_runner.reports.atomic_write import clear_place, write_whole
from codex_runner.reports.writer import FileReports


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "20260102T030405Z-release-notes-0a1b2c3d")


def test_all_reports_are_written_and_again_over_themselves(folder, tmp_path):
    extra = tmp_path / "elsewhere" / "junit.xml"
    reports = FileReports(folder, extra_junit=extra)
    reports.prepare()
    for _ in range(2):
        paths = reports.write(a_run())
        assert {folder.run_json, folder.junit, folder.summary, folder.manifest, extra} <= set(paths)
        assert all(path.stat().st_size for path in paths)
    assert json.loads(folder.run_json.read_text())["result"] == "succeeded"
    assert json.loads(folder.manifest.read_text())["files"][0]["size"] == 1234
    assert extra.read_bytes() == folder.junit.read_bytes()
    assert f"[[ATTACHMENT|{folder.path}/artifacts/RELEASE_NOTES.md]]" in "".join(ET.parse(extra).getroot().itertext())
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        path.name for path in paths if path.parent == folder.path
    )


def test_before_the_end_run_json_says_so(folder):
    FileReports(folder).begin(fold(records([ev.RunStarted("r", "j", "local")])))
    assert json.loads(folder.run_json.read_text())["result"] is None
    assert {path.name for path in folder.path.iterdir()} == {"run.json"}


def test_there_is_room_for_reports_while_the_agent_works(folder):
    FileReports(folder).prepare()
    assert folder.room.stat().st_size == 256 * 1024
    FileReports(folder).write(a_run())
    assert not folder.room.exists()


def test_what_another_has_put_in_the_place_of_the_room_costs_no_report(folder):
    folder.room.mkdir(parents=True)
    written = FileReports(folder).write(a_run())
    assert folder.run_json in written


def test_the_mode_is_what_the_umask_says(folder):
    before = os.umask(0o027)
    try:
        paths = FileReports(folder).write(a_run())
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o640}


def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file/junit\.xml") as caught:
        FileReports(folder, extra_junit=tmp_path / "file" / "junit.xml").write(a_run())
    assert "could not be written" in caught.value.message
    assert folder.junit.exists()
    assert folder.summary.exists()


def test_a_bug_in_one_report_does_not_cost_the_others(folder, monkeypatch):
    monkeypatch.setattr("codex_runner.reports.writer.html_report", lambda *_, **__: 1 / 0)
    with pytest.raises(RunnerError, match=r"report\.html \(ZeroDivisionError at test_reports_writer\.py:") as caught:
        FileReports(folder, records=list).write(a_run())
    assert caught.value.exit_code == 70
    assert {path.name for path in folder.path.iterdir()} == {"run.json", "junit.xml", "summary.md", "manifest.json"}


def test_a_place_for_a_report_is_made_and_cleared_of_an_older_one(tmp_path):
    place = tmp_path / "a" / "b" / "junit.xml"
    clear_place(place, "--junit")
    assert list(place.parent.iterdir()) == []
    place.write_text("yesterday's green")
    clear_place(place, "--junit")
    assert list(place.parent.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("kept")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    for place in (tmp_path, tmp_path / "fifo", tmp_path / "link", tmp_path / "file" / "junit.xml"):
        with pytest.raises(ConfigurationError, match=r"^--junit .*(not a regular file|cannot be written)"):
            clear_place(place, "--junit")
    assert (tmp_path / "file").read_text() == "kept"
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "f", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("codex_runner.reports.atomic_write.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
