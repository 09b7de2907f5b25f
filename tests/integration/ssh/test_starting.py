"""Exactly once: torn input starts nothing, twelve starts give one agent, and what died is told."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time

import pytest
from support.launches import collect, launch, processes_of, wait_until

from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Lost
from codex_runner.domain.run import StopReason
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport
from codex_runner.transports.request import bootstrap, new_nonce, start_request

pytestmark = pytest.mark.needs_sshd

SHELLS = ("dash", "bash", "busybox sh")


@pytest.mark.parametrize("shell", SHELLS)
def test_torn_input_starts_nothing(shell, tmp_path):
    """Cut everywhere that matters: within the script, the header, the bodies, and before the last line's end."""
    starts = tmp_path / "starts"
    job = launch("reply", cwd=tmp_path, prompt=b"p" * 50, config="c = 1\n", environment={"CHILD_STARTS": str(starts)})
    request = start_request(job, new_nonce())
    command, text = bootstrap()
    whole = text + request
    cuts = [0, 1, len(text) // 2, len(text) - 1, *range(len(text), len(whole), 41), len(whole) - 1]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    for cut in cuts:
        subprocess.run(
            [*shell.split(), "-c", command.removeprefix("exec ").replace("sh -c", f"exec {shell} -c", 1)],
            input=whole[:cut],
            env=environ,
            check=False,
            capture_output=True,
            timeout=20,
        )
        assert not list(tmp_path.glob("state/codex-runner/runs/*/attempts/*")), cut
    assert not starts.exists()
    assert processes_of(job.run_id) == []


def test_twelve_starts_at_once_give_one_agent(server, tmp_path):
    sshd = server()
    starts = tmp_path / "starts"
    job = launch("lines", 5, 0.1, cwd=tmp_path, environment={"CHILD_STARTS": str(starts)})
    transports = [RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config)))) for _ in range(4)]

    async def work():
        try:
            answers = await asyncio.gather(*(transports[number % 4].start(job) for number in range(12)))
            results = await asyncio.gather(*(collect(each, job.run_id) for each in transports))
            await transports[0].discard(job.run_id)
        finally:
            for each in transports:
                await each.close()
        return answers, results

    answers, results = asyncio.run(work())
    assert [answer.new for answer in answers].count(True) == 1
    assert starts.read_text().count("\n") == 1
    assert all(result == results[0] for result in results)
    assert isinstance(results[0][2], Ended)


def test_an_attempt_that_never_ran_is_replaced(server, on, runs, tmp_path):
    """A supervisor that died before it ran codex holds the attempt for nobody; several starters replace it once."""
    starts = tmp_path / "starts"

    async def work(transport):
        job = launch("reply", cwd=tmp_path, environment={"CHILD_STARTS": str(starts)}, attempt=2)
        await transport.start(launch("reply", run_id=job.run_id))
        await collect(transport, job.run_id)
        dead = runs / job.run_id / "attempts" / "2"
        dead.mkdir()
        words = (runs / job.run_id / "attempts" / "1" / "pid").read_text().split()
        (dead / "pid").write_text(f"{words[0]} {words[1]} 1 1\n")
        (dead / "codex.pid").touch()
        answers = await asyncio.gather(*(transport.start(job) for _ in range(6)), return_exceptions=True)
        result = await collect(transport, job.run_id, attempt=2)
        await transport.discard(job.run_id)
        return answers, result

    answers, (_, _, last) = on(server(), work)
    assert isinstance(last, Ended)
    assert starts.read_text().count("\n") == 1
    assert all(not isinstance(answer, Exception) or isinstance(answer, HostError) for answer in answers)


