"""A run's claim, on every kind of host: its holder follows, runs checks and judges, and no other runner does."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.launches import collect, launch, wait_until

from codex_runner.domain.claim import Claim, ClaimTakenError, Process
from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.transports.processes import birth

# The rest is the same in every shell.
two = pytest.mark.parametrize("reach", ["local-dash", "ssh-bash"], indirect=True)

HOLDER = Process.of("machine one", "abc", "boot.1", 4711, "99")


@pytest.fixture
def runner(reach):
    """Make runners of a run: each a transport under a claim of its own."""
    made = []

    def make(run_id, expiry=60.0, process=HOLDER):
        made.append(reach(Claim(run_id, process, expiry=expiry)))
        return made[-1]

    make.made = made
    return make


@pytest.fixture
def do(runner):
    """Run a coroutine to its end, and let go of every runner."""

    async def closing(work):
        try:
            async with asyncio.timeout(180):
                return await work
        finally:
            for each in runner.made:
                await each.close()

    return lambda work: asyncio.run(closing(work))


@pytest.fixture
def claims(tmp_path_factory):
    """Find a run's claims on the host."""
    return lambda run_id: next(tmp_path_factory.getbasetemp().glob(f"*/state/codex-runner/runs/{run_id}/claims"))


async def begun(runner, *child, **options):
    """Start an attempt that is over soon, under a claim."""
    job = launch(*(child or ("reply",)))
    first = runner(job.run_id, **options)
    await first.start(job)
    return job.run_id, first


async def until_free(transport, run_id):
    """Ask for the claim until it is had; what was said when it was not."""
    refused = []
    while True:
        try:
            assert await transport.claim(run_id)
        except ClaimTakenError as taken:
            refused.append(taken.holder)
            await asyncio.sleep(0.1)
        else:
            return refused


async def is_out(work):
    with pytest.raises(ClaimTakenError) as taken:
        await work
    return taken.value.holder


@two
def test_of_many_that_take_it_at_once_one_has_it(runner, do):
    async def work():
        run_id, _ = await begun(runner)
        others = [runner(run_id) for _ in range(6)]
        for other in others:  # all connect first
            await is_out(other.claim(run_id))
        return await asyncio.gather(*(each.claim(run_id, dead=1) for each in others), return_exceptions=True)

    answers = do(work())
    assert answers.count(True) == 1
    assert all(each is True or isinstance(each, ClaimTakenError) for each in answers), answers


@two
def test_one_that_is_held_is_refused_and_tells_by_whom(runner, do):
    async def work():
        run_id, first = await begun(runner)
        holder = await is_out(runner(run_id).claim(run_id))
        await collect(first, run_id)
        return holder

    holder = do(work())
    assert (holder.number, holder.process) == (1, HOLDER)
    assert holder.process.node == "machine-one"
    assert 0 <= holder.idle <= holder.age < 60


def test_one_that_is_not_renewed_is_free_and_its_holder_is_out(runner, do):
    async def work():
        run_id, first = await begun(runner, expiry=1.0)
        second = runner(run_id)
        await until_free(second, run_id)
        refused = (
            first.renew(),
            first.execute("echo run"),
            first.ask("echo asked"),
            first.stop(run_id, 1, StopReason.CANCELLED),
            first.discard(run_id),
            first.start(launch("reply", run_id=run_id, attempt=2)),
            first.claim(run_id),
        )
        numbers = [(await is_out(what)).number for what in refused]
        assert (await second.execute("echo run")).output == b"run\n"
        await second.discard(run_id)
        return numbers

    assert do(work()) == [2] * 7


@two
def test_a_holder_that_was_out_once_stays_out(runner, do):
    """Although the second one has gone too: what that one has done of its work is not known."""

    async def work():
        run_id, first = await begun(runner, expiry=1.0)
        second = runner(run_id, expiry=1.0)
        await until_free(second, run_id)
        await asyncio.sleep(1.5)
        await is_out(first.claim(run_id))
        await until_free(runner(run_id), run_id)

    do(work())


@two
def test_following_renews_it(runner, do, claims):
    async def work():
        run_id, first = await begun(runner, "hangs")
        following = asyncio.ensure_future(collect(first, run_id))
        beat = claims(run_id) / "1.beat"
        since = int(beat.read_text())
        await asyncio.to_thread(wait_until, lambda: int(beat.read_text()) > since, 60)
        await first.stop(run_id, 1, StopReason.CANCELLED)
        await following

    do(work())


