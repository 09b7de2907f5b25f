"""A program that sends an attempt's bytes to the runner is killed on the host. No byte is lost, doubled or misread."""

import asyncio
import os
import shutil

import pytest
from support.launches import TICK, collect, launch
from support.sshd import Sshd
from support.ways import ways

from codex_runner.domain.cksum import cksum
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport

# What dies, once, if its arguments match: before it has sent anything, or once it has read bytes.
VICTIMS = {
    "tail": {"tail": ("*-f*", ":")},
    "dd": {"dd": ("*ibs=1*", ":")},
    "cat": {"tail": ("--version", ":"), "cat": ("''", '[ -n "$(head -c 10)" ]')},
}


@pytest.fixture(params=ways(["dash", "bash", "busybox"], ["dash"]))
def host(request, tmp_path):
    """Make a host on which the programs of this row die."""
    if (shell := shutil.which(request.param)) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(shell)
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with Sshd(tmp_path / "sshd", environment=environ) as sshd:

        def make(victim):
            for name, (pattern, first) in VICTIMS[victim].items():
                died = f"[ ! -e {tmp_path}/{name}-died ] && {first} && mkdir {tmp_path}/{name}-died && kill -KILL $$"
                (folder / name).write_text(
                    f'#!/bin/sh\ncase $* in {pattern}) {died};; esac\nexec {shutil.which(name)} "$@"\n'
                )
                (folder / name).chmod(0o755)
            carrier = SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config)))
            return RemoteTransport(carrier, reconnect=10, tick=TICK)

        yield make


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_program_costs_a_connection_and_no_byte(host, victim, tmp_path):
    transport, job = host(victim), launch("numbers", 50, 1)

    async def work():
        try:
            await transport.start(job)
            async with asyncio.timeout(40):
                return await collect(transport, job.run_id)
        finally:
            await transport.close()

    stdout, stderr, last = asyncio.run(work())
    assert (tmp_path / f"{victim}-died").exists()
    assert (last.exit.stdout_size, last.exit.stdout_cksum) == (len(stdout), cksum(stdout))
    assert stderr == b"".join(b"note %d\n" % number for number in range(0, 50, 10))
