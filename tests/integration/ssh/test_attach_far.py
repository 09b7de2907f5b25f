"""The runner is killed while it follows a run on another host; it goes on from its folder, or from another machine."""

import os
import shutil

import pytest
from support.far import HELLO, repository
from support.runs import JOB, Left

from codex_runner.codex.events import parse
from codex_runner.demo.model_wire import CutStream, message, reply, shell
from codex_runner.domain.event import to_json

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def start(project):
    """Start the job, and wait until codex runs there."""
    running = project.start("run", JOB)
    running.until(project.host_run)
    return running


def test_all_that_a_whole_job_leaves(far):
    """Checks, the patch and artifacts, as if the machine that began it had ended it."""
    far.configure(**HELLO)
    running = start(far)
    running.kill()
    (first,) = far.runs
    far.go_elsewhere()
    run = far.check_reports(far.command("attach", first.run_id, "--host", "devbox", "--json"), 0)
    far.check_nothing_is_left()
    assert run.cases["greeting"] is None
    assert (run.path / "artifacts" / "hello.txt").read_text() == "hello\nworld\n"
    assert "+hello\n+world\n" in (run.path / "artifacts" / "changes.patch").read_text()


@pytest.mark.one_case("last")
@pytest.mark.parametrize("kept", [False, True])
def test_a_workspace_of_its_own_is_gone_on_with_where_its_repository_is_not(far, kept):
    """The other machine has neither the repository nor the commit: the host has the workspace, and says how it was."""
    (far.cwd / ".gitignore").write_text("codex-runner.toml\ncodex-runner-out\n")
    repository(far.cwd)
    far.configure(**{**HELLO, "cwd": ".", "workspace": {"keep": "always"} if kept else {}})
    running = start(far)
    running.kill()
    (first,) = far.runs
    far.go_elsewhere()
    run = far.check_reports(far.command("attach", first.run_id, "--host", "devbox"), 0)
    top = far.state / "codex-runner" / "workspaces" / run.run_id
    assert top.exists() == kept
    shutil.rmtree(top, ignore_errors=True)
    far.check_nothing_is_left()
    made = run.run_json["workspace"]
    assert (made["path"], made["repo"], made["kept"]) == (str(top), str(far.scratch / "project"), kept)
    assert run.cases["greeting"] is None
    assert (run.path / "artifacts" / "hello.txt").read_text() == "hello\nworld\n"
    assert "+hello\n+world\n" in (run.path / "artifacts" / "changes.patch").read_text()


def test_every_attempt_comes_along(far, service):
    """The first attempt failed and the thread went on in a second one: both are brought here, each once."""

    def broken(step, request):
        if step == 0:
            return reply(message("begun"), shell("echo one; sleep 0.1"))
        if step == 1 and request.asked < 2:  # codex tries twice by itself
            return CutStream()
        if step == 1:
            return reply(message("again"), shell("echo two; sleep 2"))
        return reply(message("done"))

    service.scenario("broken", broken)
    far.configure(prompt="SCN:broken", sandbox="workspace-write", retry={"attempts": 2, "least": "1s"}, timeout="4m")
    running = far.start("run", JOB)
    running.until(lambda: b"echo two" in far.recorded)
    printed = [(far.host_run() / "attempts" / number / "stdout").open("rb") for number in "12"]
    running.kill()
    (first,) = far.runs
    far.go_elsewhere()
    run = far.check_reports(far.command("attach", first.run_id, "--host", "devbox"), 0)
    far.check_nothing_is_left()
    whole = b"".join(file.read() for file in printed)
    for file in printed:
        file.close()
    assert run.codex == whole
    assert run.from_codex == [to_json(parse(line)) for line in whole.splitlines()]
    assert [event["number"] for event in run.of_kind("attempt.ended")] == [1, 2]
    assert run.of_kind("attempt.retry") == first.of_kind("attempt.retry")
    assert run.run_json["attempts"][0]["ending"]["failure"] == first.of_kind("attempt.ended")[0]["ending"]["failure"]


def test_two_runners_never_follow_one_run(far, service):
    go = far.scratch / "go"
    work, last = reply(shell("sleep 0.2")), reply(message("done"))
    service.scenario("until_told", lambda _step, _request: last if go.exists() else work)
    far.configure(prompt="SCN:until_told", sandbox="danger-full-access")
    running = start(far)
    (first,) = far.runs
    far.go_elsewhere()
    done = far.command("attach", first.run_id, "--host", "devbox")
    assert done.code == 14
    assert f"is held by the runner {running.process.pid} on {os.uname().nodename} for " in done.stderr
    assert done.runs == []
    go.touch()
    assert running.wait().code == 0
    done = far.command("attach", first.run_id, "--host", "devbox")
    assert done.code == 6
    assert "no run" in done.stderr
    far.check_nothing_is_left()


def test_without_the_secrets_nothing_is_touched(far):
    far.configure(prompt="SCN:slow:2", sandbox="danger-full-access")
    running = start(far)
    running.kill()
    (first,) = far.runs
    far.go_elsewhere()
    token = far.environ.pop("CODEX_ACCESS_TOKEN")
    done = far.command("attach", first.run_id, "--host", "devbox")
    assert done.code == 4
    assert "CODEX_ACCESS_TOKEN" in done.stderr
    assert done.runs == []
    far.environ["CODEX_ACCESS_TOKEN"] = token
    far.check_reports(far.command("attach", first.run_id, "--host", "devbox"), 0)
    far.check_nothing_is_left()


def test_cancelled_from_another_machine(far):
    far.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = start(far)
    running.kill()
    (first,) = far.runs
    far.go_elsewhere()
    assert far.command("cancel", first.run_id, "--host", "devbox").code == 0
    run = far.check_reports(far.command("attach", first.run_id, "--host", "devbox"), 143)
    far.check_nothing_is_left()
    assert run.run_json["failure"] == "cancelled"


def test_a_folder_that_is_lost(project):
    """The same where the run is on this machine."""
    project.configure(prompt="SCN:slow:2", sandbox="danger-full-access")
    running = project.start("run", JOB)
    running.until(project.host_run)
    running.kill()
    (first,) = project.runs
    shutil.rmtree(project.out)
    run = project.check_reports(project.command("attach", first.run_id, "--host", "local"), 0)
    project.check_undisturbed(run)
    project.check_nothing_is_left()
    assert project.command("attach", first.run_id, "--host", "devbox").code == 2
    assert Left(project.out / first.run_id).run_json["host"] == "local"
