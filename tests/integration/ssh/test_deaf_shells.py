"""A start-up file of the account ignores signals, and what is started below it can hear none of them, ever."""

import shutil

import pytest
from support.bare import path_without
from support.launches import collect, launch, processes_of, wait_until
from support.ways import ways

from codex_runner.domain.run import StopReason, Sweep

pytestmark = pytest.mark.needs_sshd

IGNORING = "ForceCommand trap '' TERM INT HUP QUIT PIPE CHLD USR1; eval \"$SSH_ORIGINAL_COMMAND\""
HOSTS = ["dash", "bash", "busybox", "mksh", "dash with perl", "dash with python3"]


@pytest.fixture(params=ways(HOSTS, ["dash", "busybox", "dash with perl"]))
def deaf(request, server, tmp_path):
    """A host with such an account."""
    shell, _, kept = request.param.partition(" with ")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    without = {"perl", "python3", "python"} - {kept}
    path = path_without(tmp_path / "bin", *without, sh=shutil.which(shell))
    return server(options=[IGNORING], environment={"PATH": path, "SHELL": "/bin/sh"})


def test_a_stop_ends_the_agent(deaf, on, request):
    async def work(transport):
        job = launch("hangs")
        await transport.start(job)
        followed = collect(transport, job.run_id)
        await transport.stop(job.run_id, 1, StopReason.CANCELLED)
        _, _, last = await followed
        await transport.discard(job.run_id)
        return job.run_id, last.exit

    run_id, exit_ = on(deaf, work)
    assert exit_.stopped is StopReason.CANCELLED
    assert exit_.swept is (Sweep.CLEAN if "with" in request.node.name else Sweep.BEST_EFFORT)
    wait_until(lambda: processes_of(run_id) == [], 60)


def test_a_command_that_has_ended_is_not_waited_for(deaf, on):
    """The clock beside it goes with it, and not when the command's time is up."""

    async def work(transport):
        return [await transport.execute("exit 3", timeout=3600) for _ in range(3)]

    assert {done.exit_code for done in on(deaf, work)} == {3}
