"""No orphan process: ways for a program of the agent's, or of the runner's own, to outlive a run."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import JOB, processes_with, wait_for
from support.ways import ways

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def kill_all(found):
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


# --- what an agent leaves --------------------------------------------------------------------------------------------

# The command, and what `ps -eo stat=,args=` shows of what it leaves.
LEFT = {
    "stopped, in a session of its own": ("setsid sh -c 'kill -STOP $$; sleep 8600' </dev/null >/dev/null 2>&1 &", "^T"),
    "in namespaces of its own": (
        "setsid unshare -Urpf --mount-proc sleep 8601 </dev/null >/dev/null 2>&1 &",
        " sleep 8601$",
    ),
    "without a network, in a loop of children": (
        "unshare -Urn setsid sh -c 'trap \"\" TERM INT HUP; while :; do sleep 8602; done' </dev/null >/dev/null 2>&1 &",
        " sleep 8602$",
    ),
    "with its folder in the run's own": (
        '(cd "$(ls -d $RUNS/*/home)" && setsid sleep 8603 </dev/null >/dev/null 2>&1 &)',
        " sleep 8603$",
    ),
    "traced by another one": ("setsid strace -o /dev/null -f sleep 8604 </dev/null >/dev/null 2>&1 &", " sleep 8604$"),
    "behind a pipe that nobody reads": (
        "setsid sh -c 'mkfifo p; sleep 8605 | cat >p' </dev/null >/dev/null 2>&1 &",
        " sleep 8605$",
    ),
    "a daemon by nohup and two forks": (
        "(nohup setsid sh -c '(sleep 8606 &) ' </dev/null >/dev/null 2>&1 &)",
        " sleep 8606$",
    ),
    "with no environment and another title": (
        "(env -i setsid perl -e '$0=\"kworker/0:1\"; fork || fork || sleep 8607' </dev/null >/dev/null 2>&1 &)",
        " kworker/0:1 *$",
    ),
    "a terminal's": ("setsid script -qc 'exec sleep 8608' /dev/null </dev/null >/dev/null 2>&1 &", " sleep 8608$"),
}


@pytest.mark.parametrize("way", ways(LEFT, {"in namespaces of its own"}))
def test_the_agent_leaves_a_process(there, service, way):
    """Without a sandbox, the agent leaves a process that hides in its own way: it is ended, and that is said."""
    command, shown = LEFT[way]
    command = command.replace("$RUNS", str(there.runs_folder))
    look = (
        f"for n in $(seq 90); do ps -eo stat=,args= | grep -q '{shown}' && echo it is there && break; sleep 0.1; done"
    )
    service.scenario("leaves", script(shell(f"{command}\n{look}"), message("left")))
    there.configure(prompt="SCN:leaves", sandbox="danger-full-access")
    run = there.check_reports(there.run(), 0)
    assert "it is there" in service.responses[-1].outputs[0], "the driver left nothing"
    assert run.guard("process sweep")["passed"]
    found = there.processes
    for number in range(8600, 8609):
        found |= processes_with(f"sleep\0{number}\0")
    found |= processes_with("kworker/0:1\0")
    try:
        assert found == {}
    finally:
        kill_all(found)
    there.check_nothing_is_left()


# --- what the runner itself leaves, when it is killed -----------------------------------------------------------------

HANGS = {
    "--version": '--version) sleep 611; exit;; "features list") exit;;',
    "features list": '--version) echo codex-cli 0.169.0; exit;; "features list") sleep 612; exit;;',
    "sandbox": "--version) echo codex-cli 0.169.0; exit;; 'features list') exit;; sandbox*) sleep 613; exit;;",
}


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("way", HANGS)
def test_killed_while_codex_is_looked_at(there, way, number):
    """codex hangs in what it is asked beforehand, and the runner is ended then: nothing of either is left."""
    there.fake_codex("exit 0", sandbox="workspace-write")
    fake = there.scratch / "fake-codex"
    fake.write_text(f"#!/bin/sh\ncase $* in {HANGS[way]} esac\nexit 0\n")
    running = there.start("run", JOB)
    hanging = re.search(r"sleep (61\d)", HANGS[way])[1]
    running.until_command(f"sleep {hanging}")
    running.signal(number)
    running.wait()
    try:
        wait_for(lambda: not there.processes)
    finally:
        kill_all(there.processes)


@pytest.mark.thorough
@pytest.mark.parametrize("tool", ["git", "readlink", "mktemp"])
def test_killed_while_a_tool_hangs(project, tool):
    """A tool of the system hangs under the runner, which is killed: the tool goes with it."""
    folder = project.scratch / "bin"
    folder.mkdir()
    (folder / tool).write_text("#!/bin/sh\nsleep 614\n")
    (folder / tool).chmod(0o755)
    project.configure(sandbox="workspace-write", allowed_paths=["x"])
    project.git_init()
    project.environ["PATH"] = f"{folder}:{project.environ['PATH']}"
    running = project.start("run", JOB)
    running.until_command("sleep 614")
    running.kill()
    try:
        wait_for(lambda: not project.processes)
    finally:
        kill_all(project.processes)


@pytest.mark.thorough
def test_a_runner_that_is_stopped_for_longer_than_its_agent_may_be_alone(there):
    """SIGSTOP for the runner, not KILL: its connection lives, and says nothing. The agent is ended in time, once woken
    the runner says so, and nothing is left.
    """
    there.configure(prompt="SCN:long_command:300", sandbox="danger-full-access", orphan_timeout="3s")
    running = there.start("run", JOB)
    running.until_command("sleep 300")
    running.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: not any("sleep 300" in line for line in there.processes.values()), 60)
    finally:
        running.signal(signal.SIGCONT)
    done = running.wait()
    there.check_reports(done, done.code)
    assert done.code not in {0, 70}
    assert done.run.run_json["failure"] == "orphaned"
    there.check_nothing_is_left()


LIMITS = {
    "files": "ulimit -n 40",
    "a file's size": "ulimit -f 40",
    "processor time": "ulimit -t 1",
    "memory": "ulimit -v 600000",
    "a stack": "ulimit -s 128",
    "cores": "ulimit -c 0",
    "pending signals": "ulimit -i 0",
    "locked memory": "ulimit -l 0",
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", LIMITS)
def test_a_limit_of_the_system(project, service, way):
    """A limit that the shell before has set: whatever comes of it, it is of the contract, and nothing is left."""
    project.prefix = ["bash", "-c", f'{LIMITS[way]}; exec "$@"', "bash"]
    big = shell("head -c 300000 /dev/zero | tr '\\0' x; sleep 0.2", wait=20)
    service.scenario("big", script(big, message("done")))
    project.configure(prompt="SCN:big", sandbox="danger-full-access")
    running = project.start("run", JOB)
    done = running.wait()
    assert done.code in {0, 3, 6, 7, 9, 1}, (done.code, done.stderr[-2000:])
    for run in done.runs:
        if (run.path / "run.json").exists():
            assert run.run_json["exit_code"] == done.code
    left = project.processes
    if left:
        wait_for(lambda: not project.processes)


# --- what the agent does to those who watch it -----------------------------------------------------------------------


def attacks_the_ticker(there, service, number):
    """Without a sandbox, the agent kills or stops the loop that keeps the time: the run ends, and nothing is left."""
    attack = (
        "sup=$(cut -d' ' -f3 $RUNS/*/attempts/1/pid); codex=$(cut -d' ' -f1 $RUNS/*/attempts/1/codex.pid); "
        "for p in $(cat /proc/$sup/task/*/children); do [ $p = $codex ] || kill -" + number + " $p; done; echo done"
    ).replace("$RUNS", str(there.runs_folder))
    service.scenario("attack", script(shell(attack), shell("sleep 1"), message("attacked")))
    there.configure(prompt="SCN:attack", sandbox="danger-full-access")
    running = there.start("run", JOB)
    done = running.wait()
    try:
        there.check_reports(done, done.code)
        wait_for(lambda: not there.processes)
    finally:
        kill_all(there.processes)


@pytest.mark.thorough
def test_the_agent_kills_the_ticker(there, service):
    """SIGKILL."""
    attacks_the_ticker(there, service, "KILL")


# --- ways that break it -----------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_agent_stops_the_ticker(there, service):
    """SIGSTOP: the supervisor waits for it for ever."""
    attacks_the_ticker(there, service, "STOP")


@pytest.mark.thorough
def test_the_agent_stops_the_supervisor(there, service):
    """Without a sandbox, the agent stops the supervisor (SIGSTOP): the run is red, and no process is left for ever."""
    attack = f"kill -STOP $(cut -d' ' -f3 {there.runs_folder}/*/attempts/1/pid); echo stopped"
    service.scenario("attack", script(shell(attack), message("attacked")))
    there.configure(prompt="SCN:attack", sandbox="danger-full-access", timeout="5s", orphan_timeout="5s")
    running = there.start("run", JOB)
    done = running.wait()
    try:
        assert done.code != 0 or there.processes == {}
        wait_for(lambda: not there.processes)
    finally:
        kill_all(there.processes)


# A build daemon that was running before. It runs what somebody sends it, with the sender's environment.
DAEMON = """
import os, socket, subprocess, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    connection, _ = server.accept()
    environment = dict(pair.split("=", 1) for pair in connection.makefile().read().split("\\0") if "=" in pair)
    subprocess.Popen(["sleep", "615"], env=environment, start_new_session=True)
    connection.close()
