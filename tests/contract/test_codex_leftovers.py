"""What codex itself leaves behind: helpers for files, and empty mount points of its sandbox."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from support.bare import path_without
from support.launches import CHILD, collect, launch, processes_of, wait_until
from support.ways import ways

from codex_runner.domain.event import Position
from codex_runner.domain.host import Output
from codex_runner.domain.run import StopReason, Sweep
from codex_runner.transports.local import LocalTransport


@pytest.fixture(params=ways(["dash", "bash", "busybox", "mksh"], ["dash", "busybox"]))
def bare(request, tmp_path):
    """A host without perl and python3, where nothing can be a child subreaper."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    path = path_without(tmp_path / "bin", "perl", "python3", "python", sh=shutil.which(request.param))
    return LocalTransport({"PATH": str(path), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})


async def run_directory(host, pid_file, run_id):
    """Make the directory of a run that has not begun: beside that of one which has ended."""
    ended = launch("reply")
    await host.start(ended)
    await collect(host, ended.run_id)
    made = pid_file(ended.run_id).parents[2].with_name(run_id)
    made.mkdir()
    return made


def test_a_helper_goes_on_a_host_without_perl_and_python(bare):
    job = launch("leaves-helper")

    async def work():
        await bare.start(job)
        return (await collect(bare, job.run_id))[2].exit

    exit_ = asyncio.run(work())
    assert (exit_.swept, exit_.killed) == (Sweep.BEST_EFFORT, 1)
    wait_until(lambda: processes_of(job.run_id) == [], 60)  # the supervisor itself looks for old runs yet


def test_a_helper_of_a_killed_proof_goes_with_the_run(host, run, pid_file, tmp_path):
    """The proof of the sandbox has no supervisor; neither has what it leaves in the folder."""
    job = launch("reply")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".kube").write_text("mine")
    (tmp_path / ".pypirc").touch()

    async def work():
        await host.start(job)
        await collect(host, job.run_id)
        folder = pid_file(job.run_id).parents[2]
        # Its supervisor writes there until it has gone.
        await asyncio.to_thread(wait_until, lambda: processes_of(job.run_id) == [], 60)
        shutil.rmtree(folder / "attempts")
        (folder / "points").write_text(".aws\n.kube\n.ssh\n.netrc\n")
        (folder / "points.at").symlink_to(tmp_path)
        helper = subprocess.Popen(  # noqa: ASYNC220 - nobody waits for it
            [sys.executable, str(CHILD), "mute", "--codex-run-as-fs-helper"],
            env={"PATH": f"{folder}/home/tmp/arg0-linux/codex-arg0"},
            start_new_session=True,
        )
        wait_until(lambda: processes_of(job.run_id), 60)
        await host.discard(job.run_id)
        return helper

    assert run(work()).wait(120) == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {".kube", ".pypirc"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_what_another_sandbox_has_mounted_is_left_to_it(host, run, pid_file, tmp_path):
    """Without its mount point, a command of the other run fails, or writes what it must not."""
    one, other = launch("reply", cwd=tmp_path), launch("hangs", cwd=tmp_path)

    async def work():
        await host.start(other)
        folder = pid_file(other.run_id).parents[2]
        (folder / "points.at").symlink_to(tmp_path)
        (folder / "points").write_text(".aws\n")
        (folder / "points.in").write_text(f"{tmp_path}\n")
        async for piece in host.follow(other.run_id, 1, Position()):
            if isinstance(piece, Output):
                break  # its codex is there
        (tmp_path / ".git").mkdir()
        (tmp_path / ".aws").mkdir()
        own = folder.with_name(one.run_id)
        own.mkdir()
        (own / "points.at").symlink_to(tmp_path)
        (own / "points").write_text(".git\n.kube\n")
        await host.start(one)
        await collect(host, one.run_id)
        between = {path.name for path in tmp_path.iterdir()}
        await host.stop(other.run_id, 1, StopReason.CANCELLED)
        await collect(host, other.run_id)
        return between

    assert run(work()) == {".git", ".aws"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_what_the_sandbox_of_a_codex_without_a_run_has_mounted_is_left_to_it(host, run, pid_file, tmp_path):
    """The points go with the run's directory, once that sandbox has ended."""
    job = launch("reply", cwd=tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".aws").mkdir()
    words = ["bwrap", "-c", "sleep 600; :", "--tmpfs", str(tmp_path / ".aws")]

    async def work():
        own = await run_directory(host, pid_file, job.run_id)
        (own / "points.at").symlink_to(tmp_path)
        (own / "points").write_text(".git\n.aws\n")
        sandbox = subprocess.Popen(words, executable="/bin/sh", start_new_session=True)  # noqa: ASYNC220 - waited for below
        try:
            await host.start(job)
            await collect(host, job.run_id)
            meanwhile = {path.name for path in tmp_path.iterdir()}
        finally:
            os.killpg(sandbox.pid, signal.SIGKILL)
            await asyncio.to_thread(sandbox.wait)
        await host.discard(job.run_id)
        return meanwhile

    assert run(work()) == {".aws"}
    assert list(tmp_path.iterdir()) == []


def test_denied_places_are_there_for_as_long_as_the_agent_runs(host, run, pid_file, tmp_path):
    """codex leaves alone what has been there before, so its sandboxes cannot remove each other's mount points."""
    job = launch("hangs", cwd=tmp_path)
    (tmp_path / ".netrc").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".kube").symlink_to("elsewhere")
    denied = (".aws", ".ssh", ".netrc", ".kube/config", "missing/config")

    async def work():
        own = await run_directory(host, pid_file, job.run_id)
        (own / "points.at").symlink_to(tmp_path)
        (own / "points").write_text("")
        (own / "points.held").write_text("".join(f"{tmp_path / name}\n" for name in denied))
        await host.start(job)
        made = {path.name for path in tmp_path.rglob("*")}
        (tmp_path / ".aws").unlink()  # another run did, before it could see this one
        await asyncio.to_thread(wait_until, (tmp_path / ".aws").exists, 60)
        await host.stop(job.run_id, 1, StopReason.CANCELLED)
        await collect(host, job.run_id)
        return made

    assert run(work()) == {".aws", ".ssh", ".netrc", ".kube", "elsewhere"}
    assert {path.name for path in tmp_path.rglob("*")} == {".netrc", ".kube", "elsewhere"}


@pytest.mark.parametrize("who", ["supervisor", "ticker"])
def test_mount_points_go_whoever_ends_the_agent(host, run, pid_file, supervisor_pid, tmp_path, who):
    job = launch("hangs", cwd=tmp_path)

    async def work():
        await host.start(job)
        folder = pid_file(job.run_id).parents[2]
        (folder / "points.at").symlink_to(tmp_path)
        (folder / "points").write_text(".aws\n.git\n")
        (tmp_path / ".aws").touch()
        (tmp_path / ".git").mkdir()
        if who == "supervisor":
            await host.stop(job.run_id, 1, StopReason.CANCELLED)
        else:
            wait_until((folder / "attempts" / "1" / "ticks").exists, 60)
            os.kill(supervisor_pid(job.run_id), signal.SIGKILL)
        wait_until(lambda: not list(tmp_path.iterdir()), 60)
        await collect(host, job.run_id)

    run(work())


def test_there_is_one_list_for_git_and_for_what_is_left():
    package = resources.files("codex_runner")
    texts = {path: path.read_text() for path in Path(str(package)).rglob("*") if path.suffix in {".py", ".sh"}}
    assert [path.name for path, text in texts.items() if "'.git .agents .codex .aws" in text] == ["points.sh"]
