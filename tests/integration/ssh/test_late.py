"""What a network delivers when the run is over: nothing is started, run or made for a run that was discarded."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.launches import collect, launch, processes_of, wait_until
from support.proxy import Proxy

from codex_runner.domain.cksum import cksum
from codex_runner.domain.errors import HostError, RunGoneError
from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.processes import birth, here
from codex_runner.transports.remote.transport import RemoteTransport
from codex_runner.transports.request import (
    bootstrap,
    discard_request,
    execute_request,
    new_nonce,
    start_request,
    upload_request,
)

pytestmark = pytest.mark.needs_sshd

SHELLS = ("dash", "bash", "busybox sh")
DAY = 86_400


def transport_to(sshd, config):
    return RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), ("-F", str(config))), reconnect=20)


async def whole(transport, job):
    """Start a job and see it through to its discard."""
    await transport.start(job)
    await collect(transport, job.run_id, attempt=job.attempt)
    await transport.discard(job.run_id)


def tombstone(runs, run_id):
    return runs.with_name("discarded") / run_id


class Late:
    """A request of a runner whose connection holds it back; another connection does the whole job meanwhile."""

    def __init__(self, sshd, folder):
        self.sshd, self.folder, self.starts = sshd, folder, folder / "starts"
        self.job = launch("reply", cwd=folder, environment={"CHILD_STARTS": str(self.starts)})

    def request(self, transport, what):
        """The request that comes late."""
        if what == "start":
            return transport.start(self.job)
        if what == "upload":
            (self.folder / "file").write_bytes(b"a bundle of git\n")
            return transport.upload(self.folder / "file", self.job.run_id)
        ask = transport.execute if what == "check" else transport.ask
        return ask('echo a start >>"$1"', arguments=(str(self.starts),))

    async def through(self, what):
        with Proxy(self.sshd.port) as proxy:
            config = self.sshd.client_config(self.folder / "config", proxy.port)
            first, second = transport_to(self.sshd, config), transport_to(self.sshd, self.sshd.config)
            first.name_run(self.job.run_id)
            try:
                await first.ask("true")  # its answer brings the challenge
                proxy.hold()
                asked = asyncio.ensure_future(self.request(first, what))
                await asyncio.to_thread(wait_until, lambda: proxy.held, 60)
                asked.cancel()
                await asyncio.wait({asked})
                await first.close()
                await whole(second, self.job)
                await asyncio.to_thread(proxy.release)
            finally:
                await first.close()
                await second.close()


@pytest.mark.parametrize("what", ["start", "check", "ask", "upload"])
def test_what_arrives_after_the_verdict_does_nothing(what, server, runs, tmp_path):
    late = Late(server(), tmp_path)
    asyncio.run(late.through(what))
    wait_until(lambda: processes_of(late.job.run_id) == [], 60)
    assert late.starts.read_text().count("\n") == 1
    assert [path for path in runs.iterdir() if path.name != ".scratch"] == []
    assert tombstone(runs, late.job.run_id).stat().st_mode & 0o777 == 0o600


def test_what_arrives_after_its_runner_has_asked_again_does_nothing(server, tmp_path):
    """Before the run is discarded, so that no tombstone tells."""
    sshd, done = server(), tmp_path / "done"

    async def work(proxy):
        transport = transport_to(sshd, sshd.client_config(tmp_path / "config", proxy.port))
        transport.name_run(new_run_id("test"))
        try:
            await transport.ask("true")
            proxy.hold()
            check = asyncio.ensure_future(transport.execute('echo done >>"$1"', arguments=(str(done),)))
            await asyncio.to_thread(wait_until, lambda: proxy.held, 60)
            os.killpg(transport.carrier._master.pid, signal.SIGKILL)
            assert (await check).exit_code == 0
            await asyncio.to_thread(proxy.release)
        finally:
            await transport.close()

    with Proxy(sshd.port) as proxy:
        asyncio.run(work(proxy))
    assert done.read_text() == "done\n"


@pytest.fixture
def front(tmp_path):
    """Start the host's side in a shell, without a connection; `quiet` is for how long it waits for a byte."""
    command, text = bootstrap()
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}

    def start(shell, quiet=20):
        changed = text.replace(b"QUIET=20 ", b"QUIET=%d " % quiet)
        sized = command.replace(str(len(text)), str(len(changed))).removeprefix("exec ")
        process = subprocess.Popen(
            ["sh", "-c", sized.replace("sh -c", f"exec {shell} -c", 1)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        process.stdin.write(changed)
        process.stdin.flush()
        processes.append(process)
        return process

    processes = []
    yield start
    for process in processes:
        process.kill()
        with process:
            pass


@pytest.fixture(params=SHELLS)
def host(request, front):
    """Start the host's side in each shell."""
    return lambda: front(request.param)


def challenge(process):
    return process.stdout.readline().decode().split()[-1]


def answer(process, request, nonce):
    """Send a request, and return the line that answers it, without the nonce."""
    process.stdin.write(request)
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith(f"{nonce} ".encode()):
            return line.decode().partition(" ")[2].rstrip("\n")
    return None


def requests_of(run_id, folder, challenge_):
    """Every request that makes or runs something for a run, with its nonce."""
    starts = {"CHILD_STARTS": str(folder / "starts")}
    job = launch("reply", run_id=run_id, cwd=folder, environment=starts, prompt=b"p" * 100)
    script = 'mkdir -p "$XDG_STATE_HOME/codex-runner/runs/$1/home"'
    for verb in ("start", "launch"):
        nonce = new_nonce()
        yield verb, start_request(job, nonce, verb, challenge_), nonce
    for verb in ("execute", "ask"):
        nonce = new_nonce()
        yield verb, execute_request(script, "", 20, (run_id,), {}, nonce, verb, run_id, challenge_), nonce
    nonce = new_nonce()
    yield "upload", upload_request(run_id, 1, cksum(b"x"), nonce, challenge_) + b"x", nonce


def test_every_verb_is_refused_once_its_run_was_discarded(host, runs, tmp_path):
    """Also a run of which nothing ever came to this host, and as often as its discard comes."""
    run_id = new_run_id("test")
    for _ in range(2):
        nonce = new_nonce()
        assert answer(host(), discard_request(run_id, nonce), nonce) == "gone"
    for number in range(5):
        process = host()
        verb, request, nonce = list(requests_of(run_id, tmp_path, challenge(process)))[number]
        assert answer(process, request, nonce).startswith("error discarded "), verb
        assert process.wait(120) != 0
    assert not (runs / run_id).exists()
    assert not (tmp_path / "starts").exists()


def test_a_request_that_answers_no_challenge_of_its_session_is_refused(host, runs, tmp_path):
    """Also one that repeats an older challenge, as one that is delivered twice would."""
    run_id = new_run_id("test")
    for number in (0, 2, 4):  # start, execute, upload: a launch comes from this machine, and asking may begin a session
        for told in ("-", "1.1.1", "older"):
            process = host()
            first, nonce = challenge(process), new_nonce()
            if told == "older":
                assert answer(process, execute_request("true", "", 20, (), {}, nonce, "ask"), nonce) == "done 0 0 0"
            verb, request, nonce = list(requests_of(run_id, tmp_path, first if told == "older" else told))[number]
            assert answer(process, request, nonce).startswith("error stale "), (verb, told)
    assert not (runs / run_id).exists()


def test_of_one_sender_no_request_is_taken_that_is_older_than_another(host):
    run_id = new_run_id("test")

    def said(sender, run_id=run_id):
        nonce = new_nonce()
        request = execute_request("true", "", 20, (), {}, nonce, "ask", run_id, "-", sender)
        return " ".join(answer(host(), request, nonce).split()[:2])

    senders = ("ab.0", "ab.2", "ab.1", "ab.2", "ab.10", "ab.9", "cd.0", "-", "../x.0", "ab.-1")
    assert [said(sender) for sender in senders] == [
        *("done 0", "done 0", "error stale", "done 0", "done 0", "error stale", "done 0", "done 0"),
        *("error protocol", "error protocol"),
    ]
    assert said("ab.0", new_run_id("test")) == said("ab.0", "none") == "done 0"


def test_a_request_of_which_no_more_comes_ends_its_session(front, tmp_path):
    job = launch("reply", cwd=tmp_path, prompt=b"p" * 5000)
    processes = [front(shell, quiet=2) for shell in SHELLS]
    for process in processes:
        request = start_request(job, new_nonce(), "start", challenge(process))
        process.stdin.write(request[:-2000])
        process.stdin.flush()
    run_id = new_run_id("test")
    for shell in SHELLS:  # of an upload, what has come stays, and the next one goes on from there
        processes.append(front(shell, quiet=2))
        nonce = new_nonce()
        request = upload_request(run_id, 90_000, 1, nonce, challenge(processes[-1]))
        assert answer(processes[-1], request, nonce).startswith("have ")
        processes[-1].stdin.write(b"u" * 30_000)
        processes[-1].stdin.flush()
    assert all(process.wait(60) != 0 for process in processes)
    assert sum(path.stat().st_size for path in tmp_path.glob("state/codex-runner/runs/*/.upload.*")) > 20_000
    assert not list(tmp_path.glob("state/codex-runner/runs/*/attempts/[0-9]*"))


def test_a_request_may_take_its_time_as_long_as_something_comes(front, tmp_path):
    """And the host says each second that it takes it, since ssh gives a line up that brings nothing back."""
    nonce, environment = new_nonce(), {"LONG": "~" * 16_000}
    processes = [front(shell, quiet=3) for shell in SHELLS]
    jobs = [launch("reply", cwd=tmp_path, prompt=b"p" * 5000, environment=environment) for _ in SHELLS]
    requests = [
        start_request(job, nonce, "start", challenge(process)) for job, process in zip(jobs, processes, strict=True)
    ]
    for at in range(0, max(map(len, requests)), 4500):
        time.sleep(0.8)
        for process, request in zip(processes, requests, strict=True):
            process.stdin.write(request[at : at + 4500])
            process.stdin.flush()
    for process in processes:
        said = [process.stdout.readline()]
        while not said[-1].startswith(nonce.encode()):
            said.append(process.stdout.readline())
        assert said[-1] == f"{nonce} new\n".encode()
        assert b"codex-runner/1 more\n" in said
        process.stdin.write(b"bye\n")
        process.stdin.close()
        assert process.wait(60) == 0


def test_what_a_start_has_to_end_first_may_take_longer(front, runs, tmp_path):
    """The codex of a dead run that heeds no signal: while it is ended, no byte of the request is read."""
    stubborn = subprocess.Popen(["sh", "-c", "trap '' INT TERM; echo; while :; do sleep 0.2; done"], stdout=-1)
    stubborn.stdout.readline()
    dead, (machine, boot, node) = runs / "dead" / "attempts" / "1", here()
    dead.mkdir(parents=True)
    (dead / "pid").write_text(f"{machine} {boot} 1 1 {node}\n")
    (dead / "codex.pid").write_text(f"{stubborn.pid} {birth(stubborn.pid)}\n")
    (dead / "request").write_text("0 dead 1 60 1 60\n/\n")
    os.utime(runs / "dead", (time.time() - 300,) * 2)
    process, nonce = front("dash", quiet=2), new_nonce()
    request = start_request(launch("reply", cwd=tmp_path), nonce, "start", challenge(process))
    try:
        assert answer(process, request, nonce) == "new"
        assert stubborn.wait(120) == -signal.SIGKILL
    finally:
        stubborn.kill()
        stubborn.stdout.close()
    process.stdin.write(b"bye\n")
    process.stdin.close()
    assert process.wait(60) == 0
    assert tombstone(runs, "dead").exists()


def test_a_check_that_is_still_running_ends_when_its_run_is_discarded(server, on, runs, tmp_path):
    """Its connection is lost to its runner, and nothing tells the host so."""

    async def work(transport):
        run_id = new_run_id("test")
        transport.name_run(run_id)
        script = 'touch "$1"; sleep 600; touch "$1"; mkdir -p "$XDG_STATE_HOME/codex-runner/runs/$2"'
        check = asyncio.ensure_future(transport.execute(script, arguments=(str(tmp_path / "began"), run_id)))
        await asyncio.to_thread(wait_until, (tmp_path / "began").exists, 60)
        await transport.discard(run_id)
        with pytest.raises(RunGoneError, match="discarded"):
            await check
        return run_id

    assert not (runs / on(server(), work)).exists()


def test_a_workspace_that_is_made_too_late_goes_again(server, on, runs):
    async def work(transport):
        run_id = new_run_id("test")
        transport.name_run(run_id)
        script = (
            'state=$XDG_STATE_HOME/codex-runner; mkdir -p "$state/runs/$1" "$state/workspaces"; sleep 600 & '
            'while [ ! -e "$state/discarded/$1" ]; do sleep 0.05; done; '
            'mkdir -p "$state/runs/$1/home" "$state/workspaces/$1" "$state/workspaces/.$1.abc"'
        )
        making = asyncio.ensure_future(transport.ask(script, arguments=(run_id,)))
        await asyncio.to_thread(wait_until, (runs / run_id).exists, 60)
        await transport.discard(run_id)
        with pytest.raises(RunGoneError, match="discarded"):
            await making
        return run_id

    run_id = on(server(), work)
    assert not (runs / run_id).exists()
    assert list((runs.with_name("workspaces")).iterdir()) == []


def test_a_discard_that_is_refused_leaves_no_tombstone(server, on, runs):
    """The run goes on: what it asks for is not too late."""

    async def work(transport):
        job = launch("hangs")
        transport.name_run(job.run_id)
        await transport.start(job)
        with pytest.raises(HostError, match="still going"):
            await transport.discard(job.run_id)
        assert not tombstone(runs, job.run_id).exists()
        assert (await transport.execute("echo fine")).output == b"fine\n"
        await transport.stop(job.run_id, 1, StopReason.CANCELLED)
        await collect(transport, job.run_id)
        await transport.discard(job.run_id)
        assert tombstone(runs, job.run_id).exists()

    on(server(), work)


def test_nothing_is_removed_if_the_tombstone_cannot_be_written(server, on, runs):
    async def work(transport):
        job = launch("reply")
        await transport.start(job)
        await collect(transport, job.run_id)
        graves = runs.with_name("discarded")
        graves.rmdir()
        graves.write_text("no folder")
        with pytest.raises(HostError, match="discarded, so nothing of"):
            await transport.discard(job.run_id)
        assert (runs / job.run_id / "attempts" / "1" / "exit").exists()
        graves.unlink()
        await transport.discard(job.run_id)
        return job.run_id

    run_id = on(server(), work)
    assert not (runs / run_id).exists()
    assert tombstone(runs, run_id).exists()


@pytest.mark.parametrize("option", ["size=1m", "nr_inodes=300"])
def test_on_a_full_disk_a_discarded_run_goes_and_stays_discarded(option, server, on, runs, tmp_path):
    """Whether there is no room for a byte or for a name."""
    state = tmp_path / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", state], check=False).returncode:
        pytest.skip("only root may mount a small disk")

    def fill():
        with contextlib.suppress(OSError):
            for number in range(1000):
                (state / f"fill{number}").write_bytes(b"x" * (4096 if option.startswith("size") else 0))

    async def work(transport):
        job = launch("reply", environment={"CHILD_STARTS": str(tmp_path / "starts")})
        await transport.start(job)
        await collect(transport, job.run_id)
        await transport.ask("true")  # whoever followed has left
        fill()
        await transport.discard(job.run_id)
        assert [path for path in runs.iterdir() if path.name != ".scratch"] == []
        await transport.discard(job.run_id)
        for _ in range(2):
            with pytest.raises(RunGoneError, match="discarded"):
                await transport.start(job)

    try:
        on(server(), work)
    finally:
        subprocess.run(["umount", "-l", state], check=True)
    assert (tmp_path / "starts").read_text().count("\n") == 1


def test_tombstones_stay_for_a_day_whatever_the_clock_does(server, on, runs):
    """And what was pruned gets one."""

    uptime = int(float(Path("/proc/uptime").read_text().split()[0]))

    async def work(transport):
        jobs = {name: launch("reply") for name in ("young", "old", "jumped", "rebooted", "pruned")}
        for name, job in jobs.items():
            await transport.start(job)
            await collect(transport, job.run_id)
            if name != "pruned":
                await transport.discard(job.run_id)
        for name, hours, boot, up in (
            ("young", 23, None, uptime - 23 * 3600),
            ("old", 25, None, uptime - 25 * 3600),
            ("jumped", 25, None, uptime - 60),
            ("rebooted", 25, "another-boot", uptime - 60),
        ):
            path = tombstone(runs, jobs[name].run_id)
            what, this_boot, _, judge = path.read_text().split()
            path.write_text(f"{what} {boot or this_boot} {up} {judge}\n")
            os.utime(path, (time.time() - hours * 3600,) * 2)
        os.utime(runs / jobs["pruned"].run_id, (time.time() - 7200,) * 2)
        last = launch("reply", retention=3600)
        await transport.start(last)
        await collect(transport, last.run_id)
        old = *(tombstone(runs, jobs[name].run_id) for name in ("old", "rebooted")), runs / jobs["pruned"].run_id
        await asyncio.to_thread(wait_until, lambda: not any(path.exists() for path in old), 60)
        left = {name for name, job in jobs.items() if tombstone(runs, job.run_id).exists()}
        for name in left:
            with contextlib.suppress(RunGoneError):
                await transport.start(jobs[name])
                return f"{name} was started again"
        return left

    assert on(server(), work) == {"young", "jumped", "pruned"}
