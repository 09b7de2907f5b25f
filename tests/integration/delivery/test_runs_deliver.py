"""Whole runs that deliver, with the real codex and the small forge: one branch and one pull request, each night."""

import json

import pytest
from support.nightly import BRANCH

pytestmark = pytest.mark.needs_codex


def outcome(project):
    """Return what the command says of the only change."""
    done = project.command("outcomes", "--json")
    assert done.code == 0, done.stderr
    (job,) = json.loads(done.stdout)["jobs"]
    (change,) = job["changes"]
    return change


def test_a_night_after_another_ends_with_one_branch_and_one_pull_request(project, forge, nightly):
    first = nightly.run()
    assert (first["state"], first["number"], first["branch"]) == ("delivered", 1, BRANCH)
    tip = forge.repository.tip(BRANCH)
    assert first["commit"] == tip
    assert first["signed"] is True
    assert forge.repository.commit(tip).parents == (forge.repository.tip("main"),)
    assert forge.project.pull(1).draft
    forge.repository.commit_files("main", {"other.txt": b"other\n"}, "A day's work")
    nightly.renew()
    second = nightly.run()
    assert (second["state"], second["number"]) == ("updated", 1)
    assert forge.repository.commit(forge.repository.tip(BRANCH)).parents == (forge.repository.tip("main"),)
    change = outcome(project)
    assert (change["outcome"], change["draft"], change["runs"]) == ("open", True, [run.run_id for run in project.runs])
    assert change["spent"]["tokens"]["total"] == sum(run.run_json["usage"]["total"] for run in project.runs) > 0
    nightly.forget()
    third = nightly.run()
    assert (third["state"], third["number"]) == ("unchanged", 1)
    nightly.check_one()
    forge.project.merge(1, squash=True)
    assert outcome(project)["outcome"] == "merged"
    assert project.command("outcomes").stdout.splitlines()[-3] == "docs: 1 change: 1 merged"
    project.check_nothing_is_left()
    assert nightly.token.encode() not in project.said


def test_a_strangers_pipeline_does_not_read_the_deliverys_token(project, forge, nightly):
    nightly.run()
    asked = len(forge.requests)
    project.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "issue_comment", "GITHUB_REPOSITORY": "acme/app"}
    late = project.command("deliver", "last")
    assert late.code == 4, late.stderr
    assert "This pipeline gets no credential." in late.stderr
    told = project.command("outcomes")
    assert told.code == 4, told.stderr
    assert len(forge.requests) == asked


def test_a_strangers_pipeline_does_not_use_this_users_own_rights(project, forge, nightly):
    """A plain remote has no credential: ssh finds the key of this user, and a folder is this user's."""
    project.configure(prompt="SCN:patch_add", sandbox="workspace-write", delivery={"target": "git"})
    nightly.run()
    forge.repository.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    before = forge.repository.git("for-each-ref")
    project.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "issue_comment", "GITHUB_REPOSITORY": "acme/app"}
    late = project.command("deliver", "last")
    assert late.code == 4, late.stderr
    assert forge.repository.git("for-each-ref") == before
