"""Who may start a job that has a credential: what is refused, in which words, and what would allow it."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.engine.trust import GITHUB_EVENTS, GITLAB_EVENTS, TrustPolicy, judge_trust, occasion_of


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


def judge(environ, payload=None, **policy):
    return judge_trust(occasion_of(environ, payload), TrustPolicy(**policy))


def test_outside_a_ci_system_everybody_is_trusted():
    assert judge({"GITLAB_CI": "false", "GITHUB_ACTIONS": "false"}, events=(), actors=()) is None


@pytest.mark.parametrize("event", sorted(set(GITHUB_EVENTS) - {"pull_request"}))
def test_events_that_need_rights_to_the_repository_are_trusted(event):
    assert judge(github(event)) is None


@pytest.mark.parametrize("source", sorted(set(GITLAB_EVENTS) - {"merge_request_event"}))
def test_gitlab_pipelines_that_need_rights_are_trusted(source):
    assert judge(gitlab(source)) is None


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "workflow_run", "fork", "watch", "", "PUSH"])
def test_others_are_refused_with_the_claim_and_the_line_that_would_allow_it(event):
    refusal = judge(github(event), pull_request({"full_name": "acme/app"}))
    assert refusal.claim == f"GITHUB_EVENT_NAME={event}"
    assert repr(event) in refusal.message
    line = tomllib.loads(refusal.allow)
    assert line == {"trusted_events": [*GITHUB_EVENTS, event]}
    assert judge(github(event), pull_request({"full_name": "acme/app"}), events=tuple(line["trusted_events"])) is None


def test_a_pull_request_of_the_repository_itself_is_trusted_and_one_of_a_fork_never_is():
    assert judge(github("pull_request"), pull_request({"full_name": "Acme/App"})) is None
    for events in (None, ("pull_request", "pull_request_target")):
        for event in ("pull_request", "pull_request_target", "pull_request_review"):
            refusal = judge(github(event), pull_request({"full_name": "mallory/app"}), events=events)
            assert refusal.claim == "fork=mallory/app"
            assert "'mallory/app'" in refusal.message
            assert refusal.allow == ""
            assert "branch of the repository itself" in refusal.remedy


@pytest.mark.parametrize("payload", [None, {}, {"pull_request": None}, {"pull_request": 1}, pull_request(None)])
def test_a_pull_request_whose_source_is_not_known_counts_as_a_forks(payload):
    assert judge(github("pull_request"), payload).claim == "fork=?"


def test_a_push_needs_no_payload_and_a_strange_one_does_not_raise():
    assert judge(github("push"), {"pull_request": None, "x": [1]}) is None
    assert judge(github("push"), {"pull_request": []}).claim == "fork=?"


def test_gitlab_merge_requests():
    own = {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "acme/app", "CI_MERGE_REQUEST_PROJECT_PATH": "acme/app"}
    assert judge(gitlab("merge_request_event", **own)) is None
    fork = own | {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "mallory/app"}
    assert judge(gitlab("merge_request_event", **fork)).claim == "fork=mallory/app"
    assert judge(gitlab("merge_request_event")).claim == "fork=?"
    assert judge(gitlab("external_pull_request_event"), events=("external_pull_request_event",)).claim == "fork=?"


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


@given(st.text(min_size=1))
def test_the_line_that_would_allow_it_is_toml_whatever_the_name(name):
    refusal = judge(github(GITHUB_ACTOR=name, GITHUB_TRIGGERING_ACTOR=name), actors=())
    assert tomllib.loads(refusal.allow) == {"trusted_actors": [name]}
