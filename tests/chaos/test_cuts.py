"""Whatever the network and the killers do: one start an attempt, every byte once, nothing left."""

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.launches import launch, processes_of, wait_until
from support.proxy import Fault, Proxy
from support.ways import some

from codex_runner.domain.cksum import cksum
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Lost, Output
from codex_runner.domain.run import StopReason
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = [pytest.mark.chaos, pytest.mark.needs_sshd]

TESTS, RUNS = 16, 6

# Where a connection is harmed, in bytes from its beginning: the handshake, the request, what follows.
PLACES = ((0, 3_000), (3_000, 12_000), (12_000, 30_000), (30_000, 200_000))


def transport_to(sshd, port, folder, name, **kwargs):
    config = sshd.client_config(folder / name, port)
    return RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), ("-F", str(config))), reconnect=60, **kwargs)


def some_fault(rng):
    kind = rng.choices(("cut", "truncate", "stall", "delay", "blackhole"), (6, 5, 3, 2, 1))[0]
    return Fault(kind, rng.randint(*rng.choice(PLACES)), up=rng.random() < 0.5, seconds=rng.uniform(0.01, 0.05))


class Run:
    """One job, and all that was seen of it."""

    def __init__(self, rng, sshd, folder):
        self.rng, self.sshd, self.folder = rng, sshd, folder
        self.streams = {"stdout": bytearray(), "stderr": bytearray()}
        self.last = None
        folder.mkdir()
        # What the agent leaves, to be brought here over the same line: of any size, one in a folder, one empty.
        self.left = {"out/data": rng.randbytes(rng.choice((1, 5_000, 100_000, 400_000))), "empty": b"", "b": b"b\n"}
        # Random bytes: neither the line's compression nor a lucky repetition hides a byte that is doubled.
        self.prompt = rng.randbytes(rng.choice((0, 10, 3_000, 60_000))).hex().encode()
        child = ("echo", 3) if rng.random() < 0.3 else ("numbers", rng.choice((20, 200, 1000)), rng.uniform(0, 1))
        self.job = launch(
            *child, prompt=self.prompt, cwd=folder, environment={"CHILD_STARTS": str(folder / "starts")}, orphan=60
        )

    async def go(self, killers, faults=()):
        print(self.job.run_id, self.job.command[2:], faults)
        with Proxy(self.sshd.port, faults) as proxy:
            first = transport_to(self.sshd, proxy.port, self.folder, "config")
            killing = asyncio.ensure_future(killers(self, first))
            try:
                await first.start(self.job)
                if self.rng.random() < 0.3:  # this runner dies, and another goes on where it stood
                    await self.follow(first, upto=self.rng.randint(0, 5))
                    await first.close()
                    first = transport_to(self.sshd, proxy.port, self.folder, "config")
                await self.follow(first)
                proxy.cut_within(*(self.rng.randint(1, 150_000) for _ in range(self.rng.randint(0, 2))))
                await self.fetch(first)
                killing.cancel()
                await first.discard(self.job.run_id)
            finally:
                killing.cancel()
                await first.close()

    async def fetch(self, transport):
        for name, data in self.left.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(data)
        listing = await transport.list_files(str(self.folder), ["out", "empty", "b"])
        assert set(listing.files) == set(self.left)
        into = self.folder / "fetched"
        fetch = await transport.fetch_files(str(self.folder), listing.files, into, limit=1 << 30, total=1 << 30)
        assert fetch.left_out == {}
        assert {name: (into / name).read_bytes() for name in fetch.files} == self.left

    async def follow(self, transport, upto=None):
        position = Position(stdout=len(self.streams["stdout"]), stderr=len(self.streams["stderr"]))
        pieces = transport.follow(self.job.run_id, 1, position)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Output):
                    assert piece.offset == len(self.streams[piece.stream]), "a gap or an overlap"
                    self.streams[piece.stream] += piece.data
                elif isinstance(piece, Ended | Lost):
                    self.last = piece
                if upto is not None:
                    upto -= 1
                    if upto < 0:
                        return

    def check(self):
        print(self.job.run_id, self.last)
        stdout = bytes(self.streams["stdout"])
        if self.job.command[2] == "echo":
            assert stdout == self.prompt
        else:
            assert stdout.count(b"\n") == int(self.job.command[3])
            assert [line.split(b",")[0] for line in stdout.splitlines()] == [
                b'{"number":%d' % number for number in range(int(self.job.command[3]))
            ]
        assert isinstance(self.last, Ended)
        assert (self.last.exit.stdout_size, self.last.exit.stdout_cksum) == (len(stdout), cksum(stdout))
        assert self.last.exit.stderr_size == len(self.streams["stderr"])
        assert self.last.exit.stopped is StopReason.NONE
        self.check_traces()

    def check_traces(self):
        assert (self.folder / "starts").read_text().count("\n") == 1
        wait_until(lambda: processes_of(self.job.run_id) == [], 60)
        assert not (self.sshd.state / "codex-runner" / "runs" / self.job.run_id).exists()