def test_a_run_directory_that_is_gone_is_told(server, on, runs):
    async def work(transport):
        job = launch("hangs")
        await transport.start(job)
        attempt = runs / job.run_id / "attempts" / "1"
        follower = asyncio.ensure_future(collect(transport, job.run_id))
        await asyncio.sleep(0.5)
        supervisor = int((attempt / "pid").read_text().split()[2])
        shutil.rmtree(runs / job.run_id, ignore_errors=True)
        for pid in (supervisor, *processes_of(job.run_id)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        return await follower

    try:
        _, _, last = on(server(), work)
    except HostError:
        return
    assert isinstance(last, Lost)


def test_codex_that_is_missing_there_is_told(server, on):
    job = launch("reply")
    object.__setattr__(job, "command", ("/no/such/codex", "exec"))
    with pytest.raises(ConfigurationError, match="/no/such/codex"):
        on(server(), lambda transport: transport.start(job))


def test_a_stop_that_meets_a_dead_line_is_said_again(server, on):
    """The wish is kept, and passed on with the next connection."""

    async def work(transport):
        job = launch("hangs")
        await transport.start(job)
        pieces = transport.follow(job.run_id, 1, Position())
        await anext(pieces)
        os.killpg(transport.carrier._master.pid, 9)
        await transport.stop(job.run_id, 1, StopReason.BUDGET)
        last = [piece async for piece in pieces][-1]
        await transport.discard(job.run_id)
        return last

    last = on(server(), work)
    assert isinstance(last, Ended)
    assert last.exit.stopped is StopReason.BUDGET


async def output(*command):
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    return done.stdout


def test_the_token_is_in_no_command_line_and_in_no_file(server, on, runs):
    token = "at-a-token-that-must-not-be-seen-4711"

    async def work(transport):
        job = launch("hangs", environment={"CODEX_ACCESS_TOKEN": token})
        await transport.start(job)
        await asyncio.sleep(0.3)
        lines = await output("ps", "-eo", "args")
        files = await output("grep", "-rl", token, str(runs))
        await transport.stop(job.run_id, 1, StopReason.CANCELLED)
        await collect(transport, job.run_id)
        await transport.discard(job.run_id)
        return lines, files

    lines, files = on(server(), work)
    assert token not in lines
    assert files == ""


def test_finished_runs_that_nobody_collected_go_after_the_time_that_is_set(server, on, runs):
    """What may still run stays, here or on another host that shares the home; those from before a reboot go."""

    async def work(transport):
        names = ("old", "young", "live", "elsewhere", "rebooted", "prepared")
        jobs = {name: launch("hangs" if name == "live" else "reply") for name in names}
        (runs / jobs["prepared"].run_id / "git").mkdir(parents=True)  # by a runner that died before it started codex
        for name in names[:-1]:
            await transport.start(jobs[name])
            if name != "live":
                await collect(transport, jobs[name].run_id)
        for name, word, value in (("elsewhere", 4, "build7"), ("rebooted", 4, None)):
            attempt = runs / jobs[name].run_id / "attempts" / "1"
            (attempt / "exit").unlink()
            words = (attempt / "pid").read_text().split()
            words[1], words[word] = "another-boot", value or words[word]
            (attempt / "pid").write_text(" ".join(words) + "\n")
        for name, job in jobs.items():
            age = 3500 if name == "young" else 3800
            os.utime(runs / job.run_id, (time.time() - age,) * 2)
        # Nobody's run: the second of the lines that this name has names all workspaces.
        strange, somebodys = runs / "two\n\n", runs.parent / "workspaces" / "somebodys"
        for folder in (strange, somebodys):
            folder.mkdir(parents=True)
        os.utime(strange, (time.time() - 3800,) * 2)
        last = launch("reply", retention=3600)
        await transport.start(last)
        await collect(transport, last.run_id)
        wait_until(lambda: not (runs / jobs["old"].run_id).exists(), 60)
        await asyncio.sleep(0.2)  # all in one go
        assert strange.exists()
        assert somebodys.exists()
        there = {name for name, job in jobs.items() if (runs / job.run_id).exists()}
        await transport.stop(jobs["live"].run_id, 1, StopReason.CANCELLED)
        await collect(transport, jobs["live"].run_id)
        return there

    assert on(server(), work) == {"young", "live", "elsewhere"}


def test_a_command_that_is_given_up_leaves_nothing_there(server, on, tmp_path):
    """Whoever asked is cancelled: whatever the far side is doing at that instant, it ends."""

    async def work(transport):
        for milliseconds in range(10, 210, 20):
            command = asyncio.ensure_future(transport.execute("sleep 600 & sleep 600", timeout=600))
            await asyncio.sleep(milliseconds / 1000)
            command.cancel()
            await asyncio.wait({command})

    on(server(), work)
    # In the environment of all that this server has started.
    wait_until(lambda: processes_of(str(tmp_path / "state")) == [], 60)
