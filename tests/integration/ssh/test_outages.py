"""An outage as it is told: one line when the host is lost, one when it is back, with the time in between."""

import asyncio
import os
import time

import pytest
from support.launches import launch
from support.proxy import Proxy

from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended
from codex_runner.domain.run import StopReason
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.outage import STEADY, Outage
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = pytest.mark.needs_sshd


def test_a_line_that_comes_and_goes_is_one_outage(server, tmp_path):
    """Each time it was told as lost, and as back after 0 s: 569 warnings in ten minutes."""
    sshd, told = server(), []

    async def work(proxy):
        config = sshd.client_config(tmp_path / "through", proxy.port)
        transport = RemoteTransport(
            SshCarrier(sshd.alias, dict(os.environ), ("-F", str(config))), tell=lambda *words: told.append(words)
        )
        job = launch("lines", 6000, 0.05)
        try:
            await transport.start(job)
            following = asyncio.ensure_future(last_of(transport, job.run_id))
            for _ in range(5):
                until, seen = time.monotonic() + 30, proxy.connections
                proxy.drop()
                while proxy.connections == seen or not transport.reachable:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.01)
            await transport.stop(job.run_id, 1, StopReason.CANCELLED)
            assert isinstance(await following, Ended)
            await transport.discard(job.run_id)
        finally:
            await transport.close()

    async def last_of(transport, run_id):
        async for piece in transport.follow(run_id, 1, Position()):
            last = piece
        return last

    with Proxy(sshd.port) as proxy:
        asyncio.run(work(proxy))
    assert [code for code, _ in told] == ["disconnected", "reconnected"]


@pytest.fixture
def told():
    return []


@pytest.fixture
def outage(told):
    return Outage("devbox", lambda *words: told.append(words))


def test_an_outage_begins_when_the_host_was_last_heard(outage, told):
    """It was counted from when its silence was noticed, and was over in no time."""
    outage.begin("nothing came for 10 s", time.monotonic() - 600)
    outage.answered()
    outage.settle()
    assert [code for code, _ in told] == ["disconnected", "reconnected"]
    assert told[1][1] == "devbox: connected again after 10m"


def test_a_host_is_back_once_it_has_been_heard_for_some_time(outage, told):
    outage.begin("reset", None)
    outage.answered()
    back = time.monotonic()
    outage.settle(back + STEADY / 2)
    outage.begin("reset", back + STEADY / 2)
    assert len(told) == 1
    outage.answered()
    back = time.monotonic()
    outage.begin("reset", back + 2 * STEADY)  # another outage: the first was over before anybody looked
    assert [code for code, _ in told] == ["disconnected", "reconnected", "disconnected"]


def test_a_host_that_says_nothing_of_a_quiet_agent_is_told_as_back(told):
    """Nothing comes over the connection but signs of life, and they suffice."""

    class Session:
        heard = 0.0

    async def quiet():
        await back.wait()
        yield "a piece"

    back = asyncio.Event()

    async def work():
        outage = Outage("devbox", lambda code, _: told.append(code) or (code == "reconnected" and back.set()))
        outage.begin("reset", None)
        outage.answered()
        Session.heard = time.monotonic() + 2 * STEADY
        return [thing async for thing in outage.settling(quiet(), Session)]

    assert asyncio.run(work()) == ["a piece"]
