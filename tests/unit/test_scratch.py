"""Temporary files lie below the folder of run directories, which is denied to agents. What dies leaves none there."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from codex_runner.shell import scratch


def where(runs, tmpdir):
    """Ask the shell's own function: where temporary files go, and how it ended."""
    text = scratch.scratch_script() + '\nfind_scratch "$1" && printf %s "$scratch"'
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmpdir)}
    done = subprocess.run(["sh", "-c", text, "sh", str(runs)], env=environ, capture_output=True, text=True, check=False)
    return done.stdout, done.returncode


def test_it_lies_below_the_runs(tmp_path):
    runs = tmp_path / "state" / "codex-runner" / "runs"
    with scratch.scratch_folder(runs) as folder:
        assert folder.parent == runs / ".scratch"
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert list((runs / ".scratch").iterdir()) == []
    with scratch.scratch_file(runs) as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(runs / ".scratch")
    assert where(runs, tmp_path) == (str(runs / ".scratch"), 0)


def test_the_shell_makes_it_for_nobody_else(tmp_path):
    runs = tmp_path / "state" / "runs"
    assert where(runs, tmp_path) == (str(runs / ".scratch"), 0)
    assert (runs / ".scratch").stat().st_mode & 0o777 == 0o700


def test_an_account_that_can_have_no_runs(tmp_path):
    """No run of it has an agent that could be in the way."""
    (tmp_path / "state").write_text("a file")
    assert where(tmp_path / "state" / "runs", tmp_path) == (str(tmp_path), 0)
    with scratch.scratch_folder(tmp_path / "state" / "runs") as folder:
        assert folder.is_dir()


def test_a_folder_that_cannot_be_made_is_no_reason_for_another_place(tmp_path):
    """An agent may fill the disk, and then wait in TMPDIR."""
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / ".scratch").write_text("in its place")
    assert where(runs, tmp_path)[1] == 1
    with pytest.raises(OSError, match=r"\.scratch"):
        scratch.scratch_file(runs)


def test_what_a_killed_runner_left_goes(tmp_path):
    old, new = tmp_path / ".scratch" / "old", tmp_path / ".scratch" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "bundle").write_text("x")
    os.utime(old, (time.time() - 90000,) * 2)
    with scratch.scratch_folder(tmp_path):
        assert not old.exists()
        assert new.exists()
