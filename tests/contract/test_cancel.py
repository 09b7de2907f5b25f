"""A run that somebody cancels, on every kind of host: from then on its host starts nothing more for it."""

import asyncio

import pytest
from support.launches import collect, launch

from codex_runner.domain.cancellation import RunCancelledError
from codex_runner.domain.claim import Claim, Process
from codex_runner.domain.errors import RunGoneError
from codex_runner.domain.run import StopReason


@pytest.fixture
def on(reach):
    """Begin a run under a claim, and do something with it from there and from elsewhere."""

    async def closing(job, work):
        near, far = reach(Claim(job.run_id, Process.of("here", "abc", "boot.1", 4711, "99"))), reach()
        near.name_run(job.run_id)
        try:
            async with asyncio.timeout(180):
                await near.start(job)
                return await work(near, far)
        finally:
            await near.close()
            await far.close()

    return lambda job, work: asyncio.run(closing(job, work))


def test_nothing_is_started_for_a_cancelled_run_any_more(on):
    job = launch("reply")

    async def work(near, far):
        await collect(near, job.run_id)
        assert not await near.renew()
        assert (await near.execute("echo runs")).output == b"runs\n"
        await far.cancel(job.run_id)
        await far.cancel(job.run_id)
        assert await near.renew()
        with pytest.raises(RunCancelledError):
            await near.start(launch("reply", run_id=job.run_id, attempt=2))
        with pytest.raises(RunCancelledError):
            await near.execute("echo runs")
        assert (await near.ask("echo looked")).output == b"looked\n"
        for _ in range(2):  # the answer to the first one may have been lost
            with pytest.raises(RunCancelledError):
                await near.discard(job.run_id)
        with pytest.raises(RunGoneError):
            await far.cancel(job.run_id)

    on(job, work)


def test_the_agent_of_a_cancelled_run_is_ended(on):
    job = launch("hangs")

    async def work(near, far):
        await far.cancel(job.run_id)
        (_, _, end) = await collect(near, job.run_id)
        with pytest.raises(RunCancelledError):
            await near.discard(job.run_id)
        return end

    assert on(job, work).exit.stopped is StopReason.CANCELLED


def test_a_run_that_is_not_there_cannot_be_cancelled(on):
    job = launch("reply")

    async def work(near, far):
        with pytest.raises(RunGoneError):
            await far.cancel(f"{job.run_id}x")
        await collect(near, job.run_id)
        await near.discard(job.run_id)
        with pytest.raises(RunGoneError):
            await far.cancel(job.run_id)
        await near.discard(job.run_id)

    on(job, work)
