"""Runs whose workspace is made for them, with the real codex: what is in it, what comes of it, and that it goes."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.far import repository
from support.runs import JOB, tree, wait_for

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", folder, *IDENTITY, *arguments], capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def job(there):
    """Write a job that works in a workspace of the project, which is a repository with a folder `docs` in it."""
    (there.cwd / ".gitignore").write_text("codex-runner.toml\n")
    (there.cwd / "docs").mkdir()
    (there.cwd / "docs" / "page").write_text("a page\n")
    repository(there.cwd)

    def configure(**more):
        there.configure(**{"cwd": "docs", "sandbox": "workspace-write", "workspace": {}, **more})

    configure()
    return configure


@pytest.fixture
def left(there):
    """What there is of workspaces on the host."""
    return lambda: [path for path in there.state.glob("codex-runner/workspaces/*") if path.exists()]


def test_a_whole_job_in_a_workspace_of_its_own(there, job, left):
    before = tree(there.cwd / ".git")
    job(
        prompt="SCN:patch_add",
        allowed_paths=["docs/**"],
        artifacts=["hello.txt"],
        checks=[{"name": "greeting", "run": "grep -q world hello.txt && test -f page && git log --oneline"}],
    )
    done = there.run()
    run = there.check_reports(done, 0)
    there.check_nothing_is_left()
    assert left() == []
    made = run.run_json["workspace"]
    head = git(there.cwd, "rev-parse", "HEAD")
    top = there.state / "codex-runner" / "workspaces" / run.run_id
    assert made == {
        "path": str(top), "cwd": str(top / "docs"), "commit": head, "repo": str(there.cwd), "ref": "HEAD", "kept": False
    }  # fmt: skip
    assert run.run_json["commit"] == head
    assert (run.path / "artifacts" / "hello.txt").read_text() == "hello\nworld\n"
    patch = (run.path / "artifacts" / "changes.patch").read_text()
    assert patch.startswith("diff --git a/docs/hello.txt b/docs/hello.txt\n")
    assert run.cases["path rules"] is None
    assert "first" in run.run_json["checks"][-1]["output"]
    assert head[:12] in done.stderr
    assert not (there.cwd / "docs" / "hello.txt").exists()
    assert tree(there.cwd / ".git") == before, "the repository itself is only read"
    git(there.cwd, "apply", "--check", str(run.path / "artifacts" / "changes.patch"))


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
def test_the_agent_sees_its_workspace_and_no_run(there, job, service, sandbox):
    """The run directories beside it are hidden from the agent's commands, whatever its sandbox."""
    look = "cat page; git log --format=%s; git status --short; ls ../../../runs/* 2>&1; touch ../.git/x 2>&1; pwd"
    service.scenario("look", script(shell(look), message("looked")))
    job(prompt="SCN:look", sandbox=sandbox)
    run = there.check_reports(there.run(), 0)
    (command,) = [event["item"] for event in run.of_kind("item.completed") if event["item"]["kind"].startswith("comm")]
    page, subject, *_, pwd = command["output"].splitlines()
    assert (page, subject, pwd) == ("a page", "first", run.run_json["workspace"]["cwd"])
    assert "attempts" not in command["output"]
    assert "Read-only file system" in command["output"]


def test_two_runs_at_once_never_meet(there, job, left):
    job(prompt="SCN:long_command:3")
    first, second = there.start("run", JOB), there.start("run", JOB)
    wait_for(lambda: len([path for path in left() if not path.name.startswith(".")]) == 2)
    (left()[0] / "docs" / "page").write_text("changed\n")
    assert (left()[1] / "docs" / "page").read_text() == "a page\n"
    assert (first.wait().code, second.wait().code) == (0, 0)
    assert left() == []
    there.check_nothing_is_left()


@pytest.mark.parametrize(
    ("keep", "passes", "stays"),
    [("never", False, False), ("on-failure", False, True), ("on-failure", True, False), ("always", True, True)],
)
def test_it_stays_when_that_is_wanted(there, job, left, keep, passes, stays):
    job(
        prompt="SCN:patch_add",
        workspace={"keep": keep},
        checks=[{"name": "whole", "run": "test -f hello.txt" if passes else "false"}],
    )
    done = there.run()
    run = there.check_reports(done, int(not passes))
    there.check_nothing_is_left()
    path = there.state / "codex-runner" / "workspaces" / run.run_id
    assert left() == ([path] if stays else [])
    assert run.run_json["workspace"]["kept"] == stays
    assert (str(path) in (run.path / "summary.md").read_text()) == stays
    assert (f"workspace kept: {path}" in (run.path / "report.html").read_text()) == stays
    assert (f"stays on {there.host} for 7 days: {path}" in done.stderr) == stays
    if stays:
        assert (path / "docs" / "hello.txt").exists()
        git(path, "status")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_when_the_run_is_stopped(there, job, left, number):
    job(prompt="SCN:long_command:60")
    running = there.start("run", JOB)
    running.until(lambda: b"item.started" in there.recorded)
    assert len(left()) == 1
    running.signal(number)
    there.check_reports(running.wait(), 128 + number)
    there.check_nothing_is_left()
    assert left() == []


