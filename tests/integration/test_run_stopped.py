"""Runs that somebody or something ends: signals, `cancel`, and every watchdog, each with real commands running."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.child import COMPLETED, MESSAGE, STARTED, THREAD
from support.launches import CHILD
from support.runs import JOB, RUNNER, wait_for

from codex_runner.demo.model_wire import message, reply, shell

pytestmark = pytest.mark.needs_codex

SANDBOXES = ["danger-full-access", "workspace-write"]


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize(("number", "code", "failure"), [(signal.SIGINT, 130, "interrupted"), (15, 143, "terminated")])
def test_a_signal_ends_everything(project, sandbox, number, code, failure):
    project.configure(prompt="SCN:long_command:300", sandbox=sandbox)
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.signal(number)
    done = running.wait()
    run = project.check_reports(done, code)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == failure
    assert run.run_json["attempts"][0]["exit"]["stopped"] == failure
    assert run.guard("process sweep")["passed"]
    assert run.codex == project.witness.printed(run.run_id)


def test_a_closed_terminal_ends_everything(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.signal(signal.SIGHUP)
    run = project.check_reports(running.wait(), 129)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == "hung-up"
    assert run.run_json["attempts"][0]["exit"]["stopped"] == "hung-up"


def test_a_hangup_that_was_ignored_from_the_start_stays_ignored(project):
    project.prefix = ["nohup"]
    go_on = project.scratch / "go-on"
    reply = "\n".join(f"echo '{line}'" for line in (THREAD, STARTED, MESSAGE, COMPLETED))
    project.fake_codex(f"until [ -e {go_on} ]; do sleep 0.1; done\n{reply}", expect_message=True)
    running = project.start("run", JOB)
    running.until(project.host_run)
    running.signal(signal.SIGHUP)
    running.until(lambda: b"attempt.started" in project.recorded)
    go_on.touch()
    project.check_reports(running.wait(), 0)
    project.check_nothing_is_left()


def test_more_signals_do_not_lose_the_reports(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        running.signal(number)
        time.sleep(0.05)
    done = running.wait()
    # The first one, but for a process that was not awake before the second: then the kernel has it see that one first.
    assert done.code in {130, 143}
    run = project.check_reports(done, done.code)
    project.check_nothing_is_left()
    assert len(run.of_kind("stop.requested")) == 1


@pytest.mark.parametrize("milliseconds", [150, 250, 350, 450, 600, 800])
def test_a_signal_at_any_time(project, milliseconds):
    """Before there is a run, while it is handed over, while codex starts."""
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    time.sleep(milliseconds / 1000)
    running.signal(signal.SIGTERM)
    done = running.wait()
    # Before Python has got far enough, a signal ends it as it ends anything; a little later it has begun no run yet.
    assert done.code in {143, -signal.SIGTERM}
    if done.runs:
        project.check_reports(done, 143)
    project.check_nothing_is_left()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_a_check(project, number, code):
    check = {"name": "slow", "run": "sleep 300 & sleep 300"}
    project.configure(checks=[check, {"name": "never", "run": "touch never"}])
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.signal(number)
    done = running.wait()
    run = project.check_reports(done, code)
    project.check_nothing_is_left()
    assert not (project.cwd / "never").exists()
    assert [kind["name"] for kind in run.of_kind("check.started")] == ["slow"]
    assert run.run_json["attempts"][0]["ending"]["failure"] is None, "the agent had done its work"
    assert run.cases["never"] == "skipped"


def test_what_a_check_leaves_is_ended_and_told(project):
    project.configure(checks=[{"name": "serving", "run": "setsid sleep 302 & echo up"}])
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert "1 process that this command left behind was ended: sleep" in run.warnings["left-behind"]


def test_what_a_check_left_goes_with_a_killed_runner(project):
    project.configure(checks=[{"name": "slow", "run": "setsid sleep 301 & sleep 300"}])
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.until_command("sleep 301")
    running.kill()
    wait_for(lambda: not project.processes)


def test_cancel(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = project.runs
    cancelled = project.command("cancel", left.run_id)
    assert cancelled.code == 0
    done = running.wait()
    project.check_reports(done, 143)
    project.check_nothing_is_left()
    assert left.run_json["failure"] == "cancelled"
    assert project.command("cancel", left.run_id).code == 2, "there is nothing left to cancel"


def test_cancel_where_nobody_follows(project):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.kill()
    (left,) = project.runs
    assert project.command("cancel", left.run_id).code == 0
    project.check_reports(project.command("attach", left.run_id), 143)
    project.check_nothing_is_left()
    assert left.run_json["failure"] == "cancelled"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_while_attached(project, number, code):
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    running.kill()
    (left,) = project.runs
    attached = project.start("attach", left.run_id)
    attached.until(lambda: b'"attached":true' in project.recorded)
    attached.signal(number)
    project.check_reports(attached.wait(), code)
    project.check_nothing_is_left()


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize(
    ("scenario", "limits", "code", "failure"),
    [
        ("long_command:300", {"timeout": "3s"}, 9, "timeout"),
        ("silent:300", {"stall_timeout": "2s"}, 10, "stalled"),
        ("long_command:300", {"command_timeout": "5s", "stall_timeout": "4s"}, 9, "command-timeout"),
    ],
)
def test_watchdogs(project, sandbox, scenario, limits, code, failure):
    project.configure(prompt=f"SCN:{scenario}", sandbox=sandbox, **limits)
    done = project.run()
    run = project.check_reports(done, code)
    project.check_nothing_is_left()
    document = run.run_json
    assert document["failure"] == failure
    assert next(iter(limits)) in document["reason"], "the key to turn is named"
    assert document["attempts"][0]["exit"]["stopped"] == failure
    assert run.cases["agent"] in {"failure", "error"}
    assert run.codex == project.witness.printed(run.run_id)


def test_a_quiet_command_is_not_a_stall(project, service):
    def quiet(step, request):
        return reply(shell("sleep 4")) if step == 0 else reply(message("done"))

    service.scenario("quiet", quiet)
    project.configure(prompt="SCN:quiet", sandbox="danger-full-access", stall_timeout="2s")
    project.check_reports(project.run(), 0)


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("scenario", ["background:300", "detached:300"])
def test_what_the_agent_leaves_behind_is_ended(project, sandbox, scenario):
    project.configure(prompt=f"SCN:{scenario}", sandbox=sandbox)
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    if (sandbox, scenario) == ("danger-full-access", "detached:300"):
        assert run.run_json["attempts"][0]["exit"]["killed"] >= 1
        assert "left behind" in run.guard("process sweep")["message"]


def test_a_helper_of_a_codex_without_a_supervisor_is_ended(project):
    """Of the look at codex, and of the proof of its sandbox. TERM does not end it, and it carries no mark."""
    reply = "\n".join(f"echo '{line}'" for line in (THREAD, STARTED, MESSAGE, COMPLETED))
    project.fake_codex(reply)
    fake = project.scratch / "fake-codex"
    helper = f"{sys.executable} {CHILD} mute --codex-run-as-fs-helper </dev/null >/dev/null 2>&1 &"
    path = "PATH=$CODEX_HOME/tmp/arg0-linux/codex-arg0:/usr/bin:/bin"
    starts = f"case $* in 'features list' | sandbox*) setsid env -i HOME=$HOME {path} {helper}\nesac\n"
    fake.write_text(fake.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{starts}"))
    project.check_reports(project.run(), 0)
    project.check_nothing_is_left(grace=5)


@pytest.mark.parametrize("code", [1, 143])
def test_a_signal_is_not_green_if_the_result_is_not_printed(project, code):
    """stdout is full, or has no reader as the log has none: the last words wait, until a signal ends the process."""
    lines = "\n".join(f"echo '{line}'" for line in (THREAD, STARTED, MESSAGE, COMPLETED))
    project.fake_codex(lines, expect_message=True)
    reading, writing = os.pipe()
    with Path("/dev/full").open("wb") as full, stuffed(writing):
        stdout = full if code == 1 else writing
        process = subprocess.Popen(
            [RUNNER, "run", JOB],
            cwd=project.cwd,
            env=project.environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=writing,
        )
    try:
        wait_for(lambda: project.runs and (project.runs[0].path / "run.json").exists())
        wait_for(lambda: project.runs[0].run_json["exit_code"] == int(code == 1))
        # It has nothing left to do but to say so. A signal before that asks the run to stop, and changes nothing.
        wait_for(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None)
        assert process.returncode == code
    finally:
        process.kill()
        os.close(reading)


@contextlib.contextmanager
def stuffed(writing):
    """Fill a pipe up, and close this end of it afterwards."""
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x" * 512):
            pass
    os.set_blocking(writing, True)
    yield
    os.close(writing)


@pytest.mark.parametrize("full", [False, True])
def test_a_log_that_nobody_reads_holds_nothing_up(project, full):
    """Neither the watchdogs nor a signal, be it the log or the last words that fill the pipe."""
    event = '{"type":"error","message":"' + "x" * 100 + '"}'
    lines = 2000 if full else 1
    project.fake_codex(f"yes '{event}' | head -n {lines}; sleep 300", timeout="1s")
    reading, writing = os.pipe()
    if not full:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"x" * 512):
                pass
        os.read(reading, 4096)
        os.set_blocking(writing, True)
    process = subprocess.Popen(
        [RUNNER, "run", JOB],
        cwd=project.cwd,
        env=project.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
    )
    os.close(writing)
    try:
        wait_for(lambda: project.runs and (project.runs[0].path / "junit.xml").exists())
        time.sleep(1)  # it has nothing left to do but to say so
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 9
    finally:
        process.kill()
        os.close(reading)
    (run,) = project.runs
    assert run.run_json["failure"] == "timeout"
    assert "sink" in run.warnings
    project.check_nothing_is_left()
