"""Who may start a job that has a credential: what is refused, in which words, and what would allow it."""

import asyncio
import dataclasses
import json
import os
import shlex
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import event_file

from codex_runner.app.credentials import JobCredentials
from codex_runner.ci_systems import Pipeline
from codex_runner.ci_systems.github import GitHub, read_event
from codex_runner.ci_systems.gitlab import GitLab
from codex_runner.domain.credential import VaultSettings
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.delivery_spec import DeliverySpec
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded
from codex_runner.domain.job import Job
from codex_runner.domain.policy import TrustPolicy
from codex_runner.engine.trust import judge_trust


def github(event="schedule", **more):
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": event,
        "GITHUB_REPOSITORY": "acme/app",
        "GITHUB_ACTOR": "ada",
        "GITHUB_TRIGGERING_ACTOR": "ada",
        **more,
    }


def gitlab(source="schedule", **more):
    return {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": source, "GITLAB_USER_LOGIN": "ada", **more}


def pull_request(head):
    return {"pull_request": {"head": {"repo": head}, "base": {"repo": {"full_name": "acme/app"}}}}


def jenkins(**more):
    return {"BUILD_TAG": "jenkins-app-17", "BUILD_URL": "https://ci.example.com/job/app/17/", **more}


def judge(environ, payload=None, job="review", **policy):
    with event_file(environ, payload) as there:
        return judge_trust(Pipeline(there).occasion(), TrustPolicy(**policy), job)


def test_outside_a_ci_system_everybody_is_trusted():
    assert judge({"GITLAB_CI": "false", "GITHUB_ACTIONS": "false"}, events=(), actors=()) is None


@pytest.mark.parametrize("event", sorted(set(GitHub.trusted_events) - {"pull_request"}))
def test_events_that_need_rights_to_the_repository_are_trusted(event):
    assert judge(github(event)) is None


@pytest.mark.parametrize("source", sorted(set(GitLab.trusted_events) - {"merge_request_event"}))
def test_gitlab_pipelines_that_need_rights_are_trusted(source):
    assert judge(gitlab(source)) is None


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "workflow_run", "fork", "watch", "", "PUSH"])
def test_others_are_refused_with_the_claim_and_the_line_that_would_allow_it(event):
    refusal = judge(github(event), pull_request({"full_name": "acme/app"}))
    assert refusal.claim == f"GITHUB_EVENT_NAME={event}"
    assert refusal.claim in refusal.message
    assert "[jobs.review]" in refusal.remedy
    line = tomllib.loads(refusal.allow)
    assert line == {"trusted_events": [*GitHub.trusted_events, event]}
    assert judge(github(event), pull_request({"full_name": "acme/app"}), events=tuple(line["trusted_events"])) is None


def test_a_pull_request_of_the_repository_itself_is_trusted_and_one_of_a_fork_is_not():
    assert judge(github("pull_request"), pull_request({"full_name": "Acme/App"})) is None
    for events in (None, ("pull_request", "pull_request_target")):
        for event in ("pull_request", "pull_request_target", "pull_request_review"):
            refusal = judge(github(event), pull_request({"full_name": "mallory/app"}), events=events)
            assert refusal.claim == "fork=mallory/app"
            assert refusal.claim in refusal.message


@pytest.mark.parametrize("job", ["review", "a.b"])
def test_a_fork_is_allowed_by_the_pipeline_and_not_by_the_file(job):
    event, payload = github("pull_request"), pull_request({"full_name": "mallory/app"})
    refusal = judge(event, payload, job=job, forks=("eve/app",))
    option, value = shlex.split(refusal.allow)
    assert option == "--set"
    keys, _, names = value.partition("=")
    assert tomllib.loads(f"{keys} = {names}") == {"jobs": {job: {"trusted_forks": ["eve/app", "mallory/app"]}}}
    assert refusal.allow in refusal.remedy
    assert judge(event, payload, forks=("Mallory/App",)) is None
    assert judge(github("pull_request_target"), payload, forks=("mallory/app",)).claim.startswith("GITHUB_EVENT_NAME=")


def test_no_line_is_offered_that_a_name_could_turn_into_a_command():
    refusal = judge(github("pull_request"), pull_request({"full_name": "m'$(id)'/app"}))
    assert refusal.allow == ""
    assert "from a branch of the repository" in refusal.remedy


def test_what_a_workflow_run_follows_may_be_a_forks():
    def followed(name):
        return {"workflow_run": {"head_repository": {"full_name": name}}}

    assert judge(github("workflow_run"), followed("mallory/app"), events=("workflow_run",)).claim == "fork=mallory/app"
    assert judge(github("workflow_run"), followed("acme/app"), events=("workflow_run",)) is None
    assert judge(github("workflow_run"), {}, events=("workflow_run",)).claim == "fork=?"


@pytest.mark.parametrize("payload", [None, {}, {"pull_request": None}, {"pull_request": 1}, pull_request(None)])
def test_a_pull_request_whose_source_is_not_known_counts_as_a_forks(payload):
    assert judge(github("pull_request"), payload).claim == "fork=?"


def test_a_push_needs_no_payload_and_a_strange_one_does_not_raise():
    assert judge(github("push"), {"pull_request": None, "x": [1]}) is None
    assert judge(github("push"), {"pull_request": []}).claim == "fork=?"


