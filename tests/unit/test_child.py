"""Children that are cancelled while they are started: no caller waits for ever, and none of their processes is left."""

import asyncio
import signal
import sys

import pytest
from support.runs import processes_with

from codex_runner.git.process import run_git
from codex_runner.shell.child import end_group, start_child


async def cancelled_after(turns, work):
    """Cancel `work` after so many turns of the event loop."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    return task


@pytest.mark.parametrize("turns", range(8))
def test_git_that_is_cancelled_while_it_starts_is_killed_with_its_children(tmp_path, turns):
    mark = f"{tmp_path}/mark"
    git = ("-c", f"alias.wait=!sleep 60; : {mark}", "wait")
    environ = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path)}

    async def work():
        async with asyncio.timeout(30):
            return await cancelled_after(turns, run_git(str(tmp_path), git, environ))

    assert asyncio.run(work()).cancelled()
    assert processes_with(mark) == {}


def test_git_that_is_cancelled_amid_much_output_is_not_waited_for(tmp_path):
    git = ("-c", "alias.speak=!yes", "speak")

    async def work():
        task = asyncio.ensure_future(run_git(str(tmp_path), git, {"PATH": "/usr/bin:/bin:/usr/local/bin"}))
        await asyncio.sleep(0.1)
        task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait({task})
        return task

    assert asyncio.run(work()).cancelled()


def test_a_child_whose_output_nobody_reads_is_ended():
    async def work():
        process = await start_child("yes", stdout=asyncio.subprocess.PIPE, start_new_session=True)
        # Until asyncio reads no more.
        while len(process.stdout._buffer) <= 2 * process.stdout._limit:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            await end_group(process)
        return process.returncode

    assert asyncio.run(work()) == -signal.SIGKILL


def test_the_caller_gets_the_child_and_then_the_cancellation():
    async def child():
        process = await start_child(sys.executable, "-c", "import time; time.sleep(60)", stdin=asyncio.subprocess.PIPE)
        try:
            await process.wait()
        finally:
            process.kill()
            await process.communicate()
            ended.append(process.returncode)

    ended = []
    assert asyncio.run(cancelled_after(1, child())).cancelled()
    assert ended == [-9]


def test_a_timeout_stays_a_timeout():
    async def child():
        async with asyncio.timeout(0):
            process = await start_child("sleep", "60", stdin=asyncio.subprocess.PIPE)
            try:
                await process.wait()
            finally:
                process.kill()
                await process.communicate()

    with pytest.raises(TimeoutError):
        asyncio.run(child())


def test_a_program_that_does_not_exist_does_not_hide_the_cancellation():
    assert asyncio.run(cancelled_after(1, start_child("/nonexistent/program"))).cancelled()
    with pytest.raises(FileNotFoundError):
        asyncio.run(start_child("/nonexistent/program"))