@two
def test_a_holder_that_follows_and_is_out_hears_of_it(runner, do):
    async def work():
        run_id, first = await begun(runner, "hangs")
        following = asyncio.ensure_future(collect(first, run_id))
        await asyncio.sleep(0.5)
        second = runner(run_id)
        assert await second.claim(run_id, dead=1)
        holder = await is_out(following)
        await second.stop(run_id, 1, StopReason.CANCELLED)
        await collect(second, run_id)
        return holder.number

    assert do(work()) == 2


def test_what_runs_under_it_is_ended_before_another_has_it(runner, do, tmp_path):
    beat = tmp_path / "beat"

    async def work():
        run_id, first = await begun(runner)
        check = 'while :; do echo . >>"$1"; sleep 0.02; done & wait'
        running = asyncio.ensure_future(first.execute(check, arguments=(str(beat),), timeout=600))
        await asyncio.to_thread(wait_until, beat.exists, 60)
        second = runner(run_id)
        assert await second.claim(run_id, dead=1)
        before = beat.stat().st_size
        await asyncio.sleep(0.3)
        assert beat.stat().st_size == before, "it runs beside its successor's"
        return (await is_out(running)).number

    assert do(work()) == 2


@two
def test_a_runner_that_was_stopped_before_it_could_name_what_it_has_begun(runner, do, claims):
    stopped = subprocess.Popen(["sh", "-c", "sleep 600; sleep 600"], start_new_session=True)
    children = Path(f"/proc/{stopped.pid}/task/{stopped.pid}/children")
    wait_until(children.read_text, 60)
    stopped.send_signal(signal.SIGSTOP)
    (child,) = children.read_text().split()

    async def work():
        run_id, _ = await begun(runner)
        (claims(run_id) / "work.1").write_text(f"{stopped.pid} {birth(stopped.pid)}\n")
        assert await runner(run_id).claim(run_id, dead=1)
        return birth(int(child))

    try:
        assert do(work()) is None
    finally:
        stopped.kill()
        stopped.wait()


@two
def test_a_claim_before_a_reboot_is_void(runner, do, claims):
    async def work():
        run_id, _ = await begun(runner)
        words = (claims(run_id) / "1").read_text().split()
        (claims(run_id) / "1").write_text(" ".join([*words[:2], "earlier", *words[3:]]) + "\n")
        return await runner(run_id).claim(run_id)

    assert do(work())


@two
@pytest.mark.parametrize("damage", ["", "half/a/cla", "{claim} elsewhere boot 12 another-node\n"])
def test_one_that_cannot_be_judged_goes_by_its_date(runner, do, claims, damage):
    """It is half-written, or of another host that shares the home."""

    async def work():
        run_id, _ = await begun(runner)
        file, beat = claims(run_id) / "1", claims(run_id) / "1.beat"
        file.write_text(damage.format(claim=file.read_text().split()[0]))
        await is_out(runner(run_id).claim(run_id))
        for each in (file, beat):
            os.utime(each, (time.time() - 200,) * 2)
        return await runner(run_id).claim(run_id)

    assert do(work())


@two
def test_a_run_that_was_judged_is_not_judged_again(runner, do):
    """The first runner was stopped meanwhile: its run is gone, and with it the right to say what it came to."""

    async def work():
        run_id, first = await begun(runner)
        await collect(first, run_id)
        second = runner(run_id)
        assert await second.claim(run_id, dead=1)
        await second.discard(run_id)
        await is_out(first.execute("echo run"))
        await is_out(first.discard(run_id))
        assert not await runner(run_id).claim(run_id)

    do(work())


@two
def test_the_first_run_of_all_needs_no_claim(runner, do):
    async def work():
        run_id = new_run_id("test")
        one = runner(run_id)
        await one.renew()
        assert (await one.execute("echo run")).output == b"run\n"
        assert not await one.claim(run_id)
        await one.discard(run_id)

    do(work())


@two
def test_any_other_machine_may_stop_the_agent(runner, reach, do):
    async def work():
        run_id, first = await begun(runner, "hangs")
        following = asyncio.ensure_future(collect(first, run_id))
        other = reach()
        await other.stop(run_id, 1, StopReason.CANCELLED)
        await other.close()
        return (await following)[2].exit.stopped

    assert do(work()) is StopReason.CANCELLED


@two
def test_a_holder_that_comes_back_before_another_goes_on(runner, do):
    async def work():
        _, first = await begun(runner, expiry=1.0)
        await asyncio.sleep(1.5)  # any runner could take it now
        await first.renew()
        return (await first.execute("echo run")).output

    assert do(work()) == b"run\n"


def test_the_words_of_a_claim_are_what_a_host_can_keep():
    claim = Claim("run", Process.of("a b/c\n", "", "boot", 1, "x y"))
    assert claim.word.count("/") == 7
    assert " " not in claim.word
    assert dataclasses.replace(claim).word == claim.word