def test_it_goes_when_the_run_is_cancelled(there, job, left):
    job(prompt="SCN:long_command:60", workspace={"keep": "on-failure"})
    running = there.start("run", JOB)
    running.until(lambda: b"item.started" in there.recorded)
    assert there.command("cancel", there.runs[0].run_id).code == 0
    run = there.check_reports(running.wait(), 143)
    assert left() == [Path(run.run_json["workspace"]["path"])]
    there.check_nothing_is_left()


def test_another_runner_goes_on_in_it(there, job, left):
    job(
        prompt="SCN:patch_add",
        artifacts=["hello.txt"],
        checks=[{"name": "slow", "run": "sleep 3"}, {"name": "greeting", "run": "grep -q world hello.txt"}],
    )
    running = there.start("run", JOB)
    running.until(lambda: b"check.started" in there.recorded)
    running.kill()
    assert len(left()) == 1
    run = there.check_reports(there.command("attach", there.runs[0].run_id), 0)
    assert run.cases["greeting"] is None
    assert (run.path / "artifacts" / "hello.txt").exists()
    assert (run.path / "artifacts" / "changes.patch").exists()
    assert left() == []
    there.check_nothing_is_left(grace=5)


def test_a_runner_that_was_killed_before_codex_began(there, job, left):
    running = there.start("run", JOB)
    running.until(lambda: b"workspace.made" in there.recorded or b"attempt.started" in there.recorded)
    running.kill()
    if b"attempt.started" in there.recorded:
        pytest.skip("it came too late")
    there.check_reports(there.command("attach", there.runs[0].run_id), 6)
    assert left() == []
    there.check_nothing_is_left(grace=5, looked=True)


FAKE = """
if [ ! -e "$CODEX_HOME/tried" ]; then
    touch "$CODEX_HOME/tried" left
    echo changed >page
    echo "Error: Selected model is at capacity. Try again in 1s" >&2
    exit 1
fi
cat page
ls
echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"turn.started"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"done"}}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}'
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_retry_that_begins_anew(there, job, own):
    """In a workspace that was made for the run as it was at first; in a user's folder as it is."""
    more = {} if own else {"workspace": None, "cwd": str(there.cwd / "docs")}
    settings = {
        "sandbox": "workspace-write",
        "workspace": {},
        "cwd": "docs",
        "retry": {"attempts": 2, "least": "1s"},
        **more,
    }
    there.fake_codex(FAKE, **{key: value for key, value in settings.items() if value is not None})
    done = there.run()
    run = there.check_reports(done, 0)
    printed = b"a page\npage\n" if own else b"changed\nleft\npage\n"
    assert run.codex.startswith(printed)
    (again,) = run.of_kind("attempt.retry")
    assert not again["resume"]
    said = "in the workspace put back to commit" if own else "in the workspace as it is"
    assert said in again["reason"]
    assert said in done.stderr
    assert said in run.run_json["attempts"][1]["reason"]
    assert (there.cwd / "docs" / "left").exists() == (not own)
    there.check_nothing_is_left()


def test_a_host_whose_disk_is_full(there, disk, job, left):
    """Where the workspace does not fit, the run ends before codex is started, and makes room again."""
    (there.cwd / "large").write_bytes(os.urandom(12_000_000))
    git(there.cwd, "add", "large")
    git(there.cwd, "commit", "--quiet", "--message", "large")
    disk(6_000)
    run = there.check_reports(there.run(), 6)
    assert any(words in run.run_json["reason"] for words in ("no room", "No space left", "unable to write")), (
        run.run_json
    )
    assert run.run_json["attempts"] == []
    assert left() == []
    assert shutil.disk_usage(there.state).free > 5_000_000
    there.check_nothing_is_left()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workspace": {"ref": "none"}}, ["workspace.ref = 'none'", "no such commit"]),
        ({"workspace": {"repo": "/"}}, ["workspace.repo = '/'", "not a git repository"]),
        ({"cwd": "missing"}, ["missing is not a folder of"]),
        ({"cwd": "/srv"}, ["jobs.docs.cwd = '/srv'", "relative to the top"]),
        ({"workspace": {"repo": "file:///none.git"}}, ["could not fetch file:///none.git"]),
    ],
)
def test_mistakes_are_told_before_anything_is_spent(there, job, service, left, settings, words):
    job(**settings)
    done = there.run()
    assert done.code in {3, 6}
    for word in words:
        assert word in done.stderr
    assert service.responses == []
    assert left() == []
    there.check_nothing_is_left()


def test_a_plan_and_a_doctor_know_of_it(there, job):
    (there.cwd / "docs" / "page").write_text("changed\n")
    plan = json.loads(there.run("--dry-run", "--json").stdout)
    head = git(there.cwd, "rev-parse", "HEAD")
    assert plan["workspace"] == {
        "repo": str(there.cwd), "ref": "HEAD", "keep": "never", "commit": head, "uncommitted": 1
    }  # fmt: skip
    assert plan["cwd"] == "docs"
    done = there.command("doctor", JOB)
    assert "uncommitted changes" in done.stdout + done.stderr
    job(workspace={"ref": "none"})
    assert there.command("doctor", JOB).code == 3
    there.check_nothing_is_left()
