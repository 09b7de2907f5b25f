import asyncio
import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest

from codex_runner.domain.concurrency import Concurrency, LockPolicy
from codex_runner.domain.errors import ConfigurationError, LockedError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.locks import Held, LockHolder, Taken, acquire
from codex_runner.transports.processes import birth

CHILD = """
import asyncio, fcntl, os, signal, sys, time
from pathlib import Path
from codex_runner.domain.concurrency import Concurrency, LockPolicy
from codex_runner.locks import LockHolder, Taken, acquire
from codex_runner.transports.processes import birth

folder, name, policy, deed = Path(sys.argv[1]), sys.argv[2], LockPolicy(sys.argv[3]), sys.argv[4]
if deed == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
me = LockHolder(name, os.getpid(), birth(os.getpid()), time.time())
for turn in range(1_000_000 if deed == "race" else 1):
    held = asyncio.run(acquire(folder, Concurrency("docs", policy, 30.0), me, birth))
    if isinstance(held, Taken):
        continue
    if deed == "race":
        # Another kind of lock, of which the one under test knows nothing: it fails if somebody else is in here.
        with open(folder / "inside", "a") as inside:
            fcntl.lockf(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("in", flush=True)
            time.sleep(0.02)
            fcntl.lockf(inside, fcntl.LOCK_UN)
        held.release()
    else:
        print("held", flush=True)
        time.sleep(60)
"""


def me(name="mine", since=None):
    return LockHolder(name, os.getpid(), birth(os.getpid()), time.time() if since is None else since)


def take(folder, policy="fail", timeout=5.0, group="docs", holder=None):
    return asyncio.run(acquire(folder, Concurrency(group, LockPolicy(policy), timeout), holder or me(), birth))


@pytest.fixture
def child(tmp_path):
    """Starts children that take the lock; every one of them is ended."""
    children = []

    def start(policy="fail", deed="hold", name="theirs"):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), name, policy, deed], stdout=subprocess.PIPE, text=True
        )
        children.append(process)
        return process

    yield start
    for process in children:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def holding(child):
    def start(**more):
        process = child(**more)
        assert process.stdout.readline() == "held\n"
        return process

    return start


def test_a_free_group_is_taken_and_given_back(tmp_path):
    for _ in range(2):
        with take(tmp_path) as held:
            assert isinstance(held, Held)
            assert isinstance(take(tmp_path, "skip"), Taken)
        held.release()
    take(tmp_path).release()


def test_groups_do_not_know_each_other(tmp_path):
    names = ["docs", "Docs2", "../docs", "a/b", ".", "..", "x" * 300, "ünï\n", "=" + "0" * 32]
    held = [take(tmp_path, group=name) for name in names]
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.lock"))
    assert len(list(tmp_path.iterdir())) == len(names)
    for each in held:
        each.release()
    with pytest.raises(ConfigurationError, match="empty"):
        take(tmp_path, group="")


def test_skip_names_the_holder(tmp_path, holding):
    process = holding()
    taken = take(tmp_path, "skip")
    assert taken.holder.pid == process.pid
    assert f"run theirs (pid {process.pid}, since " in taken.message


def test_fail(tmp_path, holding):
    holding()
    with pytest.raises(LockedError, match="'docs' is held by run theirs") as info:
        take(tmp_path, "fail")
    assert info.value.exit_code is ExitCode.LOCKED


def test_wait_runs_out(tmp_path, holding):
    holding()
    began = time.monotonic()
    with pytest.raises(LockedError, match=r"still held by run theirs .* after 0\.5s"):
        take(tmp_path, "wait", 0.5)
    assert time.monotonic() - began >= 0.5


def test_wait_gets_it_when_the_holder_dies(tmp_path, holding):
    process = holding()

    async def scenario():
        waiting = asyncio.ensure_future(acquire(tmp_path, Concurrency("docs", LockPolicy.WAIT, 10), me(), birth))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        process.kill()
        return await waiting

    asyncio.run(scenario()).release()


def test_a_dead_holders_lock_is_free_at_once(tmp_path, holding):
    process = holding()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "docs.lock").read_text().startswith('{"run_id": "theirs"')
    take(tmp_path, "fail").release()


def test_what_the_holder_starts_does_not_keep_the_lock(tmp_path):
    held = take(tmp_path)
    grandchild = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        held.release()
        take(tmp_path, "fail").release()
    finally:
        grandchild.kill()
        grandchild.wait()


def test_cancel_running(tmp_path, holding):
    process = holding()
    take(tmp_path, "cancel-running").release()
    assert process.wait(120) == -signal.SIGTERM


def test_cancel_running_waits_no_longer_than_its_timeout(tmp_path, holding):
    process = holding(deed="deaf")
    with pytest.raises(LockedError, match="still held"):
        take(tmp_path, "cancel-running", 0.5)
    assert process.poll() is None


def test_cancel_running_never_ends_a_newer_run(tmp_path, holding):
    process = holding()
    with pytest.raises(LockedError, match="newer"):
        take(tmp_path, "cancel-running", holder=me(since=time.time() - 3600))
    assert process.poll() is None


def test_a_run_of_the_same_process_is_never_ended_by_a_signal(tmp_path):
    """It would end every run of this process."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with take(tmp_path, holder=me("theirs")), pytest.raises(LockedError, match="This process runs both"):
            take(tmp_path, "cancel-running", 0.5)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == []


def test_a_pid_that_is_used_again_is_not_killed(holding):
    process = holding()
    LockHolder("old", process.pid, "another birth", 0.0).terminate(birth)
    time.sleep(0.2)
    assert process.poll() is None


def test_a_cancelled_wait_leaves_nothing_locked(tmp_path, holding):
    process = holding()

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await acquire(tmp_path, Concurrency("docs", LockPolicy.WAIT, 60), me(), birth)

    asyncio.run(scenario())
    process.kill()
    process.wait()
    take(tmp_path, "fail").release()


def test_a_garbled_file_is_no_obstacle(tmp_path, holding):
    holding()
    (tmp_path / "docs.lock").write_bytes(b"\xff{")
    assert "another run" in take(tmp_path, "skip").message


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "docs.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"docs\.lock"):
        take(tmp_path)


def test_never_two_holders_even_where_holders_are_killed(tmp_path, child):
    """Each is killed soon after another one got in, or it did itself; the next one gets in all the same."""
    dice = random.Random(7)
    racers = [child("wait", "race", f"racer-{n}") for n in range(3)]
    ended = []
    for n in range(8):
        inside = next_inside(racers)
        time.sleep(dice.random() / 10)
        victim = inside if n % 2 else dice.choice(racers)
        racers.remove(victim)
        victim.kill()
        ended.append(victim)
        racers.append(child("wait", "race", f"later-{n}"))
    next_inside(racers)
    for racer in racers:
        racer.kill()
    assert {racer.wait() for racer in [*ended, *racers]} == {-signal.SIGKILL}


def next_inside(racers):
    """Return the racer that is the next to say that it is in."""
    pipes = [racer.stdout.fileno() for racer in racers]
    while said := select.select(pipes, [], [], 0)[0]:  # what was said before counts no more
        for pipe in said:
            assert os.read(pipe, 1 << 16), "one found another one inside"
    said, _, _ = select.select(pipes, [], [], 60)
    assert said, "nobody gets in"
    assert os.read(said[0], 1 << 16), "one found another one inside"
    return next(racer for racer in racers if racer.stdout.fileno() == said[0])
