"""The runner is killed at any instant, and `attach` ends the run as if nothing had happened."""

import os
import random
import signal
import time

import pytest
from support.runs import JOB, wait_for

from codex_runner.demo.model_wire import message, reply, shell

pytestmark = pytest.mark.needs_codex

SEED = 20260102
INSTANTS = 26


def _steps(step, request):
    """Six short commands, then as many messages as the argument says."""
    if step < 6:
        return reply(message(f"step {step}"), shell(f"echo {step}; sleep 0.2"))
    return reply(*(message(f"message {number}") for number in range(request.argument or 1)))


@pytest.mark.parametrize("number", range(INSTANTS))
def test_killed_at_any_instant(project, service, number):
    chance = random.Random(SEED + number)
    service.scenario("steps", _steps)
    project.configure(prompt=f"SCN:steps:{chance.choice([1, 400])}", sandbox="danger-full-access")
    running = project.start("run", JOB)
    # Python alone is up after 0.2 s; the whole run takes some 2.5 s.
    time.sleep(chance.uniform(0.2, 3.0))
    running.kill()
    if not project.runs:
        assert project.processes == {}
        return
    (left,) = project.runs
    recorded = project.recorded
    done = project.command("attach", left.run_id)
    if b'"run.started"' not in recorded:
        assert done.code == 2, done.stderr
        project.check_nothing_is_left(looked=True)
    elif b'"attempt.started"' not in recorded:
        project.check_reports(done, 6)
        assert "before it started codex" in left.run_json["reason"]
        project.check_nothing_is_left(looked=True)
    elif done.code == 6:
        # Killed while it handed the job over. No codex has run.
        assert left.run_json["failure"] == "never-started"
        project.check_reports(done, 6)
        assert service.responses == []
        project.check_nothing_is_left(looked=True)
    else:
        project.check_reports(done, 0)
        project.check_undisturbed(left)
        assert [event["attached"] for event in left.of_kind("attempt.started")][:1] == [False]
        project.check_nothing_is_left(looked=True)


_CRASH = """
import os, signal
number, how = os.environ["CRASH"].split(":")
real, seen = os.write, 0

def write(fd, data):
    global seen
    if os.readlink(f"/proc/self/fd/{fd}").endswith((".jsonl", "stderr.log")):
        seen += 1
        if seen == int(number):
            if how != "before":
                real(fd, bytes(data)[: len(data) // 2 if how == "torn" else None])
            os.kill(os.getpid(), signal.SIGKILL)
    return real(fd, data)

os.write = write
"""


@pytest.mark.parametrize("number", range(4, 22, 2))
def test_killed_at_each_write(project, number):
    """Not by the clock but by the runner's own writes: before one, in the middle of it, right after it."""
    crash = project.scratch / "crash"
    crash.mkdir()
    (crash / "sitecustomize.py").write_text(_CRASH)
    python = project.environ.get("PYTHONPATH", "")
    project.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(crash), python]))
    project.environ["CRASH"] = f"{number}:{('before', 'torn', 'after')[number % 3]}"
    project.configure(prompt="SCN:command", sandbox="danger-full-access")
    done = project.run()
    assert done.code in {-signal.SIGKILL, 0}
    project.environ["PYTHONPATH"] = python
    if done.code != 0:
        done = project.command("attach", done.run.run_id)
    project.check_reports(done, 0)
    project.check_undisturbed(done.run)
    project.check_nothing_is_left(looked=True)


def test_killed_again_and_again(project, service):
    service.scenario("steps", _steps)
    project.configure(prompt="SCN:steps:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until(project.host_run)
    (left,) = project.runs
    for delay in (0.5, 0.6, 0.7, 0.5):
        running.kill()
        running = project.start("attach", left.run_id)
        time.sleep(delay)
    done = running.wait()
    project.check_reports(done, 0)
    project.check_undisturbed(left)
    project.check_nothing_is_left(looked=True)


def test_a_run_that_is_over_can_be_attached_to_again(project):
    first = project.run()
    before = first.run.records
    done = project.command("attach", first.run.run_id)
    project.check_reports(done, 0)
    assert done.run.records == before


def test_two_runners_never_follow_one_run(project):
    project.configure(prompt="SCN:slow:2", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until(project.host_run)
    done = project.command("attach", project.runs[0].run_id)
    assert done.code == 14
    assert f"the runner {running.process.pid} on {os.uname().nodename}, last" in done.stderr
    project.check_reports(running.wait(), 0)
    project.check_nothing_is_left(looked=True)


def test_attaching_without_the_secrets_is_refused(project):
    """What codex prints from now on could not be kept clean."""
    project.configure(prompt="SCN:slow:2", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until(project.host_run)
    running.kill()
    (left,) = project.runs
    (name,) = [name for name in project.environ if name.startswith("CODEX_RUNNER_CODEX__ENV__")]
    key = project.environ.pop(name)
    done = project.command("attach", left.run_id)
    assert done.code == 4
    assert "SCRIPTED_MODEL_KEY" in done.stderr
    project.environ[name] = key
    project.check_reports(project.command("attach", left.run_id), 0)
    project.check_undisturbed(left)
    project.check_nothing_is_left(looked=True)


def test_an_agent_that_nobody_attaches_to_is_ended(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access", orphan_timeout="3s")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.kill()
    began = time.monotonic()
    wait_for(lambda: project.processes == {})
    assert time.monotonic() - began > 2
    (left,) = project.runs
    done = project.command("attach", left.run_id)
    project.check_reports(done, 6)
    assert left.run_json["failure"] == "orphaned"
    assert "orphan_timeout" in left.run_json["reason"]
    project.check_nothing_is_left(looked=True)


def supervisor(project):
    return int((project.host_run() / "attempts" / "1" / "pid").read_text().split()[2])


@pytest.mark.parametrize("sandbox", ["danger-full-access", "workspace-write"])
def test_a_supervisor_that_is_killed_is_told_and_leaves_nothing(project, sandbox):
    project.configure(prompt="SCN:long_command:300", sandbox=sandbox)
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    os.kill(supervisor(project), signal.SIGKILL)
    done = running.wait()
    run = project.check_reports(done, 6)
    assert run.run_json["failure"] == "lost"
    assert "supervisor" in run.run_json["reason"]
    assert run.codex == project.witness.printed(run.run_id)
    # The supervisor's ticker outlives it by a second at the most.
    project.check_nothing_is_left(grace=2, looked=True)


def test_runner_and_supervisor_are_both_killed(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.kill()
    os.kill(supervisor(project), signal.SIGKILL)
    wait_for(lambda: project.processes == {})
    (left,) = project.runs
    done = project.command("attach", left.run_id)
    project.check_reports(done, 6)
    assert left.run_json["failure"] == "lost"
    # a shell that watched over a command ends a moment after its runner
    project.check_nothing_is_left(grace=5, looked=True)


@pytest.mark.parametrize("milliseconds", [0, 6, 12, 25, 50, 90])
def test_killed_while_it_hands_the_job_over(project, service, milliseconds):
    project.configure(prompt="SCN:slow:1", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until(lambda: b'"attempt.started"' in project.recorded)
    time.sleep(milliseconds / 1000)
    running.kill()
    (left,) = project.runs
    done = project.command("attach", left.run_id)
    if done.code == 6:
        assert left.run_json["failure"] == "never-started"
        project.check_reports(done, 6)
        time.sleep(1)
        assert service.responses == []
    else:
        project.check_reports(done, 0)
        project.check_undisturbed(left)
    project.check_nothing_is_left(looked=True)
