"""What a run leaves on its host when its runner and its supervisor are killed goes with the next start there."""

import asyncio
import os
import signal
import time
from pathlib import Path

from support.launches import collect, launch, processes_of, wait_until

from codex_runner.domain.host import Lost
from codex_runner.domain.run import StopReason


def children_of(pid):
    return map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_a_start_wipes_what_dead_runs_left(host, run, pid_file, supervisor_pid):
    """And nothing else: not what may still run, here or elsewhere, nor what somebody may still attach to."""

    def folder(job):
        return pid_file(job.run_id).parents[2]

    async def work():
        names = ("killed", "rebooted", "young", "live", "elsewhere", "ended", "went-on", "own")
        jobs = {name: launch("hangs" if name in {"killed", "live"} else "reply", prompt=b"hello") for name in names}
        await asyncio.gather(*map(host.start, jobs.values()))
        await asyncio.gather(*(collect(host, jobs[name].run_id) for name in names if name not in {"killed", "live"}))
        again = launch("reply", run_id=jobs["went-on"].run_id, attempt=2)
        await host.start(again)
        await collect(host, again.run_id, 2)
        for name in ("rebooted", "young", "elsewhere", "went-on", "own"):
            (folder(jobs[name]) / "attempts/1/exit").unlink()
        for name, word, value in (("rebooted", 1, "another-boot"), ("elsewhere", 0, "another-host")):
            words = pid_file(jobs[name].run_id).read_text().split()
            words[word] = value
            pid_file(jobs[name].run_id).write_text(" ".join(words) + "\n")
        killed, supervisor = jobs["killed"], supervisor_pid(jobs["killed"].run_id)
        codex = int((folder(killed) / "attempts/1/codex.pid").read_text().split()[0])
        for pid in {supervisor, *children_of(supervisor)} - {codex}:
            os.kill(pid, signal.SIGKILL)
        for name, job in jobs.items():
            age = 10 if name == "young" else 200  # of a launch whose agent waits for 30 s
            os.utime(folder(job), (time.time() - age,) * 2)
        places = {name: folder(job) for name, job in jobs.items()}

        await host.start(launch("reply", run_id=jobs["own"].run_id, attempt=2))
        assert {name for name, path in places.items() if not path.exists()} == {"killed", "rebooted"}
        assert (places["own"] / "attempts/1").exists()
        wait_until(lambda: processes_of(killed.run_id) == [], 60)  # a shell's last nap goes by itself
        modes = {path.stat().st_mode & 0o777 for path in (places["young"] / "attempts/1").iterdir()}
        assert modes == {0o600}
        *_, how = await collect(host, jobs["young"].run_id)
        assert isinstance(how, Lost)
        await host.stop(jobs["live"].run_id, 1, StopReason.CANCELLED)
        await collect(host, jobs["live"].run_id)

    run(work())
