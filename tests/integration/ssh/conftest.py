import asyncio
import os
import shutil
import subprocess

import pytest
from support.far import FarProject
from support.sshd import Sshd

from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    """A project whose host is this machine, over SSH."""
    (tmp_path / "scratch").mkdir()
    project = FarProject(tmp_path / "scratch", codex_home, codex, service)
    yield project
    project.close()


@pytest.fixture
def server(tmp_path):
    """Make a server; `options` are lines of its sshd_config."""
    made = []

    def make(name="sshd", **kwargs):
        environment = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
        (tmp_path / "home").mkdir(exist_ok=True)
        sshd = Sshd(tmp_path / name, environment={**environment, **kwargs.pop("environment", {})}, **kwargs)
        sshd.__enter__()
        made.append(sshd)
        return sshd

    yield make
    for sshd in made:
        sshd.__exit__()


@pytest.fixture
def runs(tmp_path):
    """The folder of the run directories on the servers."""
    return tmp_path / "state" / "codex-runner" / "runs"


@pytest.fixture
def on():
    """Do something with a transport to a server, and let go of it."""

    def do(sshd, work, *, config=None, reconnect=20.0):
        async def closing():
            options = ("-F", str(config or sshd.config))
            transport = RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), options), reconnect=reconnect)
            try:
                async with asyncio.timeout(60):
                    return await work(transport)
            finally:
                await transport.close()

        return asyncio.run(closing())

    return do


@pytest.fixture(params=["local", "ssh"])
def placed(request, project):
    """Put the project's job on either kind of host. The server uses the folders of local jobs.

    `environment` is added to the host's own.
    """

    def put(**environment):
        project.host = "local"
        if request.param == "ssh":
            return _far(project, request.getfixturevalue("server"), environment)
        project.environ |= environment
        return project

    return put


@pytest.fixture
def there(placed):
    """The project, with its job on either kind of host."""
    return placed()


@pytest.fixture
def disk(there):
    """A small disk for the host's run directories. Call it with a number of KiB: it fills all but these."""
    mounted = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(there.state)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")

    def leave(free):
        size = shutil.disk_usage(there.state).free - free * 1024
        with (there.state / "fill").open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(size, 4096))
            except OSError:  # another process took some of it
                subprocess.run(["head", "-c", "16m", "/dev/zero"], stdout=file, stderr=subprocess.DEVNULL, check=False)

    yield leave
    subprocess.run(["umount", "-l", str(there.state)], check=True)


def _far(project, server, environment):
    sshd = server(environment={"XDG_STATE_HOME": str(project.state), **environment})
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    project.host, project.grace, configure = sshd.alias, 3.0, project.configure
    project.configure = lambda **job: configure(**{"host": sshd.alias, "cwd": str(project.cwd), **job})
    project.configure()
    return project
