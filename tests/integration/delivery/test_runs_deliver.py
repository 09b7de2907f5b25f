"""Whole runs that deliver, with the real codex and the small forge: one branch and one pull request, each night."""

import subprocess

import pytest
from support.forge import APP, small_forge
from support.runs import JOB, RUN_JSON

pytestmark = pytest.mark.needs_codex

BRANCH = f"codex/acme/app/{JOB}"


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


@pytest.fixture
def nightly(project, forge):
    """Write a job that delivers to the forge from a clone of its repository."""
    git("init", "--quiet", "--initial-branch=main", cwd=project.cwd)
    git("remote", "add", "origin", forge.repository.path, cwd=project.cwd)
    renewed(project, forge)
    project.environ["DELIVERY_TOKEN"] = APP

    def configure(delivery=None, **job):
        project.configure(
            **{
                "prompt": "SCN:patch_add",
                "sandbox": "workspace-write",
                "delivery": {
                    "target": "github",
                    "api": forge.github_api,
                    "repository": "acme/app",
                    "credential": {"source": "env", "variable": "DELIVERY_TOKEN", "allow_unexpiring": True},
                    **(delivery or {}),
                },
                **job,
            }
        )

    configure()
    return configure


def git(*arguments, cwd=None):
    done = subprocess.run(["git", *map(str, arguments)], cwd=cwd, capture_output=True, check=True)
    return done.stdout.decode().strip()


def renewed(project, forge):
    """Make the clone what a nightly job finds: the forge's main, and nothing else."""
    git("fetch", "--quiet", "origin", cwd=project.cwd)
    git("reset", "--quiet", "--hard", "origin/main", cwd=project.cwd)
    git("clean", "-fdxq", "-e", "codex-runner.toml", "-e", "codex-runner-out", cwd=project.cwd)


def delivery_of(project, code=0):
    done = project.run()
    assert done.code == code, done.stderr[-3000:]
    RUN_JSON.validate(project.last.run_json)
    return project.last.run_json["delivery"]


def test_a_night_after_another_ends_with_one_branch_and_one_pull_request(project, forge, nightly):
    first = delivery_of(project)
    assert (first["state"], first["number"], first["branch"]) == ("delivered", 1, BRANCH)
    tip = forge.repository.tip(BRANCH)
    assert first["commit"] == tip
    assert first["signed"] is True
    assert forge.repository.git("show", f"{tip}:hello.txt") == "hello\nworld"
    assert forge.repository.commit(tip).parents == (forge.repository.tip("main"),)
    pull = forge.project.pull(1)
    assert pull.draft
    renewed(project, forge)
    forge.repository.commit_files("main", {"other.txt": b"other\n"}, "A day's work")
    renewed(project, forge)
    second = delivery_of(project)
    assert (second["state"], second["number"]) == ("updated", 1)
    assert forge.repository.commit(forge.repository.tip(BRANCH)).parents == (forge.repository.tip("main"),)
    assert forge.project.pull(2) is None
    renewed(project, forge)
    third = delivery_of(project)
    assert (third["state"], third["number"]) == ("unchanged", 1)
    project.check_nothing_is_left()
    assert APP.encode() not in project.said
