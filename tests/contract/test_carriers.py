"""A remote transport over each carrier: what happens to the carrier's client, and to the host that it reaches."""

import asyncio
import os
import signal

import pytest
from support.container import ContainerCarrier, container_or_skip
from support.launches import collect, launch, processes_of, wait_until

from codex_runner.domain.errors import UnreachableError
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Output
from codex_runner.transports.remote.transport import RemoteTransport


@pytest.mark.parametrize("reach", ["ssh-bash", "container-busybox"], indirect=True)
def test_a_client_that_is_killed_in_mid_run_costs_no_byte(host, run):
    async def work():
        job = launch("lines", 30, 0.05)
        await host.start(job)
        stdout, lost = bytearray(), 0
        async for piece in host.follow(job.run_id, 1, Position()):
            if isinstance(piece, Output) and piece.stream == "stdout":
                assert piece.offset == len(stdout), "a gap or an overlap"
                stdout += piece.data
                if not lost:
                    for session in host._sessions._all:
                        os.killpg(session._process.pid, signal.SIGKILL)
                    lost += 1
        whole, _, _ = await collect(host, job.run_id)
        await host.discard(job.run_id)
        return job.run_id, piece, bytes(stdout), whole

    run_id, last, stdout, whole = run(work())
    assert isinstance(last, Ended)
    assert stdout == whole
    assert stdout.count(b"tick") == 30
    assert host._sessions.lost >= 1
    wait_until(lambda: processes_of(run_id) == [], 60)


def test_a_host_that_has_gone_is_given_up(tmp_path):
    """nsenter ends with exit code 1, as a shell may: only its carrier knows that this is no answer."""
    told = []
    with container_or_skip(tmp_path / "root", {"HOME": "/", "XDG_STATE_HOME": "/state"}, ()) as container:
        host = RemoteTransport(ContainerCarrier(container), reconnect=1, tell=lambda *words: told.append(words))

        async def work():
            assert (await host.ask("echo here")).output == b"here\n"
            await asyncio.to_thread(container.__exit__)
            try:
                await host.execute("true")
            finally:
                await host.close()

        with pytest.raises(UnreachableError, match=r"the host box could not be reached.*nsenter"):
            asyncio.run(work())
    assert [code for code, _ in told] == ["disconnected"]
