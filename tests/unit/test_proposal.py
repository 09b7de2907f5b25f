"""Where the base of a pull or merge request may be found, by what each CI system says."""

import pytest
from support.events import event_file

from codex_runner.ci_systems import Pipeline

A, B, C = "a" * 40, "b" * 64, "c" * 40
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"}
GITLAB = {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "5"}
JENKINS = {"BUILD_TAG": "jenkins-app-1"}


def proposal_of(environ, payload):
    with event_file(environ, payload) as there:
        return Pipeline(there).proposal()


@pytest.mark.parametrize(
    ("environ", "payload", "name", "bases"),
    [
        (
            GITHUB,
            {"number": 7, "pull_request": {"base": {"sha": A, "ref": "main"}, "head": {"sha": C}}},
            "pull request 7",
            (f"commit {A}", "ref refs/remotes/origin/main", f"merge-parent {C}"),
        ),
        (GITHUB | {"GITHUB_BASE_REF": "v1.x"}, None, "pull request", ("ref refs/remotes/origin/v1.x",)),
        (
            GITHUB | {"GITHUB_EVENT_NAME": "pull_request_target"},
            {"number": 7, "pull_request": {"base": {"sha": B}}},
            "pull request 7",
            (f"commit {B}",),
        ),
        (
            GITHUB | {"GITHUB_EVENT_NAME": "issue_comment"},
            {"issue": {"number": 8, "pull_request": {}}, "repository": {"default_branch": "main"}},
            "pull request 8",
            ("ref refs/remotes/origin/main",),
        ),
        (
            GITHUB | {"GITHUB_EVENT_NAME": "workflow_run"},
            {"workflow_run": {"event": "pull_request"}, "repository": {"default_branch": "main"}},
            "pull request",
            ("ref refs/remotes/origin/main",),
        ),
        (
            GITLAB
            | {"CI_MERGE_REQUEST_TARGET_BRANCH_SHA": A, "CI_MERGE_REQUEST_DIFF_BASE_SHA": B}
            | {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": C},
            None,
            "merge request 5",
            (f"commit {A}", f"commit {B}", f"merge-parent {C}"),
        ),
        (
            GITLAB
            | {"CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "", "CI_MERGE_REQUEST_DIFF_BASE_SHA": B}
            | {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
            None,
            "merge request 5",
            (
                f"commit {B}",
                "ref refs/remotes/origin/main",
            ),
        ),
        (
            {"GITLAB_CI": "true", "CI_EXTERNAL_PULL_REQUEST_IID": "9"}
            | {"CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA": A},
            None,
            "pull request 9",
            (f"commit {A}",),
        ),
        (
            JENKINS | {"CHANGE_ID": "3", "CHANGE_TARGET": "release/1.0"},
            None,
            "change 3",
            (
                "fork-point refs/remotes/origin/release/1.0",
                "ref refs/remotes/origin/release/1.0",
            ),
        ),
    ],
)
def test_a_proposal(environ, payload, name, bases):
    proposal = proposal_of(environ, payload)
    assert (proposal.name, proposal.bases) == (name, bases)


@pytest.mark.parametrize(
    ("environ", "payload"),
    [
        ({}, None),
        (GITHUB | {"GITHUB_EVENT_NAME": "push"}, {"repository": {"default_branch": "main"}}),
        (GITHUB | {"GITHUB_EVENT_NAME": "schedule"}, None),
        (GITHUB | {"GITHUB_EVENT_NAME": "issue_comment"}, {"issue": {"number": 8}}),
        (GITHUB | {"GITHUB_EVENT_NAME": "workflow_run"}, {"workflow_run": {"event": "push"}}),
        ({"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push"}, None),
        (JENKINS | {"CHANGE_ID": ""}, None),
        ({"CHANGE_ID": "3"}, None),
    ],
)
def test_no_proposal(environ, payload):
    assert proposal_of(environ, payload) is None


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "a\nbase x", "", None, "a:b", "@{-1}", 7, "a^", "a~1"])
@pytest.mark.parametrize("sha", ["-x", "HEAD", "a" * 39, "A" * 40, None, 7, f"{A}^"])
def test_what_is_no_branch_and_no_commit_is_none(branch, sha):
    payload = {"number": "1; x", "pull_request": {"base": {"sha": sha, "ref": branch}}}
    proposal = proposal_of(GITHUB, payload)
    assert proposal.bases == ()
    assert proposal.name == "pull request"
