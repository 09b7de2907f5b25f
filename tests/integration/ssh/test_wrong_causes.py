"""What goes wrong on a host is told by its cause: a folder that is gone, no room, no place for temporary files."""

import os
import signal
import subprocess

import pytest

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def test_an_agent_that_removes_the_folder_that_checks_run_in(there, service):
    """It was called a bug of the runner's here, and a wrong `cwd` over SSH."""
    work = there.scratch / "work"
    work.mkdir()
    service.scenario("leave", script(shell(f"cd /; rmdir {work}"), message("it is gone")))
    job = {"prompt": "SCN:leave", "cwd": str(work), "sandbox": "danger-full-access", "artifacts": ["x"]}
    there.configure(**job, checks=[{"name": "look", "run": "true"}])
    run = there.check_reports(there.run(), 1)
    assert "the check 'look' exited with 126" in run.run_json["reason"]
    (check,) = run.run_json["checks"]
    assert f"cwd: {work} is not a directory that can be entered. It existed when the agent began." in check["output"]
    there.check_nothing_is_left()


def test_what_is_left_of_that_folder_for_artifacts(there, service):
    work = there.scratch / "work"
    work.mkdir()
    service.scenario("leave", script(shell(f"cd /; rmdir {work}"), message("it is gone")))
    there.configure(prompt="SCN:leave", cwd=str(work), sandbox="danger-full-access", artifacts=["x"])
    run = there.check_reports(there.run(), 0)
    assert run.warnings["artifact"] == "the glob x matched nothing"


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_no_temporary_folder(placed, tmp_path, command):
    """codex was to be installed, though it was there."""
    (tmp_path / "nowhere").write_text("a file")
    there = placed(TMPDIR=str(tmp_path / "nowhere"), XDG_STATE_HOME=str(tmp_path / "nowhere"))
    there.configure()
    done = there.command(command, "docs")
    assert done.code in {3, 6}
    assert str(tmp_path / "nowhere") in done.stderr + done.stdout
    assert "Install it" not in done.stderr


def test_no_room_for_temporary_files(placed, tmp_path):
    """The answer was lost, and codex was to be installed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with (disk / "fill").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 64 * 1024)
        there = placed(XDG_STATE_HOME=str(disk))
        there.configure()
        done = there.run()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert done.code in {3, 6}
    assert "No space left" in done.stderr or "no room" in done.stderr
    assert str(disk) in done.stderr
    assert "Install it" not in done.stderr


def test_a_supervisor_that_is_told_to_end_on_its_host(there):
    """No runner got a signal, and no CI system's time limit has anything to do with it."""
    there.configure(prompt="SCN:long_command:60", sandbox="danger-full-access")
    running = there.start("run", "docs")
    running.until(lambda: b"item.started" in there.recorded)
    words = (there.host_run() / "attempts/1/pid").read_text().split()
    os.kill(int(words[2]), signal.SIGTERM)
    document = there.check_reports(running.wait(), 143).run_json
    assert "the supervisor on the host got SIGTERM" in document["reason"]
    assert document["remedy"] == "Find out what ended it on the host, and run the job again."
    there.check_nothing_is_left()