def test_gitlab_merge_requests():
    own = {
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "acme/app",
    }
    fork = own | {
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "mallory/group/app",
        "CI_PROJECT_ID": "7",
    }
    for source in ("merge_request_event", "parent_pipeline"):
        assert judge(gitlab(source, **own)) is None
        refusal = judge(gitlab(source, **fork))
        assert refusal.claim == "fork=mallory/group/app"
        assert shlex.split(refusal.allow)[1] == 'jobs.review.trusted_forks=["mallory/group/app"]'
    assert judge(gitlab("merge_request_event")).claim == "fork=?"
    assert judge(gitlab("external_pull_request_event"), events=("external_pull_request_event",)).claim == "fork=?"


def test_jenkins_changes():
    assert judge(jenkins()) is None
    assert judge(jenkins(CHANGE_ID="3", CHANGE_AUTHOR="ada")) is None
    assert judge(jenkins(CHANGE_ID="3", CHANGE_FORK="mallory")).claim == "fork=mallory"
    assert judge(jenkins(CHANGE_ID="3"), events=("branch",)).claim == "build=change"
    assert judge(jenkins(CHANGE_ID="3", CHANGE_AUTHOR="mallory"), actors=("ada",)).claim == "CHANGE_AUTHOR=mallory"
    assert judge({"BUILD_TAG": "v1.4", "CHANGE_FORK": "mallory"}) is None, "not Jenkins"


def test_without_a_list_of_actors_nobody_is_asked_for():
    assert judge(github(GITHUB_ACTOR="", GITHUB_TRIGGERING_ACTOR="")) is None


@pytest.mark.parametrize("who", ["GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"])
def test_whoever_had_a_part_must_be_on_the_list(who):
    refusal = judge(github(**{who: "mallory"}), actors=("ada",))
    assert refusal.claim == "GITHUB_ACTOR=mallory"
    assert tomllib.loads(refusal.allow) == {"trusted_actors": ["ada", "mallory"]}
    assert refusal.allow in refusal.remedy
    assert judge(github(), actors=("ada",)) is None
    assert judge(gitlab(GITLAB_USER_LOGIN="mallory"), actors=("ada",)).claim == "GITLAB_USER_LOGIN=mallory"


def test_a_list_of_actors_and_nobody_named_is_refused():
    assert judge(github(GITHUB_ACTOR="", GITHUB_TRIGGERING_ACTOR=""), actors=("ada",)).claim == "GITHUB_ACTOR=?"
    assert judge(github(), actors=()) is not None


def test_the_author_of_a_pull_request_has_a_part_in_it_whoever_labels_it():
    payload = pull_request({"full_name": "acme/app"})
    payload["pull_request"]["user"] = {"login": "mallory"}
    assert judge(github("pull_request"), payload) is None
    assert judge(github("pull_request"), payload, actors=("ada",)).claim == "GITHUB_ACTOR=mallory"


def test_a_delivery_counts_as_a_credential(tmp_path):
    """One over SSH has none: the key is this user's. The run went on, and delivered."""
    job = Job(name="docs", prompt="do it", cwd=str(tmp_path), delivery=DeliverySpec(target=ForgeKind.GIT))

    def borrow(event, job):
        told = []
        credentials = JobCredentials(VaultSettings(), github(event))
        asyncio.run(credentials.borrow(job, now=0.0, tell=told.append, on_retry=told.append))
        return told

    with pytest.raises(CredentialError, match="gets no credential"):
        borrow("issue_comment", job)
    assert [each.passed for each in borrow("schedule", job) if isinstance(each, Guarded)] == [True]
    assert borrow("issue_comment", dataclasses.replace(job, delivery=None))


@given(st.text(min_size=1))
def test_the_line_that_would_allow_it_is_toml_whatever_the_name(name):
    refusal = judge(github(GITHUB_ACTOR=name, GITHUB_TRIGGERING_ACTOR=name), actors=())
    assert tomllib.loads(refusal.allow) == {"trusted_actors": [name]}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'"x"', b"{", b"\xff{}", b"[" * 200_000, b"1" * 10_000, b'{"a": ' * 100_000],
    ids=["empty", "array", "text", "cut", "no-utf8", "deep", "long-number", "deep-object"],
)
def test_an_event_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "event").write_bytes(content)
    assert read_event(str(tmp_path / "event")) is None


def test_an_event_that_is_no_file_or_too_large_is_none(tmp_path):
    assert read_event("") is None
    assert read_event(str(tmp_path / "nowhere")) is None
    assert read_event(str(tmp_path)) is None
    assert read_event("/dev/zero") is None
    os.mkfifo(tmp_path / "pipe")
    assert read_event(str(tmp_path / "pipe")) is None
    with (tmp_path / "huge").open("wb") as file:
        file.write(b'{"a": "b"}')
        file.truncate(33 << 20)
    assert read_event(str(tmp_path / "huge")) is None
    (tmp_path / "event").write_text(json.dumps(pull_request({"full_name": "mallory/app"})))
    assert read_event(str(tmp_path / "event"))["pull_request"]["head"]["repo"] == {"full_name": "mallory/app"}
