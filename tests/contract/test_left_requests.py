"""A request that the runner on this machine does not wait for: its process is gone, and its pipes are closed."""

import asyncio
import os
from pathlib import Path

from support.launches import wait_until

from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.processes import birth


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_left_in_the_middle_leaves_nothing(tmp_path):
    seen = tmp_path / "pid"
    shell = tmp_path / "sh"
    shell.write_text(
        f"#!/bin/sh\ntrap '' TERM HUP\nsleep 600 &\necho $$ $! >{seen}.new && mv {seen}.new {seen}\nwait\n"
    )
    shell.chmod(0o755)
    host = LocalTransport({"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)})

    async def work():
        before = open_files()
        asked = asyncio.ensure_future(host.stop(new_run_id("test"), 1, StopReason.CANCELLED))
        await asyncio.to_thread(wait_until, seen.exists, 60)
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()
        assert [birth(int(pid)) for pid in seen.read_text().split()] == [None, None]
        assert open_files() == before

    asyncio.run(work())


def test_what_is_left_counts_all_the_same(tmp_path):
    """The request has been sent, and what it asks for is done before the runner goes on."""
    done = tmp_path / "done"
    shell = tmp_path / "sh"
    shell.write_text(
        f"#!/bin/sh\necho >{tmp_path}/began\nuntil [ -e {tmp_path}/go ]; do sleep 0.01; done\necho >{done}\n"
    )
    shell.chmod(0o755)
    host = LocalTransport({"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)})

    async def work():
        asked = asyncio.ensure_future(host.cancel(new_run_id("test")))
        await asyncio.to_thread(wait_until, (tmp_path / "began").exists, 60)
        asked.cancel()
        (tmp_path / "go").touch()
        await asyncio.wait({asked})
        assert asked.cancelled()
        return done.exists()

    assert asyncio.run(work())
