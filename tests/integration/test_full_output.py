"""The output folder's disk fills up under a run: what is left says so, and whoever goes on is told the same."""

import os
import shutil
import subprocess

import pytest

from codex_runner.demo.model_wire import shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex


@pytest.fixture
def disk(project):
    """A disk of the output folder's own. `leave(free)` fills it up but for so many KiB; None makes room again."""
    project.out.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(project.out)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    fill = project.out / "fill"

    def leave(free):
        fill.unlink(missing_ok=True)
        if free is not None:
            size = shutil.disk_usage(project.out).free - free * 1024
            with fill.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    yield leave
    subprocess.run(["umount", "-l", str(project.out)], check=True)


@pytest.mark.parametrize("free", [0, 8, 64])
def test_a_run_whose_output_disk_fills_up(project, disk, free, service):
    """In a small record, in the copy of a large one, or somewhere in between; the agent is at work."""
    big = shell("head -c 600000 /dev/zero | tr '\\0' x", wait=30)
    service.scenario("big", script(shell("sleep 1"), big, shell("sleep 60", wait=30)))
    project.configure(prompt="SCN:big" if free else "SCN:slow:30", sandbox="danger-full-access")
    running = project.start("run", "docs")
    running.until(lambda: b"turn.started" in project.recorded)
    disk(free)
    done = running.wait()
    document = done.run.run_json
    assert (done.code, document["exit_code"], document["result"]) == (3, 3, "failed"), done.stderr
    assert "No space left on device" in document["reason"]
    assert "Free space" in document["remedy"]
    disk(None)
    again = project.command("attach", done.run.run_id)
    document = project.check_reports(again, 3).run_json
    assert document["failure"] == "runner-failed"
    assert "could not go on" in document["reason"]
    assert "SIGTERM" not in again.stderr
    assert done.run.codex == project.witness.printed(done.run.run_id)
    project.check_nothing_is_left()
