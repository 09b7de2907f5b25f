"""Two runners of one run: one of them has its claim, follows it, runs its checks and judges it; the other does not."""

import os
import re
import signal

import pytest
from support.proxy import Proxy
from support.runs import JOB, wait_for

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

NO_REPORTS = ("junit.xml", "summary.md", "report.html", "manifest.json")

# What a check does: it says that it has begun, waits for the word to end, and says that it has ended.
CHECK = "echo begun $$ >>'{0}/log'; while [ ! -e '{0}/go' ]; do sleep 0.05; done; echo ended $$ >>'{0}/log'"


def quick(project, seconds=3):
    """A claim is free after so many seconds instead of a minute."""
    project.environ["CODEX_RUNNER_CLAIM_PACE"] = f"0.5/{seconds}"


def said(project, word):
    log = project.scratch / "log"
    return log.read_text().count(word) if log.exists() else 0


def checked(project, **job):
    checks = [{"name": name, "run": CHECK.format(project.scratch)} for name in ("first", "second")]
    project.configure(sandbox="workspace-write", checks=checks, **job)
    quick(project)


def attach(project, run_id, host):
    """Attach until that is not refused any more."""
    events = project.out / run_id / "events.jsonl"
    while True:
        running = project.start("attach", run_id, "--host", host)
        wait_for(lambda running=running: events.exists() or running.process.poll() is not None, 60)
        if events.exists():
            return running
        done = running.wait()
        assert done.code == 14, done.stderr
        assert re.search(r"is held by the runner \d+ on \S+ for \S+, renewed \S+ ago", done.stderr)


def check_out(running, left, *, by="the runner"):
    """It has started nothing more and reports nothing, but its log says why."""
    done = running.wait()
    assert done.code == 6, done.stderr
    assert f"{left.run_id} was taken over by {by}" in done.stderr
    assert [name for name in NO_REPORTS if (left.path / name).exists()] == []
    assert left.run_json["exit_code"] is None
    assert left.of_kind("run.ended") == []
    assert left.events[-2]["code"] == "taken-over"


def stopped_in_its_checks(project, host):
    running = project.start("run", JOB)
    running.until(lambda: said(project, "begun") == 1)
    (left,) = project.runs
    running.signal(signal.SIGSTOP)
    return running, left


def check_one_set(project, running, left, attached, *, late):
    """The first runner wakes while the second one's checks run, or so `late` that all is over."""
    winner = f"the runner {attached.process.pid} on {os.uname().nodename}"
    attached.until(lambda: said(project, "begun") == 2)
    if not late:
        running.signal(signal.SIGCONT)
        check_out(running, left, by=f"{winner} for ")
    (project.scratch / "go").touch()
    done = attached.wait()
    if late:
        running.signal(signal.SIGCONT)
        check_out(running, left, by=winner)
    judged = project.check_reports(done, 0)
    assert (said(project, "begun"), said(project, "ended")) == (3, 2), "the second set of checks is the only whole one"
    assert judged.cases["first"] is judged.cases["second"] is None
    assert project.command("attach", left.run_id, "-o", left.path.parent).code == 6
    assert left.of_kind("run.ended") == []


def test_a_runner_that_is_stopped_in_its_checks(far):
    """By SIGSTOP, on a host: another machine goes on, and when the first runner wakes, its run is another's."""
    checked(far)
    running, left = stopped_in_its_checks(far, "devbox")
    far.go_elsewhere()
    quick(far)
    check_one_set(far, running, left, attach(far, left.run_id, "devbox"), late=False)
    far.check_nothing_is_left()


def test_a_runner_here_that_is_stopped_in_its_checks(project):
    checked(project)
    running, left = stopped_in_its_checks(project, "local")
    refused = project.command("attach", left.run_id)
    assert refused.code == 14, "no other runner may write its folder while it lives"
    assert f"the runner {running.process.pid} on {os.uname().nodename}, last" in refused.stderr
    project.out = project.scratch / "elsewhere"
    project.environ["CODEX_RUNNER_OUTPUT_DIR"] = str(project.out)
    check_one_set(project, running, left, attach(project, left.run_id, "local"), late=True)
    project.check_nothing_is_left()


