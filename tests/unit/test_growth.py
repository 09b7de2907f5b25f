"""Waiting for files to grow. What would wait for ever if nothing woke it has a minute, which no test takes."""

import asyncio
import os
import resource
from pathlib import Path

import pytest

from codex_runner.transports.growth import LONGEST, SHORTEST, Growth, open_inotify, watch

MINUTE = 60.0


class Deaf:
    """A kernel that never tells, as that of some network file systems."""

    def __init__(self):
        self.closed = False

    async def wait(self, timeout):
        assert not self.closed

    def seen(self):
        return False

    def close(self):
        self.closed = True


@pytest.fixture
def files(tmp_path):
    made = [(tmp_path / name).open("wb+", buffering=0) for name in ("stdout", "stderr")]
    yield made
    for file in made:
        file.close()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def change(how, folder, files):
    if how == "grown":
        files[1].write(b"more")
    elif how == "renamed":
        (folder / "exit.new").rename(folder / "exit")
    elif how == "truncated":
        files[0].truncate(0)
    elif how == "grown-after-removal":
        (folder / "stdout").unlink()
        files[0].write(b"more")
    elif how == "grown-after-replacement":
        (folder / "other").rename(folder / "stdout")
        files[0].write(b"more")


@pytest.mark.parametrize("how", ["grown", "renamed", "truncated", "grown-after-removal", "grown-after-replacement"])
def test_the_kernel_tells_of_each_change(tmp_path, files, how):
    for name in ("exit.new", "other"):
        (tmp_path / name).touch()
    files[0].write(b"some")

    async def work():
        before = descriptors()
        kernel = open_inotify(tmp_path, files)
        assert kernel is not None
        asyncio.get_running_loop().call_later(0.05, change, how, tmp_path, files)
        async with asyncio.timeout(MINUTE):
            await kernel.wait(2 * MINUTE)
        seen = kernel.seen()
        kernel.close()
        kernel.close()
        return seen, descriptors() - before

    assert asyncio.run(work()) == (True, 0)


def test_a_change_before_the_wait_is_told_too(tmp_path, files):
    async def work():
        kernel = open_inotify(tmp_path, files)
        files[0].write(b"more")
        async with asyncio.timeout(MINUTE):
            await kernel.wait(2 * MINUTE)
        kernel.close()

    asyncio.run(work())


def test_nothing_is_told_of_what_the_supervisor_writes_each_second(tmp_path, files):
    for name in ("ticks", "room"):
        (tmp_path / name).touch()

    async def work():
        kernel = open_inotify(tmp_path, files)
        for name in ("ticks", "room"):
            (tmp_path / name).write_text("1 1 1\n")
        await kernel.wait(0.01)
        seen = kernel.seen()
        kernel.close()
        return seen

    assert not asyncio.run(work())


def test_without_room_for_one_more_there_is_none(tmp_path, files):
    """As with fs.inotify.max_user_instances, of which a user has 128 at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        assert open_inotify(tmp_path, files) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_cannot_be_watched_leaves_nothing_open(tmp_path, files):
    before = descriptors()
    assert open_inotify(tmp_path / "none", files) is None
    assert descriptors() == before


def paused(growth, times, timeout=MINUTE):
    async def work():
        for _ in range(times):
            await growth.wait(timeout)

    asyncio.run(work())


def test_a_poll_slows_down_while_nothing_comes_and_speeds_up_when_something_does():
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    growth = Growth(None, sleep)
    paused(growth, 8)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (SHORTEST, LONGEST)
    growth.grew()
    paused(growth, 1)
    paused(growth, 1, timeout=0.001)
    assert pauses[8:] == [SHORTEST, 0.001]


def test_a_kernel_that_does_not_tell_is_not_listened_to_for_ever():
    pauses, kernel = [], Deaf()

    async def sleep(seconds):
        pauses.append(seconds)

    growth = Growth(kernel, sleep)
    for _ in range(3):
        paused(growth, 1)
        growth.grew()
        growth.grew()  # read on without a wait: that tells nothing of the kernel
    assert kernel.closed
    paused(growth, 1)
    assert pauses == [SHORTEST]
    growth.close()


def test_a_kernel_that_tells_is_kept(tmp_path, files):
    async def work():
        growth = watch(tmp_path, files)
        for _ in range(6):
            files[0].write(b"more")
            async with asyncio.timeout(MINUTE):
                await growth.wait(2 * MINUTE)
            growth.grew()
        files[0].write(b"more")
        async with asyncio.timeout(MINUTE):
            await growth.wait(2 * MINUTE)
        growth.close()

    asyncio.run(work())
