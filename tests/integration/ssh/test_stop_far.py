"""Runs on another host that somebody or something ends: all goes, and where the host is out of reach, that is said."""

import random
import re
import signal
import time
from datetime import datetime

import pytest
from support.far import FarProject
from support.proxy import Proxy
from support.runs import JOB, processes_with, wait_for

from codex_runner.demo.model_wire import Silence, message, reply, shell

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    (tmp_path / "scratch").mkdir()
    project = FarProject(tmp_path / "scratch", codex_home, codex, service)
    project.family = Family(service)
    yield project
    project.close()


class Family:
    """Processes that leave codex's session, the command's session, and its tree; one leaves the environment too.

    Each sleeps for a number of seconds of its own. In the scenario `family` the command goes on beside them, in
    `silent_family` the model falls silent.
    """

    def __init__(self, service):
        self.members = [str(random.randrange(10**6, 10**7)) for _ in range(3)]
        self.command = (
            f"setsid sh -c 'sleep {self.members[0]} & sleep {self.members[1]}' </dev/null >/dev/null 2>&1 & "
            f"(setsid env -i sleep {self.members[2]} </dev/null >/dev/null 2>&1 &) ; "
        )
        service.scenario("family", self._with_a_command)
        service.scenario("silent_family", self._with_silence)

    def _with_a_command(self, step, request):
        return reply(shell(f"{self.command} sleep 600", wait=30)) if step == 0 else reply(message("done"))

    def _with_silence(self, step, request):
        return reply(shell(f"{self.command} echo ready")) if step == 0 else Silence(600)

    @property
    def alive(self):
        return [number for number in self.members if processes_with(f"sleep\0{number}")]

    def is_complete(self):
        return self.alive == self.members


def check_all_ended(project, done, code, failure):
    run = project.check_reports(done, code)
    project.check_nothing_is_left()
    assert project.family.alive == []
    document = run.run_json
    assert document["failure"] == failure
    assert document["attempts"][0]["exit"]["stopped"] == failure
    assert document["attempts"][0]["exit"]["swept"] == "clean"
    assert "no process of the agent is left" in run.guard("process sweep")["message"]
    assert run.codex == project.witness.printed(run.run_id)


@pytest.mark.parametrize(
    ("how", "code", "failure"),
    [("cancel", 143, "cancelled"), (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_whoever_ends_a_run_ends_everything(far, how, code, failure):
    far.configure(prompt="SCN:family", sandbox="danger-full-access")
    running = far.start("run", JOB)
    running.until(far.family.is_complete)
    if how == "cancel":
        assert far.command("cancel", far.runs[0].run_id).code == 0
    else:
        running.signal(how)
    check_all_ended(far, running.wait(), code, failure)


@pytest.mark.parametrize(
    ("scenario", "limits", "code", "failure"),
    [
        ("family", {"timeout": "4s"}, 9, "timeout"),
        ("family", {"command_timeout": "2s"}, 9, "command-timeout"),
        ("silent_family", {"stall_timeout": "3s"}, 10, "stalled"),
    ],
)
def test_every_limit_ends_everything(far, scenario, limits, code, failure):
    far.configure(prompt=f"SCN:{scenario}", sandbox="danger-full-access", **limits)
    check_all_ended(far, far.run(), code, failure)


def test_over_a_black_hole(far):
    """The runner does not wait; it says where the agent may be running and until when, and until then it is so."""
    with Proxy(far.sshd.port) as proxy:
        far.ssh_config = far.sshd.client_config(far.scratch / "proxied", proxy.port)
        far.configure(prompt="SCN:family", sandbox="danger-full-access", orphan_timeout="4s")
        running = far.start("run", JOB)
        running.until(far.family.is_complete)
        proxy.swallows = True
        running.signal(signal.SIGTERM)
        began = time.time()
        done = running.wait()
        ended = time.time()
        run = far.check_reports(done, 6)
        reason = run.run_json["reason"]
        (until,) = re.findall(r"may still be running on devbox, until about (\S+) \(orphan_timeout\)", reason)
        assert began + 4 <= datetime.fromisoformat(until).timestamp() <= ended + 5
        assert not run.guard("process sweep")["passed"]
        # The line is still dead: the host ends it by itself.
        wait_for(lambda: not far.family.alive)
        cancelled = far.command("cancel", run.run_id)
        assert cancelled.code == 6
        assert "devbox" in cancelled.stderr
        proxy.swallows = False
        far.check_reports(far.command("attach", run.run_id), 6)
    far.check_nothing_is_left(grace=2)
    assert run.run_json["failure"] == "orphaned"
    assert run.codex == far.witness.printed(run.run_id)