async def no_killers(run, transport):
    pass


async def killers(run, transport):
    """SIGKILL of sessions, of the master, of the server's end of a connection, and of what runs behind it."""
    for _ in range(run.rng.randint(1, 3)):
        await asyncio.sleep(run.rng.uniform(0, 0.8))
        sessions = [session._process.pid for session in transport._sessions._all]
        leader = transport.carrier._master
        master = [leader.pid, *children(leader.pid)] if leader else []
        below = [pid for pid in run.sshd.sessions() for pid in [pid, *children(pid)]]
        victims = run.rng.choice((sessions, master, run.sshd.sessions(), below))
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.rng.choice(victims), signal.SIGKILL)


def children(pid):
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def left_over():
    return list(Path("/tmp").glob("cr-*/s"))


@pytest.mark.parametrize("number", some(TESTS, everyday=4))
def test_every_byte_arrives_once_whatever_happens(number, seed, sshd, tmp_path):
    rng = random.Random(seed)
    runs = [Run(random.Random(f"{seed} {each}"), sshd, tmp_path / str(each)) for each in range(RUNS)]

    async def work():
        async with asyncio.timeout(90):
            await asyncio.gather(
                *(
                    run.go(rng.choice((no_killers, killers)), [some_fault(run.rng) for _ in range(rng.randint(0, 3))])
                    for run in runs
                )
            )

    asyncio.run(work())
    for run in runs:
        run.check()


def test_whoever_starts_may_die_while_starting(seed, sshd, tmp_path):
    """The far side's shell is killed once the attempt is being made: the agent runs, or the next try starts it."""

    async def one(number):
        run = Run(random.Random(f"{seed} {number}"), sshd, tmp_path / str(number))
        run.job = launch("numbers", 20, 0.3, cwd=run.folder, environment={"CHILD_STARTS": str(run.folder / "starts")})
        attempts = sshd.state / "codex-runner" / "runs" / run.job.run_id / "attempts"

        async def kill_the_front(run, transport):
            while not list(attempts.glob("*1*")):  # noqa: ASYNC110 - it waits for another process
                await asyncio.sleep(0.001)
            await asyncio.sleep(run.rng.uniform(0, 0.08))
            for pid in (each for session in sshd.sessions() for each in children(session)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        await run.go(kill_the_front)
        return run

    async def work():
        for batch in range(0, 12, 4):
            async with asyncio.timeout(60):
                for run in await asyncio.gather(*(one(number) for number in range(batch, batch + 4))):
                    run.check()

    asyncio.run(work())


def test_a_supervisor_that_is_killed_is_told_and_leaves_nothing(seed, sshd, tmp_path):
    rng = random.Random(seed)

    async def one(number):
        run = Run(random.Random(f"{seed} {number}"), sshd, tmp_path / str(number))
        run.job = launch("hangs", cwd=run.folder, environment={"CHILD_STARTS": str(run.folder / "starts")}, orphan=60)
        transport = transport_to(sshd, sshd.port, run.folder, "config")
        try:
            await transport.start(run.job)
            attempt = sshd.state / "codex-runner" / "runs" / run.job.run_id / "attempts" / "1"
            await asyncio.sleep(rng.uniform(0, 0.5))
            os.kill(int((attempt / "pid").read_text().split()[2]), signal.SIGKILL)
            await run.follow(transport)
            lost = run.last
            await transport.stop(run.job.run_id, 1, StopReason.LOST)
            await run.follow(transport)
            await transport.discard(run.job.run_id)
        finally:
            await transport.close()
        return run, lost

    async def work():
        async with asyncio.timeout(60):
            return await asyncio.gather(*(one(number) for number in range(6)))

    for run, lost in asyncio.run(work()):
        assert isinstance(lost, Lost)
        assert isinstance(run.last, Ended)
        if (run.folder / "starts").exists():  # python may have been ended before it came so far
            run.check_traces()


def test_a_line_that_swallows_everything_is_noticed_in_seconds(sshd, tmp_path):
    job = launch("numbers", 100, 3, cwd=tmp_path)

    async def work():
        with Proxy(sshd.port, [Fault("blackhole", 7_000)]) as proxy:
            began = time.monotonic()
            notices = []
            transport = transport_to(
                sshd,
                proxy.port,
                tmp_path,
                "config",
                tell=lambda code, _: notices.append((code, time.monotonic() - began)),
            )
            try:
                await transport.start(job)
                stdout = b""
                async for piece in transport.follow(job.run_id, 1, Position()):
                    if isinstance(piece, Output) and piece.stream == "stdout":
                        stdout += piece.data
                await transport.discard(job.run_id)
            finally:
                await transport.close()
            return stdout, notices

    stdout, notices = asyncio.run(work())
    assert stdout.count(b"\n") == 100
    assert [code for code, _ in notices][:2] == ["disconnected", "reconnected"]
    assert notices[0][1] < 15
