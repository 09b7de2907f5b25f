"""Whole runs with CI_JOB_TOKEN, and whole runs whose branch a server's rule refuses."""

import json

import pytest
from support.forge import ALL, PROJECT
from support.nightly import BRANCH, TOKEN, git
from support.protections import GITHUB, GITLAB

from codex_runner.demo.forge_state import Token

pytestmark = pytest.mark.needs_codex

JWT = "eyJraWQiOiJ0ZXN0In0.eyJzdWIiOiJqb2JfMSJ9.c2lnbmF0dXJlLW9mLWEtam9iLTAwMDc"
VARIABLE = "CI_JOB_TOKEN"


@pytest.fixture
def job(project, forge, nightly):
    """A job of GitLab CI that has nothing but its own token, in the form of GitLab 19."""
    forge.tokens[JWT] = Token("ada", ALL, job=True)
    del project.environ[TOKEN]
    project.environ |= {VARIABLE: JWT, "CI_API_V4_URL": forge.gitlab_api, "CI_PROJECT_PATH": "acme/app"}

    def configure(**more):
        credential = {"source": "env", "variable": VARIABLE, "allow_unexpiring": True}
        nightly.configure({"target": "gitlab", "credential": credential, **more}, api=forge.gitlab_api)

    configure()
    nightly.settings = configure
    return nightly


def test_a_merge_request_by_push_each_night(project, forge, job):
    first = job.run()
    assert (first["state"], first["target"], first["number"], first["branch"]) == ("delivered", "gitlab", 1, BRANCH)
    assert first["link"] == forge.project.url + "/acme/app/-/merge_requests/1"
    said = " ".join(first["warnings"])
    assert "starts no pipeline" in said
    assert f"whether {BRANCH} is protected" in said
    forge.repository.commit_files("main", {"other.txt": b"other\n"}, "A day's work")
    job.forget()
    assert job.run()["state"] == "updated"
    job.forget()
    assert job.run()["state"] == "unchanged"
    job.check_one()
    assert JWT.encode() not in project.said
    assert JWT not in json.dumps(project.last.run_json)
    project.check_nothing_is_left()


@pytest.mark.parametrize("case", ["setting", "old", "origin", "close"])
def test_what_a_jobs_token_cannot_do_costs_nothing(project, forge, job, service, case):
    code, said, remedy = 13, "You are not allowed to upload code", "Allow Git push requests to the repository"
    if case == "setting":
        forge.project.settings.job_pushes = False
    elif case == "old":
        forge.project.settings.job_reads = False
        said, remedy = "could not list the merge requests: 404", "GitLab 18.4 or later"
    elif case == "origin":
        address = forge.git_url.replace("://", f"://gitlab-ci-token:{JWT}@")
        git("remote", "set-url", "origin", address, cwd=job.tree)
        code, said, remedy = 4, "where the agent can read it", "FF_GIT_URLS_WITHOUT_TOKENS"
    else:
        job.settings(if_unchanged="close")
        code, said, remedy = 3, "delivery.if_unchanged", "project access token"
    done = project.run()
    assert done.code == code, done.stderr
    assert said in done.run.run_json["reason"]
    assert remedy in done.run.run_json["remedy"]
    assert service.requests == []
    assert job.branches() == []
    assert JWT.encode() not in project.said
    assert done.run.run_json["delivery"] is None


@pytest.mark.parametrize("way", ["github", "gitlab", "job"])
def test_a_rule_that_refuses_the_branch_is_13_and_nothing_is_half_made(project, forge, nightly, request, way):
    name = {"github": "ruleset", "gitlab": "protected", "job": "quota"}[way]
    rule, cause, remedy = (GITHUB if way == "github" else GITLAB)[name]
    if way == "gitlab":
        project.environ[TOKEN] = PROJECT
        nightly.configure({"target": "gitlab", "api": forge.gitlab_api})
    elif way == "job":
        request.getfixturevalue("job")
    forge.project.settings.protections = [rule]
    failed = nightly.run(13)
    run = project.last
    assert failed["state"] == "failed"
    assert run.cases["delivery"] in {"failure", "error"}
    words = rule.message.split("\n")[2] if way == "github" else rule.lines[0][:60]
    assert words.rstrip(".") in failed["reason"]
    assert way == "github" or cause in failed["reason"]
    assert remedy in run.run_json["remedy"]
    assert f"codex-runner deliver {run.run_id}" in run.run_json["remedy"]
    assert (run.path / "artifacts" / "changes.patch").stat().st_size
    assert (nightly.branches(), forge.project.pulls) == ([], [])
    forge.project.settings.protections = []
    again = project.command("deliver", "last")
    assert again.code == 0, again.stderr
    nightly.check_one()
    project.check_nothing_is_left()


def test_a_run_that_ended_before_its_agent_has_nothing_to_cancel_or_deliver(project, nightly):
    del project.environ[TOKEN]
    nightly.run(code=4)
    cancelled = project.command("cancel", "last")
    assert cancelled.code == 2
    assert "is over: there is nothing to cancel" in cancelled.stderr
    delivered = project.command("deliver", "last")
    assert delivered.code == 13
    assert "Run the job again.\n" in delivered.stderr


def test_the_base_is_no_branch_of_its_own(project, nightly, service):
    asked = len(service.requests)
    nightly.configure({"branch": "main"})
    nightly.run(code=3)
    assert "`delivery.branch` is 'main', the base" in project.last.run_json["reason"]
    assert len(service.requests) == asked, "nothing is spent"


def test_doctor_asks_the_forge_as_a_run_would(project, forge, nightly):
    before = forge.repository.git("for-each-ref")

    def row():
        done = project.command("doctor", "--json")
        (found,) = [each for each in json.loads(done.stdout)["checks"] if each["check"] == "delivery"]
        return done.code, found["state"], found["message"] + found["remedy"]

    code, state, said = row()
    assert (code, state) == (0, "ok")
    assert "acme/app (github)" in said
    project.environ[TOKEN] = "ghs_wrong"
    code, state, said = row()
    assert (code, state) == (4, "failed")
    assert "GitHub refused the token" in said
    del project.environ[TOKEN]
    code, state, said = row()
    assert (code, state) == (4, "failed")
    assert f"The variable {TOKEN}" in said
    assert forge.repository.git("for-each-ref") == before
    assert forge.project.pulls == []
