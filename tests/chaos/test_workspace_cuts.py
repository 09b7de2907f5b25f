"""A workspace that is made over a line which breaks anywhere: it is whole in the end, and nothing half is left."""

import asyncio
import os
import random
import subprocess

import pytest
from support.proxy import Fault, Proxy
from support.ways import some

from codex_runner.domain.host import Host
from codex_runner.domain.job import Job
from codex_runner.domain.run import new_run_id
from codex_runner.domain.workspace import WorkspaceSpec
from codex_runner.git.workspaces import GitWorkspaces
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = [pytest.mark.chaos, pytest.mark.needs_sshd]

# Bytes from a connection's beginning: the handshake, the question, the bundle, the making.
PLACES = ((0, 3_000), (3_000, 30_000), (30_000, 400_000), (400_000, 900_000))

ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    **{f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", folder, *arguments], env=ENVIRON, capture_output=True, check=True)
    return done.stdout.decode().strip()


def some_fault(rng):
    kind = rng.choices(("cut", "truncate", "stall", "blackhole"), (6, 5, 2, 1))[0]
    return Fault(kind, rng.randint(*rng.choice(PLACES)), up=rng.random() < 0.7, seconds=rng.uniform(0.01, 0.5))


@pytest.mark.parametrize("number", some(12, everyday=3))
def test_a_workspace_is_whole_whatever_happens(number, seed, sshd, tmp_path):
    rng = random.Random(seed)
    repo = tmp_path / "repo"
    git(tmp_path, "init", "--quiet", str(repo))
    faults = [some_fault(rng) for _ in range(rng.randint(1, 6))]
    print(faults)

    async def work():
        with Proxy(sshd.port, faults) as proxy:
            options = ("-F", str(sshd.client_config(tmp_path / "config", proxy.port)))
            transport = RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), options), reconnect=60)
            maker = GitWorkspaces(transport, ENVIRON, tmp_path / "runs")
            told, made = [], []
            try:
                for count in range(2):
                    (repo / f"file{count}").write_bytes(rng.randbytes(400_000))
                    git(repo, "add", ".")
                    git(repo, "commit", "--quiet", "--message", "more")
                    job = Job("test", "", ".", host=Host(sshd.alias), workspace=WorkspaceSpec(str(repo)))
                    run_id = new_run_id("test")
                    made.append((run_id, await maker.make(job, run_id, told.append)))
                    check(made[-1][1].path)
                for run_id, _ in made:
                    await transport.discard(run_id)
            finally:
                await transport.close()
            return told

    def check(path):
        assert git(path, "rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")
        assert git(path, "status", "--porcelain") == ""
        git(path, "fsck", "--strict")

    assert asyncio.run(work()) == []
    state = sshd.state / "codex-runner"
    left = [*state.glob("workspaces/*"), *state.glob("workspaces/.*"), *state.glob("runs/[!.]*")]
    assert left == []
