import asyncio
import contextlib
import os
import shutil

import pytest
from support.sshd import Sshd
from support.ways import ways

from codex_runner.transports.local import LocalTransport
from codex_runner.transports.ssh import SshTransport

SHELLS = ("dash", "bash", "busybox")
# Each day each shell and each transport; each night every pair of them.
HOSTS = ways(
    [f"{kind}-{shell}" for kind in ("local", "ssh") for shell in SHELLS], ["local-busybox", "ssh-dash", "ssh-bash"]
)


def environment(folder, shell):
    """What a host gives its user: `sh` is the shell under test."""
    found = shutil.which(shell)
    if found is None:
        if os.environ.get("CI") == "true" and shell != "busybox":
            pytest.fail(f"{shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    (folder / "bin").mkdir()
    (folder / "bin" / "sh").symlink_to(found)
    (folder / "home").mkdir(exist_ok=True)
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "XDG_STATE_HOME": str(folder / "state"),
        "RUNNER_TRACKING_ID": "tracked",
        "VAULT_TOKEN": "host-vault-token",
        "HOST_SECRET": "host-secret",
    }


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """One server a shell, for as long as the tests last."""
    with contextlib.ExitStack() as stack:
        made = {}

        def server(shell):
            if shell not in made:
                folder = tmp_path_factory.mktemp(f"ssh-{shell}")
                made[shell] = stack.enter_context(Sshd(folder / "sshd", environment=environment(folder, shell)))
            return made[shell]

        yield server


@pytest.fixture(params=HOSTS)
def reach(request, tmp_path_factory, servers):
    """Every kind of host, each through every shell that is here: a function of the claim to have, if any."""
    kind, _, shell = request.param.partition("-")
    if kind == "local":
        there = environment(tmp_path_factory.mktemp(request.param), shell)
        return lambda claim=None, tick=1.0: LocalTransport(there, claim, tick=tick)
    sshd = servers(shell)
    options = ("-F", str(sshd.config))
    return lambda claim=None, tick=1.0: SshTransport(
        sshd.alias, dict(os.environ), reconnect=10, ssh_options=options, claim=claim, tick=tick
    )


@pytest.fixture
def tick():
    """Seconds of a supervisor's tick. A test sets its own: `@pytest.mark.parametrize("tick", [TICK])`."""
    return 1.0


@pytest.fixture
def host(reach, tick):
    """A way to it without a claim."""
    return reach(tick=tick)


@pytest.fixture
def run(host):
    """Run a coroutine to its end, and let go of the host."""

    async def closing(work):
        try:
            async with asyncio.timeout(180):  # what never ends fails here, and takes no other test with it
                return await work
        finally:
            await host.close()

    return lambda work: asyncio.run(closing(work))


@pytest.fixture
def pid_file(tmp_path_factory):
    """Find the file in which an attempt notes who holds it: host, boot, the supervisor's pid and its start time."""

    def find(run_id, attempt=1):
        return next(tmp_path_factory.getbasetemp().glob(f"*/state/codex-runner/runs/{run_id}/attempts/{attempt}/pid"))

    return find


@pytest.fixture
def supervisor_pid(pid_file):
    return lambda run_id: int(pid_file(run_id).read_text().split()[2])
