"""A pipeline that a stranger started: the command line refuses the credential, says why, and does as it says."""

import json
import re
import shlex

import pytest

pytestmark = pytest.mark.needs_codex

GUARD = "trusted-trigger"


@pytest.fixture
def pipeline(project):
    """Make the project's environment that of a step on GitHub."""

    def set_up(event, head="acme/app", **more):
        payload = project.scratch / "event.json"
        payload.write_text(json.dumps({"pull_request": {"head": {"repo": {"full_name": head}}}}))
        project.environ |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_REPOSITORY": "acme/app",
            "GITHUB_ACTOR": "mallory",
            **more,
        }
        return project

    return set_up


def refused(project, claim):
    """Run the job, which must be refused everywhere that somebody may look; return the remedy."""
    done = project.run()
    run = project.check_reports(done, 4)
    assert project.service.responses == [], "the agent was started"
    assert run.cases[GUARD] == "error"
    (case,) = (each for each in run.junit.iter("testcase") if each.get("name") == GUARD)
    message = case.find("error").get("message")
    for told in (done.stderr, message, run.run_json["reason"]):
        assert claim in told
    project.check_nothing_is_left()
    return message.rpartition("If you trust it, write ")[2]


def test_a_forks_pull_request_until_the_pipeline_itself_allows_it(pipeline):
    project = pipeline("pull_request", "mallory/app")
    remedy = refused(project, "fork=mallory/app")
    arguments = shlex.split(re.search(r"--set .*", remedy)[0])
    assert project.run(*arguments).code == 0
    for name in ("jobs.docs", "defaults"):
        file = project.cwd / "codex-runner.toml"
        before = file.read_text()
        if name == "defaults":
            file.write_text(before + f'[{name}]\ntrusted_forks = ["mallory/app"]\n')
        else:
            project.configure(trusted_forks=["mallory/app"])
        done = project.run()
        assert done.code == 3
        assert f"{name}.trusted_forks: must not be in the file" in done.stderr
        file.write_text(before)


def test_a_strange_event_and_a_strange_actor_until_the_job_allows_them(pipeline):
    project = pipeline("issue_comment")
    line = refused(project, "GITHUB_EVENT_NAME=issue_comment").partition("into [jobs.docs]: ")[2]
    events = json.loads(line.partition(" = ")[2])
    for run in project.runs:
        (run.path / "events.jsonl").unlink()
    project.configure(trusted_events=events)
    done = project.run()
    assert done.code == 0, done.stderr
    assert "trusted-trigger: GitHub: issue_comment, by mallory" in done.stderr


def test_an_actor_who_is_not_on_the_list(pipeline):
    project = pipeline("push")
    project.configure(trusted_actors=["ada"])
    assert 'trusted_actors = ["ada", "mallory"]' in refused(project, "GITHUB_ACTOR=mallory")
