"""The system gives the pid of a process that has ended to another. The host's script ends no such stranger."""

import asyncio
import os
import subprocess

import pytest
from support.container import ContainerCarrier, container_or_skip
from support.launches import launch

from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Output
from codex_runner.transports.remote.transport import RemoteTransport

LAST = "/proc/sys/kernel/ns_last_pid"

# Takes each free pid below a number, in the container of which this is a process. Then says how many it has taken.
TAKE = """
pid=2
while [ "$pid" -lt 600 ]; do
    if [ ! -d "/proc/$pid" ]; then
        echo "$((pid - 1))" >/proc/sys/kernel/ns_last_pid
        sleep 1000 </dev/null >/dev/null 2>&1 &
        [ "$!" != "$pid" ] || taken="$taken $pid"
    fi
    pid=$((pid + 1))
done
echo "$taken"
read -r _
for pid in $taken; do
    kill -0 "$pid" 2>/dev/null || lost="$lost $pid"
done
echo "lost:$lost"
kill -KILL $taken
"""


class Strangers:
    """Processes of the container that have taken all free pids."""

    def __init__(self, container):
        self._process = subprocess.Popen(
            ["nsenter", "-t", str(container.first), "-m", "-p", "-r", "-w", "sh", "-c", TAKE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=container.environment,
        )
        self.pids = self._process.stdout.readline().split()

    def lost(self):
        """Return the pids of those that have ended, and end the others."""
        told, _ = self._process.communicate(b"\n")
        return told.removeprefix(b"lost:").split()


@pytest.mark.skipif(not os.access(LAST, os.W_OK), reason="this kernel lets nobody choose the next pid")
def test_a_long_session_ends_no_stranger(tmp_path):
    shared = (tmp_path / "state",)
    (tmp_path / "state").mkdir()
    with container_or_skip(tmp_path / "root", {"HOME": "/", "XDG_STATE_HOME": str(shared[0])}, shared) as container:
        host = RemoteTransport(ContainerCarrier(container))

        async def work():
            strangers = []
            job = launch("lines", 20, 0.2)
            await host.start(job)
            async for piece in host.follow(job.run_id, 1, Position()):
                if isinstance(piece, Output) and not strangers:
                    strangers.append(Strangers(container))
            await host.discard(job.run_id)
            await host.ask("echo here")
            await host.close()
            return piece, strangers[0]

        last, strangers = asyncio.run(work())
        assert isinstance(last, Ended)
        assert len(strangers.pids) > 400
        assert strangers.lost() == []
