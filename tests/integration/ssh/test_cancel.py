"""Cancelling a run that is in its checks, by whoever follows it, or comes to follow it: here, and on a host."""

import pytest
from support.far import FarProject
from support.runs import JOB

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

# A check that says that it has begun, and never ends.
CHECK = "echo begun >>'{0}/log'; sleep 300"


def checked(project):
    project.environ["CODEX_RUNNER_CLAIM_PACE"] = "0.5/60"
    project.configure(checks=[{"name": "it", "run": CHECK.format(project.scratch)}])


def in_its_check(project):
    log = project.scratch / "log"
    running = project.start("run", JOB)
    running.until(log.exists)
    (left,) = project.runs
    return running, left


def check_cancelled(project, done):
    run = project.check_reports(done, 143)
    assert run.run_json["failure"] == "cancelled"
    assert (project.scratch / "log").read_text() == "begun\n"
    project.check_nothing_is_left()


def test_a_run_that_is_in_its_checks_and_that_nobody_follows(there):
    """Whoever attaches ends it: no check is run again."""
    checked(there)
    running, left = in_its_check(there)
    running.kill()
    assert there.command("cancel", left.run_id).code == 0
    check_cancelled(there, there.command("attach", left.run_id))


def test_another_machine_cancels_a_run_that_is_in_its_checks(codex, codex_home, service, tmp_path):
    (tmp_path / "scratch").mkdir()
    project = FarProject(tmp_path / "scratch", codex_home, codex, service)
    try:
        checked(project)
        running, left = in_its_check(project)
        project.go_elsewhere()
        assert project.command("cancel", left.run_id, "--host", "devbox").code == 0
        assert running.wait().code == 143
        assert left.run_json["failure"] == "cancelled"
        assert project.command("cancel", left.run_id, "--host", "devbox").code == 6
        project.check_nothing_is_left()
    finally:
        project.close()
