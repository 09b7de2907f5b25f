"""What a run does while nothing comes: next to nothing. The numbers of wake-ups count, not the time that they take."""

import asyncio
import contextlib
import os
import shutil

import pytest
from support.launches import TICK, collect, launch, wait_until
from support.sshd import Sshd

from codex_runner.domain.cksum import cksum
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended
from codex_runner.domain.run import StopReason
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.growth import Growth, open_inotify
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.remote.transport import RemoteTransport

PINGS = 25
LATE = 3600.0  # seconds: of a tick, for tests in which none is to come

WAYS = {
    "kernel": open_inotify,
    "poll": lambda _folder, _files: None,
}


class Counted(Growth):
    waits = 0

    async def wait(self, timeout):
        type(self).waits += 1
        await super().wait(timeout)


@pytest.fixture(params=WAYS)
def here(request, tmp_path):
    """This machine, followed in each way: a function of the tick."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    return lambda tick: LocalTransport(
        environ, tick=tick, watching=lambda folder, files: Counted(WAYS[request.param](folder, files))
    )


@pytest.fixture
def attempt(tmp_path):
    return lambda run_id: tmp_path / "codex-runner" / "runs" / run_id / "attempts" / "1"


def pings(run):
    lease = run / "lease"
    return int(lease.read_text()) if lease.exists() else 0


async def outlast(host, job, run, look):
    """Follow until some pings were counted, look, and end it: its last piece, and what was seen."""
    last = []

    async def follow():
        last.extend([piece async for piece in host.follow(job.run_id, 1, Position())][-1:])

    following = asyncio.ensure_future(follow())
    while pings(run) < PINGS:
        await asyncio.sleep(TICK)
        assert not following.done()
    seen = look()
    await host.stop(job.run_id, 1, StopReason.CANCELLED)
    await following
    return last[0], seen


def test_a_run_that_waits_is_looked_at_once_a_tick(here, attempt):
    Counted.waits = 0

    async def work():
        host, job = here(TICK), launch("hangs")
        await host.start(job)
        return await outlast(host, job, attempt(job.run_id).parents[1], lambda: Counted.waits)

    last, waits = asyncio.run(work())
    assert isinstance(last, Ended)
    assert waits <= 1.5 * PINGS, "a poll of 20 ms would have been five a tick"


async def touched(host, job, run):
    """Follow a run whose folder looks old; how old it looks then, in seconds since the epoch."""
    await host.start(job)
    (run / "lease").write_text("0\n")  # to make it would touch the folder
    os.utime(run, (0, 0))
    await outlast(host, job, run, lambda: None)
    return run.stat().st_mtime


def test_a_ping_says_that_the_run_is_in_use(here, attempt):
    """What nobody has touched for `host_retention`, or for `orphan_timeout` if it is dead, is removed."""
    job = launch("hangs")
    assert asyncio.run(touched(here(TICK), job, attempt(job.run_id).parents[1])) > 0


def test_a_ping_says_so_on_a_host_too(host, attempt):
    job, transport = launch("hangs"), host("dash")

    async def work():
        try:
            return await touched(transport, job, attempt(job.run_id).parents[1])
        finally:
            await transport.close()

    assert asyncio.run(work()) > 0


def test_lines_and_the_end_are_seen_without_a_tick(here):
    async def work():
        host, job = here(LATE), launch("lines", 4, 0.2)
        await host.start(job)
        async with asyncio.timeout(LATE / 60):
            return await collect(host, job.run_id)

    stdout, _, last = asyncio.run(work())
    assert stdout.count(b"tick") == 4
    assert last.exit.code == 0


@pytest.mark.parametrize("how", ["replaced", "removed", "truncated"])
def test_what_becomes_of_the_name_does_not_matter(here, attempt, how):
    async def work():
        host, job = here(TICK), launch("lines", 10, 0.1)
        await host.start(job)
        stdout, pieces = attempt(job.run_id) / "stdout", []
        async with asyncio.timeout(LATE / 60):
            async for piece in host.follow(job.run_id, 1, Position()):
                if not pieces and how == "truncated":
                    os.truncate(stdout, 0)
                elif not pieces:
                    stdout.unlink()
                    if how == "replaced":
                        stdout.write_text("not codex's\n")
                pieces.append(piece)
        return pieces

    *pieces, last = asyncio.run(work())
    assert isinstance(last, Ended)
    data = b"".join(piece.data for piece in pieces)
    assert b"not codex's" not in data
    if how != "truncated":
        assert [data.count(b'"number":%d}' % number) for number in range(10)] == [1] * 10


@pytest.fixture
def host(tmp_path):
    """Make a host from a shell, and what stands before its PATH."""
    with contextlib.ExitStack() as stack:

        def make(shell, **programs):
            if (sh := shutil.which(shell)) is None:
                pytest.skip(f"{shell} is not installed")
            folder = tmp_path / "bin"
            folder.mkdir(exist_ok=True)
            for name, program in {"sh": sh, **programs}.items():
                (folder / name).symlink_to(program)
            environ = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
            sshd = stack.enter_context(Sshd(tmp_path / "sshd", environment=environ))
            carrier = SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config)))
            return RemoteTransport(carrier, reconnect=10, tick=TICK)

        yield make


@pytest.fixture(params=["dash", "bash"])
def there(request, tmp_path, host):
    """A host whose programs note that they were run, and the file in which they do."""
    programs, noted = tmp_path / "bin", tmp_path / "noted"
    programs.mkdir()
    for name in ("sleep", "wc", "mv", "rm", "cat", "grep", "tail", "dd", "date", "cksum"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{noted}\nexec {shutil.which(name)} "$@"\n')
        (programs / name).chmod(0o755)
    return host(request.param), noted


def test_a_ping_runs_no_program_on_the_host(there, attempt):
    host, noted = there

    async def work():
        job = launch("hangs")
        try:
            await host.start(job)
            run = attempt(job.run_id).parents[1]
            wait_until(lambda: "tail" in noted.read_text(), 60)
            before = len(noted.read_text().splitlines())
            return await outlast(host, job, run, lambda: noted.read_text().splitlines()[before:])
        finally:
            await host.close()

    last, ran = asyncio.run(work())
    assert isinstance(last, Ended)
    ticker = f"sleep {TICK}"  # once a tick, if that is a part of a second
    others = [line for line in ran if line != ticker]
    assert len(others) < PINGS / 2, others


@pytest.mark.parametrize("shell", ["busybox", "dash"])
def test_a_host_whose_tail_polls_is_followed_by_a_poll_of_our_own(host, shell):
    if (busybox := shutil.which("busybox")) is None:
        pytest.skip("busybox is not installed")
    transport = host(shell, tail=busybox)

    async def work():
        ends = []
        try:
            for child in (("lines", 5, 0.3), ("bytes", 200_000), ("errors", 200_000)):
                job = launch(*child)
                await transport.start(job)
                whole = await collect(transport, job.run_id)
                rest = await collect(
                    transport, job.run_id, position=Position(stdout=70_000 if child[0] == "bytes" else 0)
                )
                ends.append((whole, rest))
        finally:
            await transport.close()
        return ends

    for (stdout, stderr, last), (rest, _, _) in asyncio.run(work()):
        assert (last.exit.stdout_size, last.exit.stdout_cksum) == (len(stdout), cksum(stdout))
        assert last.exit.stderr_size == len(stderr)
        assert stdout.endswith(rest)
        assert len(rest) in {len(stdout), len(stdout) - 70_000}
