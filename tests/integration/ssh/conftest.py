import asyncio
import os

import pytest
from support.sshd import Sshd

from codex_runner.transports.ssh import SshTransport


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
            transport = SshTransport(sshd.alias, dict(os.environ), reconnect=reconnect, ssh_options=options)
            try:
                async with asyncio.timeout(60):
                    return await work(transport)
            finally:
                await transport.close()

        return asyncio.run(closing())

    return do


@pytest.fixture
def far(project, server):
    """The project, whose job runs on a server; what lies on the server's side is where it is for local jobs."""
    sshd = server(environment={"XDG_STATE_HOME": str(project.state)})
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    configure = project.configure
    project.configure = lambda **job: configure(**{"host": sshd.alias, "cwd": str(project.cwd), **job})
    project.configure()
    return project
