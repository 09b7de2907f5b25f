"""The gate of a job without a delivery, by the command line, with the real codex and the real git."""

import json
import signal
import subprocess

import pytest
from support.runs import JOB, RUN_JSON, processes_with, wait_for

pytestmark = pytest.mark.needs_codex

# A job that goes on fails without this variable: exit code 4. One that is skipped never reads it.
NO_CREDENTIAL = {"credential": {"kind": "api_key", "source": "env", "variable": "NOWHERE"}}


def git(project, *arguments):
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *who, *arguments], cwd=project.cwd, check=True, env=project.environ)


def commit(project, name, text):
    path = project.cwd / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    git(project, "add", name)
    git(project, "commit", "-qm", name)


def planned(project):
    done = project.command("run", JOB, "--dry-run", "--json")
    assert done.code == 0, done.stderr
    return " ".join(json.loads(done.stdout)["gate"])


def ran(project, code, result, *arguments):
    done = project.run(*arguments)
    assert done.code == code, done.stderr[-2000:]
    document = project.last.run_json
    RUN_JSON.validate(document)
    assert document["result"] == result
    assert f"{project.last.run_id}: {result}" in done.stderr
    project.check_nothing_is_left()
    return document


def test_a_job_is_skipped_until_its_files_change(project):
    gate = {"unless_changed": ["src/**"]}
    (project.cwd / ".gitignore").write_text("/codex-runner*\n")
    project.git_init()
    commit(project, "src/a.py", "1\n")
    project.configure(gate=gate)
    assert planned(project) == "go: no green run of this job is on record"
    ran(project, 0, "succeeded")
    project.configure(gate=gate, **NO_CREDENTIAL)
    commit(project, "docs/a.md", "docs\n")
    assert planned(project).startswith("skip: nothing under `src/**` has changed")
    skipped = ran(project, 0, "skipped")
    assert skipped["gate"]["decision"] == "skip"
    assert project.last.run_json["facts"].get("credential") is None
    assert (project.command("runs").stdout.count("skipped"), skipped["attempts"]) == (1, [])
    assert project.command("run", JOB, "--dry-run", "--no-gate").stdout.count("go: --no-gate") == 1
    ran(project, 4, "failed", "--no-gate")
    commit(project, "src/a.py", "2\n")
    assert planned(project).startswith("go: files under `src/**` have changed")
    ran(project, 4, "failed")
    # The red night moved nothing.
    assert planned(project).startswith("go: files under `src/**` have changed")


def test_a_command_that_misbehaves(project):
    """It forks, looks for secrets, prints one, changes the tree, and asks git with a repository's settings."""
    canary, seen = project.home / "canary", project.home / "seen"
    project.environ["DEPLOY_TOKEN"] = project.environ["NOWHERE"] = "token-0123456789abcdef"
    project.git_init()
    git(project, "config", "core.fsmonitor", f"touch {canary}")
    half = len(project.key) // 2
    told = f"a={project.key[:half]}; echo ${{a}}{project.key[half:]}"
    command = f"env >{seen}; pwd >>{seen}; git status >/dev/null; setsid sleep 4711 & {told}; exit 78"
    project.configure(gate={"command": command}, **NO_CREDENTIAL)
    document = ran(project, 0, "skipped")
    assert "***" in document["gate"]["output"]
    assert "sleep" in project.last.warnings["left-behind"]
    assert processes_with("sleep\x004711") == {}
    known = seen.read_text()
    assert str(project.cwd) in known
    assert project.key not in known
    assert "token-0123456789abcdef" not in known
    assert not canary.exists()
    assert project.service.requests == []
    # A command that kills its keeper, and so perhaps what would end its processes.
    project.configure(gate={"command": "kill -9 $PPID; exit 78"}, **NO_CREDENTIAL)
    assert "gate failed" in ran(project, 1, "failed")["reason"]
    assert project.last.cases["gate"] == "failure"
    assert project.last.cases["agent"] == "failure"
    assert "**Gate:** fail" in (project.last.path / "summary.md").read_text()
    assert "Gate: fail" in (project.last.path / "report.html").read_text()


def test_a_pipeline_that_a_stranger_started(project):
    project.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "issue_comment"}
    canary = project.home / "canary"
    project.configure(gate={"command": f"touch {canary}; exit 78"}, **NO_CREDENTIAL)
    ran(project, 4, "failed")
    assert not canary.exists()


@pytest.mark.thorough
def test_a_workspace_is_the_place_of_the_gate(project):
    (project.cwd / ".gitignore").write_text("/codex-runner*\n")
    project.git_init()
    commit(project, "src/a.py", "1\n")
    place = project.home / "place"
    gate = {"unless_changed": ["src/**"], "command": f"test -e src/a.py && pwd >{place}"}
    project.configure(gate=gate, workspace={"repo": ".", "keep": "always"})
    assert "once it has its workspace" in planned(project)
    done = project.run()
    assert (done.code, project.last.run_json["result"]) == (0, "succeeded"), done.stderr[-2000:]
    kept = set(project.state.rglob("a.py"))
    project.configure(gate=gate, workspace={"repo": ".", "keep": "always"}, **NO_CREDENTIAL)
    assert project.run().code == 0
    assert project.last.run_json["result"] == "skipped"
    assert str(project.cwd) not in place.read_text()
    assert set(project.state.rglob("a.py")) == kept, "a skipped run keeps no workspace"


def test_a_run_that_ends_in_its_gate(project):
    """By a signal, and as the machine's OOM killer ends one: the command goes with it, and no run is green for it."""
    project.configure(gate={"command": "sleep 4714"}, **NO_CREDENTIAL)
    running = project.start("run", JOB)
    running.until_command("sleep 4714")
    running.signal(signal.SIGTERM)
    assert running.wait().code == 143
    assert project.last.run_json["result"] == "failed"
    project.check_nothing_is_left()
    running = project.start("run", JOB)
    running.until_command("sleep 4714")
    running.kill()
    wait_for(lambda: not processes_with("sleep\x004714"))
    done = project.command("attach", "last")
    assert done.code not in {0, 70}, done.stderr
