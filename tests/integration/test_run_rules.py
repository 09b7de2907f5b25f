"""A job in a repository: what the agent changed is told apart from what the runner and the checks do there."""

import shlex
import subprocess

import pytest
from support import child
from support.runs import JOB, tree

pytestmark = pytest.mark.needs_codex

REPLY = f"printf '%s\\n' {shlex.join([child.THREAD, child.STARTED, child.MESSAGE, child.COMPLETED])}\n"


@pytest.fixture
def repository(project):
    """The project's folder as a repository with a commit, in which the output folder is there and not ignored."""
    project.out.mkdir()
    (project.cwd / "notes.md").write_text("begun\n")
    project.configure()
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "begin"]):
        subprocess.run(
            ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *words],
            cwd=project.cwd,
            env=project.environ,
            check=True,
        )
    (project.cwd / ".git/info/exclude").write_text("codex-runner.toml\n")
    return project


def test_what_the_runner_writes_is_not_the_agents_doing(repository):
    repository.fake_codex(REPLY, sandbox="workspace-write", must_change=True)
    run = repository.check_reports(repository.run(), 1)
    assert "Nothing changed" in run.run_json["reason"]
    run.path.rename(repository.scratch / "seen")
    repository.fake_codex(f"echo more >>notes.md\n{REPLY}", sandbox="workspace-write", allowed_paths=["notes.md"])
    run = repository.check_reports(repository.run(), 0)
    assert b"codex-runner-out" not in (run.path / "artifacts/changes.patch").read_bytes()


def test_killed_during_a_check(repository):
    """The check ends with the runner, and what was not yet brought home is brought by the next one."""
    check = "[ -e ../again ] || { : >../again; sleep 301; }"
    repository.fake_codex(
        f"echo more >>notes.md\n{REPLY}",
        sandbox="workspace-write",
        allowed_paths=["notes.md"],
        artifacts=["notes.md"],
        checks=[{"name": "slow", "run": check}],
    )
    running = repository.start("run", JOB)
    running.until_command("sleep 301")
    running.kill()
    (left,) = repository.runs
    done = repository.command("attach", left.run_id)
    run = repository.check_reports(done, 0)
    assert {each["path"] for each in run.run_json["artifacts"]} == {
        "artifacts/notes.md",
        "artifacts/changes.patch",
        "artifacts/last-message.md",
    }
    assert len(run.of_kind("changes")) == 1
    assert "sleep 301" not in " ".join(repository.processes.values())


def test_a_credential_in_what_the_agent_wrote(repository):
    """It ends the run, whatever the agent wrote beside it, and is in nothing that is left."""
    pytest.importorskip("detect_secrets", reason="the scan extra")
    repository.fake_codex(
        f"echo 'password = \"correct horse\"  # pragma: allowlist secret' >>notes.md\n{REPLY}",
        sandbox="workspace-write",
        secret_scan=True,
        on_check_failure="retry",
        artifacts=["notes.md"],
    )
    run = repository.check_reports(repository.run(), 12)
    found = "notes.md, line 2: looks like a credential (Secret Keyword)."
    assert found in run.run_json["reason"]
    assert run.cases["secret scan"] == "failure"
    assert [failure.get("message") for failure in run.junit.iter("failure")] == [found]
    assert len(run.of_kind("attempt.started")) == 1
    assert (run.path / "artifacts/notes.md").read_text() == "begun\n***secret_scan***\n"
    assert b"+***secret_scan***\n" in (run.path / "artifacts/changes.patch").read_bytes()
    assert [path.name for path, data in tree(run.path).items() if b"correct horse" in data] == []


def test_what_runs_keep_on_the_host_is_no_artifact_and_no_change(repository):
    """Not even where the workspace holds the run directories, as a home may."""
    repository.environ["XDG_STATE_HOME"] = str(repository.cwd / "state")
    repository.fake_codex(
        f"echo more >>notes.md\n{REPLY}",
        sandbox="workspace-write",
        allowed_paths=["notes.md"],
        artifacts=["state/**", "*.md"],
    )
    run = repository.check_reports(repository.run(), 0)
    assert [path.name for path in tree(run.path / "artifacts")] == ["changes.patch", "last-message.md", "notes.md"]
