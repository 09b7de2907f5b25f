"""A check that leaves processes behind: they are ended, and what was left is told."""

import asyncio
import shutil
import sys

import pytest
from support.bare import path_without
from support.launches import CHILD, processes_of, wait_until
from support.ways import ways

from codex_runner.transports.local import LocalTransport

# Out of the session and the group of the check, and no child of it any more; each ignores what could be ignored.
LEAVES = """
export CHILD_STARTS="$PWD/starts"
setsid "$1" "$2" mute & # in a session of its own
(setsid "$1" "$2" mute &)
"$1" "$2" mute &
until [ -e starts ] && [ "$(wc -l <starts)" -ge 3 ]; do sleep 0.05 2>/dev/null || sleep 1; done
"""


@pytest.fixture
def leaving(host, tmp_path):
    """Run a check that leaves three processes and goes on with `last`."""

    def check(last, **more):
        arguments = (sys.executable, str(CHILD))
        return host.execute(LEAVES + last, cwd=str(tmp_path), arguments=arguments, **more)

    return check


def test_what_it_leaves_is_ended_and_told(leaving, run, tmp_path):
    done = run(leaving("echo out; exit 3"))
    assert processes_of(str(tmp_path)) == []
    assert done.exit_code == 3
    assert done.output.startswith(b"out\n")
    assert b"codex-runner: 3 processes that this command left behind were ended: python" in done.output


def test_at_a_timeout(leaving, run, tmp_path):
    done = run(leaving("sleep 600", timeout=4))
    assert processes_of(str(tmp_path)) == []
    assert done.exit_code is None
    assert b"left behind" in done.output


def test_where_nobody_waits_for_it_any_more(leaving, run, host, tmp_path):
    async def work():
        checking = asyncio.ensure_future(leaving("echo ready >ready; sleep 600"))
        await asyncio.to_thread(wait_until, (tmp_path / "ready").exists, 60)
        checking.cancel()
        await asyncio.wait({checking})

    run(work())
    wait_until(lambda: processes_of(str(tmp_path)) == [], 60)


def test_where_it_kills_its_keeper(leaving, run, tmp_path):
    done = run(leaving("kill -9 $PPID; sleep 600"))
    assert done.exit_code == 137
    wait_until(lambda: processes_of(str(tmp_path)) == [], 60)


@pytest.mark.parametrize("command", ["true", "exit 7", "echo a | tail -n 1", "kill -TERM 0", "kill -9 $$"])
def test_of_what_leaves_nothing_nothing_is_told(command, host, run, tmp_path):
    done = run(host.execute(command, cwd=str(tmp_path)))
    assert b"codex-runner" not in done.output
    assert b"illed" not in done.output


@pytest.mark.parametrize("shell", ways(["dash", "bash", "busybox", "mksh"], ["dash", "bash"]))
def test_on_a_host_without_perl_and_python(shell, tmp_path_factory, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    place = tmp_path_factory.mktemp("bare")
    path = path_without(place / "bin", "perl", "python3", "python", sh=shutil.which(shell))
    bare = LocalTransport({"PATH": str(path), "HOME": str(place), "XDG_STATE_HOME": str(place)})
    arguments = (sys.executable, str(CHILD))
    done = asyncio.run(bare.execute(f"{LEAVES}exit 3", cwd=str(tmp_path), arguments=arguments))
    assert processes_of(str(tmp_path)) == []
    assert done.exit_code == 3
    assert b"3 processes that this command left behind were ended" in done.output
