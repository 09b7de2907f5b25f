"""A build of the Jenkinsfile that is aborted while the agent is at work: its login at a real Vault by AppRole."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.jenkins_agent import JenkinsAgent
from support.pipelines import pipeline_world
from support.places import build_folder
from support.runs import RUNNER, wait_for

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_vault]


@pytest.fixture
def world():
    """Not below /tmp: codex does not want its home there."""
    folder = Path(tempfile.mkdtemp(prefix="jenkins-", dir=build_folder()))
    with pipeline_world(folder) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture
def agent(world):
    role_id, secret_id = world.approle()
    stored = {"codex-runner-role-id": role_id, "codex-runner-secret-id": secret_id}
    made = JenkinsAgent(world.repository.parent / "agent", stored)
    yield made
    for pid in made.left():
        os.kill(pid, signal.SIGKILL)


def test_an_aborted_build_leaves_no_agent_and_its_report(world, agent, codex):
    vault = {"address": world.server.address, "auth": {"method": "approle", "role": world.role}}
    world.configure(codex, vault=vault, prompt="SCN:long_command:300")
    subprocess.run(
        [RUNNER, "init", "jenkins"], cwd=world.repository, env=agent.environ, check=True, capture_output=True
    )
    world.commit()
    pipeline = agent.check_out(world.repository)
    (Path(agent.environ["WORKSPACE_TMP"]) / "codex-runner").symlink_to(sys.prefix)
    process = agent.start(pipeline.one("stages").body[1])
    wait_for(lambda: "sleep 300" in agent.log.read_text() or process.poll() is not None, 60)
    assert process.poll() is None, agent.log.read_text()[-3000:]
    agent.abort()
    assert process.wait(120) == 143
    wait_for(lambda: agent.left() == {})
    run = agent.kept(pipeline)
    assert (run.run_json["exit_code"], run.cases["agent"]) == (143, "error")
    assert run.run_json["attempts"][0]["exit"]["swept"] == "clean"
    assert world.revoked()
    token = world.token.reveal().encode()
    for path in [agent.log, *agent.workspace.rglob("*"), *(agent.folder / "home").rglob("*")]:
        if path.is_file() and not path.is_symlink():
            assert token not in path.read_bytes(), path
