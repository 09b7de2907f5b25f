"""Nothing of a run is alive once it has been discarded."""

import asyncio
import os
import shutil

import pytest
from support.launches import collect, launch, processes_of
from support.sshd import Sshd

from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.remote.transport import RemoteTransport


@pytest.fixture
def slow(tmp_path):
    """The environment of a host on which a supervisor takes its time to look for old runs, once its own has ended."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "find").write_text(f'#!/bin/sh\nsleep 1\nexec {shutil.which("find")} "$@"\n')
    (tmp_path / "bin" / "find").chmod(0o755)
    (tmp_path / "home").mkdir()
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}


async def left_behind(host):
    job = launch("reply")
    try:
        await host.start(job)
        await collect(host, job.run_id)
        await host.discard(job.run_id)
        return processes_of(job.run_id)
    finally:
        await host.close()


def test_here(slow):
    assert asyncio.run(left_behind(LocalTransport(slow))) == []


@pytest.mark.needs_sshd
def test_on_a_host(slow, tmp_path):
    with Sshd(tmp_path / "sshd", environment=slow) as sshd:
        host = RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config))))
        assert asyncio.run(left_behind(host)) == []
