"""A job in a repository: what the agent changed is told apart from what the runner and the checks do there."""

import os
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


FORBIDDEN = {"forbidden_paths": ["src/**"]}
WHO = "git config --global user.name Ada; git config --global user.email ada@example.com"
COMMIT = f"{WHO}; mkdir -p src; echo evil >src/x; git add src; git commit -q -m x"


@pytest.mark.parametrize(
    ("deed", "rules", "code"),
    [
        (f"{COMMIT}; git reset -q --hard HEAD^", FORBIDDEN, 12),
        (f"{COMMIT}; git revert --no-edit HEAD", FORBIDDEN, 12),
        (f"{COMMIT}; git reset -q --hard HEAD^", {"max_changed_lines": 100}, 0),
        (f"{COMMIT}; git revert --no-edit HEAD", {"must_change": True}, 1),
        (f"{COMMIT}; git branch other; git reset -q --hard HEAD^", {}, 0),
        ("mv .git ../git; git init -q; git add -A; git commit -q -m x", {}, 12),
        ("rm -rf .git", {}, 12),
        ("rm -rf .git/objects/??", {}, 12),
        ("mv .git ../git; ln -s ../git .git", {}, 12),
    ],
)
def test_an_agent_without_a_sandbox_does_things_to_git(repository, deed, rules, code):
    repository.fake_codex(
        f"exec 3>&1 >/dev/null 2>&1\n{deed}\nexec >&3\n{REPLY}", sandbox="danger-full-access", **rules
    )
    repository.check_reports(repository.run(), code)


def test_a_credential_that_was_committed_and_put_back(repository):
    pytest.importorskip("detect_secrets", reason="the scan extra")
    deed = (
        f"{WHO}; echo 'password = \"correct horse\"' >x; git add x; git commit -q -m x; git rm -q x; git commit -q -m y"
    )
    repository.fake_codex(
        f"exec 3>&1 >/dev/null 2>&1\n{deed}\nexec >&3\n{REPLY}", sandbox="danger-full-access", secret_scan=True
    )
    run = repository.check_reports(repository.run(), 12)
    assert "x, line 1: looks like a credential" in run.run_json["reason"]


@pytest.mark.one_case("last")
@pytest.mark.parametrize("rules", [{}, {"allowed_paths": ["**"]}])
def test_a_fifo_holds_nobody_up(repository, rules):
    repository.fake_codex(f"mkfifo .gitattributes\n{REPLY}", sandbox="workspace-write", timeout="30s", **rules)
    run = repository.check_reports(repository.run(), 12)
    assert ".gitattributes" in run.run_json["reason"]
    assert run.run_json["seconds"] < 30


def test_a_fifo_that_was_there_is_refused_before_anything_is_spent(repository):
    os.mkfifo(repository.cwd / ".gitignore")
    repository.fake_codex(f"touch ../spent\n{REPLY}", sandbox="workspace-write")
    run = repository.check_reports(repository.run(), 3)
    assert ".gitignore" in run.run_json["reason"]
    assert not (repository.scratch / "spent").exists()


@pytest.mark.one_case
@pytest.mark.parametrize("rules", [{}, {"allowed_paths": ["**"]}])
def test_a_look_that_ends_with_the_jobs_time(repository, rules):
    """To hash a file of a terabyte takes hours."""
    repository.fake_codex(f"truncate -s 1T notes.md\n{REPLY}", sandbox="workspace-write", timeout="10s", **rules)
    run = repository.check_reports(repository.run(), 9)
    assert "git could not read the workspace" in run.run_json["reason"]


def test_what_new_rules_ignore_is_on_record(repository):
    deed = "printf 'hidden\n.gitignore\n' >.gitignore; echo x >hidden"
    repository.fake_codex(f"{deed}\n{REPLY}", sandbox="workspace-write", allowed_paths=[".gitignore"])
    run = repository.check_reports(repository.run(), 12)
    assert "hidden was added" in run.run_json["reason"]
    repository.fake_codex(f"{deed}\n{REPLY}", sandbox="workspace-write", must_change=["hidden"])
    run.path.rename(repository.scratch / "seen")
    for name in (".gitignore", "hidden"):
        (repository.cwd / name).unlink()
    run = repository.check_reports(repository.run(), 1)
    assert run.run_json["changes"]["newly_ignored"] == [".gitignore", "hidden"]
    assert "hidden | added +1 -0 (newly ignored)" in run.run_json["changes"]["diffstat"]
    assert run.warnings.keys() >= {"newly-ignored"}


def test_a_nul_byte_does_not_widen_a_budget(repository):
    repository.fake_codex(
        f"{{ seq 1000; printf '\\0'; }} >notes.md\n{REPLY}",
        sandbox="workspace-write",
        budget={"changed_lines": 900, "tokens": 10**9},
    )
    run = repository.check_reports(repository.run(), 11)
    assert "budget.changed_lines is exceeded: 1,00" in run.run_json["reason"]


def test_a_folder_that_the_repository_around_it_ignores(project):
    (project.cwd / ".gitignore").write_text("ignored\n")
    (project.cwd / "ignored").mkdir()
    project.git_init()
    project.configure(prompt="SCN:patch_add", sandbox="workspace-write", cwd="ignored", allowed_paths=["docs/**"])
    done = project.run()
    assert done.code == 3
    assert "ignores this folder, so git sees no change in it" in done.stderr
    project.configure(prompt="SCN:patch_add", sandbox="workspace-write", cwd="ignored")
    assert project.run().code == 0
