"""The loop beside a supervisor keeps the time limits. It may be killed, as its runner may, and the limits hold."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest
from support.launches import collect, launch, processes_of, wait_until
from support.ways import ways

from codex_runner.domain.run import StopReason
from codex_runner.transports.local import LocalTransport

SHELLS = ("dash", "bash", "busybox", "mksh", "zsh")


@pytest.fixture(params=ways(SHELLS, ["dash", "bash"]))
def host(request, tmp_path):
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shell)
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    return LocalTransport({**environ, "XDG_STATE_HOME": str(tmp_path)})


@pytest.fixture
def attempt(tmp_path):
    """Find the folder of a run's first attempt."""
    return lambda run_id: tmp_path / "codex-runner" / "runs" / run_id / "attempts" / "1"


def tickers(attempt):
    """The supervisor's children but for codex, once there are any."""
    if not (codex := (attempt / "codex.pid").read_text().split()):
        return []
    supervisor = (attempt / "pid").read_text().split()[2]
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(pid) for pid in children if pid != codex[0] and Path(f"/proc/{pid}/cmdline").read_bytes() != b""]


def test_the_limits_hold_without_a_runner(host, attempt):
    orphan = launch("hangs", orphan=3)
    timed = launch("hangs", timeout=-7)  # with the supervisor's grace of ten seconds on top: three
    jobs = (orphan, timed)

    async def work():
        for job in jobs:
            await host.start(job)
        for _ in range(2):
            for job in jobs:
                wait_until(lambda job=job: tickers(attempt(job.run_id)), 60)
                for pid in tickers(attempt(job.run_id)):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.3)
        wait_until(lambda: all((attempt(job.run_id) / "exit").exists() for job in jobs), 60)
        return [(await collect(host, job.run_id))[2].exit for job in jobs]

    first, second = asyncio.run(work())
    assert first.stopped is StopReason.ORPHANED
    assert second.stopped is StopReason.TIMEOUT
    for job in jobs:
        wait_until(lambda job=job: processes_of(job.run_id) == [], 60)


@pytest.mark.parametrize("code", [0, 3, 127])
def test_how_codex_ended_is_known_whatever_ended_beside_it(host, attempt, code):
    """The supervisor is woken by each child that ends, in the moment in which codex does too."""
    job = launch("echo", code)

    async def work():
        await host.start(job)
        return (await collect(host, job.run_id))[2].exit

    assert asyncio.run(work()).code == code