def test_a_runner_whose_line_is_dead_for_so_long(far):
    """It finds the run taken over when the line is back, and leaves the agent to its new runner."""
    with Proxy(far.sshd.port) as proxy:
        direct = far.ssh_config
        far.ssh_config = far.sshd.client_config(far.scratch / "proxied", proxy.port)
        far.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
        quick(far)
        running = far.start("run", JOB)
        running.until_command("sleep 300")
        (left,) = far.runs
        proxy.swallows = True
        far.ssh_config = direct
        far.go_elsewhere()
        text = (far.cwd / "codex-runner.toml").read_text()
        (far.cwd / "codex-runner.toml").write_text(text.replace(str(far.scratch / "proxied"), str(direct)))
        quick(far)
        attached = attach(far, left.run_id, "devbox")
        proxy.drop()
        proxy.swallows = False
        check_out(running, left)
    attached.until(lambda: any("sleep 300" in command for command in far.processes.values()))
    assert far.command("cancel", left.run_id, "--host", "devbox", "-o", far.scratch / "nowhere").code == 0
    run = far.check_reports(attached.wait(), 143)
    assert run.run_json["failure"] == "cancelled"
    far.check_nothing_is_left()


def test_of_three_that_attach_at_once_one_goes_on(far):
    far.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = far.start("run", JOB)
    running.until(far.host_run)
    (left,) = far.runs
    running.kill()
    places = [far.scratch / name for name in "abc"]
    three = [far.start("attach", left.run_id, "--host", "devbox", "-o", place) for place in places]
    wait_for(lambda: sum(each.process.poll() is not None for each in three) == 2, 60)
    assert far.command("cancel", left.run_id, "--host", "devbox", "-o", far.scratch / "nowhere").code == 0
    done = [each.wait() for each in three]
    assert sorted(each.code for each in done) == [14, 14, 143], [each.stderr for each in done]
    assert [place.exists() for place in places] == [each.code == 143 for each in done]


def test_another_machine_cancels_what_is_followed(far):
    far.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = far.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = far.runs
    far.go_elsewhere()
    assert far.command("cancel", left.run_id, "--host", "devbox").code == 0
    assert running.wait().code == 143
    assert far.runs == [], "the runner that follows writes the reports"
    assert left.run_json["failure"] == "cancelled"
    assert left.run_json["attempts"][0]["exit"]["stopped"] == "cancelled"
    assert (left.path / "junit.xml").exists()
    assert far.command("cancel", left.run_id, "--host", "devbox").code == 6
    far.check_nothing_is_left()


def test_no_other_runner_has_anything_to_do_with_a_run_in_its_checks(far):
    """Long ones: the claim is renewed meanwhile."""
    checked(far)
    quick(far, 60)
    running = far.start("run", JOB)
    running.until(lambda: said(far, "begun") == 1)
    (left,) = far.runs
    renewed = far.host_run() / "claims" / "1.beat"
    since = int(renewed.read_text())
    running.until(lambda: int(renewed.read_text()) > since + 3)
    far.go_elsewhere()
    done = far.command("attach", left.run_id, "--host", "devbox")
    assert done.code == 14
    assert f"is held by the runner {running.process.pid} on {os.uname().nodename} for" in done.stderr
    (far.scratch / "go").touch()
    assert running.wait().code == 0
    assert said(far, "ended") == 2
    assert far.command("attach", left.run_id, "--host", "devbox").code == 6, "it has been judged"
    far.check_nothing_is_left()


def test_a_claim_is_taken_on_a_full_disk(there, disk):
    """In the room that the first one has left for it; what the disk has done to the agent can then be told."""
    there.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = there.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = there.runs
    running.kill()
    disk(0)
    there.check_reports(there.command("attach", left.run_id), 6)
    assert left.run_json["failure"] == "disk-full"