"""


@pytest.mark.thorough
def test_a_worker_that_a_daemon_starts_for_the_agent(there, service):
    """A build daemon of the user's runs already. Without a sandbox, the agent has it start a worker in its own
    environment, the run's mark included: the worker is the run's, and is ended with it, or it is told.
    """
    name = str(there.scratch / "d")[-90:] if len(str(there.scratch)) < 90 else f"/tmp/adv-{os.getpid()}"
    daemon = subprocess.Popen(["env", "-i", sys.executable, "-c", DAEMON, name], cwd="/")
    try:
        wait_for(lambda: Path(name).exists())
        send = (
            f'python3 -c \'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect("{name}"); '
            's.send("\\0".join(f"{k}={v}" for k, v in os.environ.items()).encode())\'; sleep 0.3; echo sent'
        )
        service.scenario("asks", script(shell(send), message("asked")))
        there.configure(prompt="SCN:asks", sandbox="danger-full-access")
        done = there.run()
        left = processes_with(f"CODEX_RUNNER_MARK={done.run.run_id}/1/")
        told = not done.run.guard("process sweep")["passed"]
        kill_all(left)
        assert left == {} or told, f"the sweep says that nothing is left, and there is {left}"
    finally:
        daemon.kill()
        daemon.wait()
        Path(name).unlink(missing_ok=True)
