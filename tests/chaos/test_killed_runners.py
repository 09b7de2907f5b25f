"""The runner itself is killed, over a line that is cut: the real codex goes on, and somebody brings the rest home."""

import random
import time

import pytest
from support.far import FarProject
from support.proxy import Proxy
from support.runs import JOB
from support.ways import some

from codex_runner.demo.model_wire import message, reply, shell

pytestmark = [pytest.mark.chaos, pytest.mark.needs_codex, pytest.mark.needs_sshd]

# The line's own warnings are part of the plan; the real codex may say something of its own.
EXPECTED = {"codex", "credential-source", "disconnected", "reconnected"}


def _steps(step, request):
    """Four short commands, then as many messages as the argument says."""
    if step < 4:
        return reply(message(f"step {step}"), shell(f"echo {step}; sleep 0.2"))
    return reply(*(message(f"message {number}") for number in range(request.argument or 1)))


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    (tmp_path / "scratch").mkdir()
    service.scenario("steps", _steps)
    project = FarProject(tmp_path / "scratch", codex_home, codex, service)
    yield project
    project.close()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("number", some(4, everyday=2))
def test_a_runner_that_is_killed_over_a_line_that_is_cut(far, seed, where, number):
    chance = random.Random(seed)
    with Proxy(far.sshd.port) as proxy:
        far.ssh_config = far.sshd.client_config(far.scratch / "proxied", proxy.port)
        far.configure(prompt=f"SCN:steps:{chance.choice([1, 400])}", sandbox="workspace-write")
        running = far.start("run", JOB)
        running.until(far.host_run)
        proxy.cut_within(*(chance.randint(1, 40_000) for _ in range(chance.randint(0, 2))))
        time.sleep(chance.uniform(0, 2))
        running.kill()
        (first,) = far.runs
        options = []
        if where == "elsewhere":
            far.go_elsewhere()
            options = ["--host", "devbox"]
        proxy.cut_within(*(chance.randint(1, 40_000) for _ in range(chance.randint(0, 2))))
        run = far.check_reports(far.command("attach", first.run_id, *options), 0)
    far.check_undisturbed(run, EXPECTED)
    far.check_nothing_is_left(grace=2)
    if where == "elsewhere":
        # All that the first runner had recorded of its own is here too, as it was recorded.
        begun = first.events.index(first.of_kind("attempt.started")[0]) + 1
        assert run.records[:begun] == first.records[:begun]
        assert [event["attached"] for event in run.of_kind("attempt.started")] == [False, True]
