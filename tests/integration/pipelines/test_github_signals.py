"""A cancelled job as GitHub's runner cancels it: SIGINT to the step's process, SIGTERM after 7.5 s, SIGKILL after 10 s.

The step is the action's own line, in the shell that GitHub starts. When the job is over, the runner kills every process
that still has its RUNNER_TRACKING_ID.
"""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.pipelines import JOB, ROOT, pipeline_world
from support.runs import Left, processes_with, wait_for
from support.sshd import Sshd

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_vault]

NOT_GIVEN = (
    *("CONFIG", "HOST", "ARGUMENTS", "VAULT_AUDIENCE", "CODEX_PATH", "CODEX_VERSION", "CODEX_SHA256"),
    *("SSH_KEY", "SSH_KNOWN_HOSTS", "SSH_CONFIG"),
)
INTERRUPT_TO_TERMINATE, TERMINATE_TO_KILL = 7.5, 2.5  # seconds


def script_of(name):
    """What a step of the action runs."""
    action = yaml.safe_load((ROOT / "ci/github/action.yml").read_text())
    return next(step["run"] for step in action["runs"]["steps"] if step.get("name") == name)


class Step:
    """A step of the action that runs a job, in a folder of a call that has been prepared and installed."""

    def __init__(self, folder, state, world, **inputs):
        self.world, self.state = world, state
        self.tracking = f"github_{secrets.token_hex(8)}"
        self.output = folder / "output"
        (folder / "home").mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(state),
            "GITHUB_ACTION_PATH": str(ROOT / "ci/github"),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_REPOSITORY": "acme/app",
            "GITHUB_EVENT_NAME": "schedule",
            "RUNNER_TRACKING_ID": self.tracking,
            "RUNNER_TEMP": str(folder),
            "PYTHON": sys.executable,
            **world.identity,
            **{f"INPUT_{name}": "" for name in NOT_GIVEN},
            "INPUT_JOB": JOB,
            "INPUT_VAULT_ADDRESS": world.server.address,
            "INPUT_VAULT_ROLE": world.role,
            **inputs,
        }
        self.log = folder / "log"
        assert self._start("Prepare").wait(300) == 0, self.log.read_text()
        self.folder = self.environ["FOLDER"] = Path(self.outputs()["folder"])
        (self.folder / "venv").symlink_to(sys.prefix)

    def _start(self, name):
        script = self.log.with_name(f"{secrets.token_hex(4)}.sh")
        script.write_text(script_of(name))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
                cwd=self.world.repository,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self):
        """Start the job, and wait until the agent is at work."""
        self.process = self._start("Run the job")
        wait_for(lambda: "sleep 300" in self.log.read_text() or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log.read_text()[-3000:]

    def interrupt(self):
        """Do what GitHub's runner does first, and return the step's exit code: no second signal is needed.

        On GitHub it would come after 7.5 s; this machine may be a slower one.
        """
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def cancel(self):
        """Do what GitHub's runner does. Returns how many seconds the step took to end, and its exit code."""
        began = time.monotonic()
        for number, patience in ((signal.SIGINT, INTERRUPT_TO_TERMINATE), (signal.SIGTERM, TERMINATE_TO_KILL)):
            self.process.send_signal(number)
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began, self.process.returncode

    def end_job(self):
        """The steps that always run, then the runner's own sweep."""
        for name in ("Remove keys", "Outputs"):
            assert self._start(name).wait(300) == 0, self.log.read_text()[-2000:]
        for pid in processes_with(f"RUNNER_TRACKING_ID={self.tracking}"):
            os.kill(pid, signal.SIGKILL)
        return self.outputs()

    def outputs(self):
        return dict(re.findall(r"^([\w-]+)<<\S+\n(.*)\n", self.output.read_text(), re.MULTILINE))

    def agents(self):
        return processes_with(str(self.state))


@pytest.fixture
def step(tmp_path, codex, codex_home):
    with pipeline_world(tmp_path) as world:
        world.configure(codex, prompt="SCN:long_command:300", orphan_timeout="5s")
        made = Step(tmp_path, codex_home, world)
        yield made
        for pid in made.agents():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def ssh_step(tmp_path, codex, codex_home):
    """The same on a host that is reached with the action's own key, known hosts and configuration."""
    with pipeline_world(tmp_path) as world, Sshd(tmp_path / "sshd", environment={"XDG_STATE_HOME": codex_home}) as sshd:
        job = {"host": sshd.alias, "cwd": str(world.repository), "orphan_timeout": "5s"}
        world.configure(codex, prompt="SCN:long_command:300", **job)
        ours = f"Host {sshd.alias}\n  HostName 127.0.0.1\n  Port {sshd.port}\n  HostKeyAlias {sshd.alias}\n"
        world.write("ssh_config", ours)
        made = Step(
            tmp_path,
            codex_home,
            world,
            INPUT_SSH_KEY=(sshd.folder / "user_key").read_text(),
            INPUT_SSH_KNOWN_HOSTS=(sshd.folder / "known_hosts").read_text(),
            INPUT_SSH_CONFIG="ssh_config",
        )
        yield made
        for pid in made.agents():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def check_nothing_was_borrowed(step):
    assert step.world.revoked()
    token = step.world.token.reveal().encode()
    for path in [step.log, *step.folder.rglob("*"), *step.state.rglob("*")]:
        if path.is_file() and "venv" not in path.parts:
            assert token not in path.read_bytes(), path


def test_an_interrupt_is_enough(step):
    step.start()
    assert step.interrupt() == 130
    assert step.agents() == {}
    outputs = step.end_job()
    assert (outputs["result"], outputs["exit-code"]) == ("failed", "130")
    run = Left(Path(outputs["run-dir"]))
    assert run.run_json["failure"] == "interrupted"
    assert run.cases["agent"] == "error"
    assert outputs["junit"] == str(run.path / "junit.xml")
    check_nothing_was_borrowed(step)


def test_a_termination_alone_is_enough(step):
    step.start()
    step.process.terminate()
    assert step.process.wait(60) == 143
    assert step.agents() == {}
    assert step.end_job()["exit-code"] == "143"
    check_nothing_was_borrowed(step)


def test_a_runner_that_hangs_is_killed_and_its_agent_does_not_outlive_the_job(step):
    step.start()
    step.process.send_signal(signal.SIGSTOP)  # neither INT nor TERM reaches it now
    seconds, code = step.cancel()
    assert code == -signal.SIGKILL
    assert seconds >= INTERRUPT_TO_TERMINATE + TERMINATE_TO_KILL
    outputs = step.end_job()
    assert (outputs["result"], outputs["exit-code"]) == ("failed", "")
    assert outputs["run-dir"]
    wait_for(lambda: step.agents() == {})
    check_nothing_was_borrowed(step)


@pytest.mark.needs_sshd
def test_on_a_host_an_interrupt_ends_the_agent_there_and_the_keys_are_gone(ssh_step):
    ssh_step.start()
    assert (ssh_step.folder / "ssh" / "key").stat().st_mode & 0o777 == 0o600
    assert ssh_step.interrupt() == 130
    wait_for(lambda: ssh_step.agents() == {})  # the connection of this side ends with its runner
    outputs = ssh_step.end_job()
    assert (outputs["result"], outputs["exit-code"]) == ("failed", "130")
    assert not (ssh_step.folder / "ssh").exists()
    check_nothing_was_borrowed(ssh_step)


@pytest.mark.needs_sshd
def test_on_a_host_the_agent_ends_without_its_runner(ssh_step):
    ssh_step.start()
    ssh_step.process.send_signal(signal.SIGSTOP)
    _, code = ssh_step.cancel()
    assert code == -signal.SIGKILL
    ssh_step.end_job()
    wait_for(lambda: ssh_step.agents() == {})  # its lease runs out: `orphan_timeout`
    check_nothing_was_borrowed(ssh_step)
