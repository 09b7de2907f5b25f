import asyncio
import contextlib
import os
import shutil

import pytest
from support.container import ContainerCarrier, container_or_skip
from support.sshd import Sshd
from support.ways import ways

from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.remote.transport import RemoteTransport

SHELLS = ("dash", "bash", "busybox")
CONTAINER = "container-busybox"
# Each day each shell and each transport; each night every pair of them.
HOSTS = [
    *ways(
        [f"{kind}-{shell}" for kind in ("local", "ssh") for shell in SHELLS], ["local-busybox", "ssh-dash", "ssh-bash"]
    ),
    CONTAINER,
]

# What a second carrier shows each day. The rest of the contract runs over it each night.
DAILY = {
    "test_hands_over_every_byte_and_the_exit",
    "test_the_child_has_its_directory_its_environment_and_no_more",
    "test_a_killed_supervisor_is_noticed",
    "test_the_answer_is_stdout_alone_byte_for_byte",
    "test_fetches_what_is_a_plain_file_below_the_folder_and_again",
    "test_an_upload_is_whole_private_and_takes_the_place_of_the_one_before",
    "test_a_client_that_is_killed_in_mid_run_costs_no_byte",
    "test_a_host_that_has_gone_is_given_up",
}

# What a test does on this machine, and not on the host.
ELSEWHERE = {"test_a_helper_of_a_killed_proof_goes_with_the_run": "the helper that it starts is in no container"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        over = getattr(item, "callspec", None) and item.callspec.params.get("reach")
        if over != CONTAINER:
            continue
        name = item.originalname
        if name not in DAILY:
            item.add_marker(pytest.mark.thorough)
        if name in ELSEWHERE:
            item.add_marker(pytest.mark.skip(reason=ELSEWHERE[name]))


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


@pytest.fixture(scope="session")
def container(tmp_path_factory):
    """A host that another carrier than ssh reaches."""
    folder = tmp_path_factory.mktemp("container")
    given = environment(folder, "busybox")
    with container_or_skip(folder / "root", given, [tmp_path_factory.getbasetemp()]) as made:
        yield made


@pytest.fixture(params=HOSTS)
def reach(request, tmp_path_factory, servers):
    """Every kind of host, each through every shell that is here: a function of the claim to have, if any."""
    kind, _, shell = request.param.partition("-")
    if kind == "local":
        there = environment(tmp_path_factory.mktemp(request.param), shell)
        return lambda claim=None, tick=1.0: LocalTransport(there, claim, tick=tick)
    if kind == "container":
        there = request.getfixturevalue("container")
        return lambda claim=None, tick=1.0: RemoteTransport(
            ContainerCarrier(there), reconnect=10, claim=claim, tick=tick
        )
    sshd = servers(shell)
    options = ("-F", str(sshd.config))
    return lambda claim=None, tick=1.0: RemoteTransport(
        SshCarrier(sshd.alias, dict(os.environ), options), reconnect=10, claim=claim, tick=tick
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
def supervisor_pid(pid_file, request):
    """Find the supervisor's pid, by which this machine knows it."""

    def find(run_id):
        path = pid_file(run_id)
        pid = int(path.read_text().split()[2])
        return pid if "container0" not in path.parts else request.getfixturevalue("container").pid_here(pid)

    return find
