"""What the runner takes from Azure Pipelines' variables."""

import pytest
from support.ci_environments import AZURE, BASE, SHA

from codex_runner.ci_systems import Pipeline


def test_azure():
    here = Pipeline(AZURE)
    assert here.system.name == "azure"
    assert str(here.occasion()) == "Azure Pipelines: PullRequest, by ada@example.com"
    assert here.occasion().fork is None
    assert here.proposal().name == "pull request 12"
    assert here.proposal().bases == ("ref refs/remotes/origin/main", f"merge-parent {BASE}")
    assert here.repository() == "acme/app"
    assert here.link() == "https://dev.azure.com/acme/the%20app/_build/results?buildId=4711"
    assert here.checkout() == "/home/vsts/work/1/s"
    assert here.is_disposable()
    assert not Pipeline({**AZURE, "AGENT_ISSELFHOSTED": "1"}).is_disposable()
    assert here.log_formats() == ("azure",)
    assert not here.wants_details()
    assert Pipeline({**AZURE, "SYSTEM_DEBUG": "True"}).wants_details()
    assert here.may_be_read()
    assert here.summary_file() == ""
    assert here.identity() is None
    assert here.identity_remedy("codex-runner") == ""
    assert here.forge() == ("", "")
    assert here.origin() == {
        "actor": "ada@example.com",
        "trigger": "PullRequest",
        "repository": "https://github.com/acme/app",
        "workflow_ref": "codex nightly",
        "sha": SHA,
        "pipeline_run": "4711",
    }


def test_azure_repos_has_full_branch_names_and_repositories_without_an_owner():
    environ = {
        **AZURE,
        "BUILD_REPOSITORY_NAME": "app",
        "BUILD_REPOSITORY_PROVIDER": "TfsGit",
        "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/release/2",
        "SYSTEM_TEAMPROJECT": "web",
    }
    environ.pop("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER")
    assert Pipeline(environ).proposal().name == "pull request 900"
    assert Pipeline(environ).proposal().bases[0] == "ref refs/remotes/origin/release/2"
    assert Pipeline(environ).repository() == "web/app"
    assert Pipeline({**environ, "SYSTEM_TEAMPROJECT": "the app"}).repository() == "", "no name of a branch or a path"


@pytest.mark.parametrize(
    ("more", "fork"),
    [
        ({"SYSTEM_PULLREQUEST_ISFORK": "True"}, "acme/app"),
        (
            {
                "SYSTEM_PULLREQUEST_ISFORK": "True",
                "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "https://github.com/mallory/app.git",
            },
            "mallory/app",
        ),
        (
            {
                "SYSTEM_PULLREQUEST_ISFORK": "true",
                "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "https://acme@dev.azure.com/acme/web/_git/app",
            },
            "acme/web/_git/app",
        ),
        ({"SYSTEM_PULLREQUEST_ISFORK": "True", "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": ""}, ""),
        ({"SYSTEM_PULLREQUEST_ISFORK": "True", "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "https://[x/y"}, ""),
        ({"SYSTEM_PULLREQUEST_ISFORK": ""}, ""),
        ({"SYSTEM_PULLREQUEST_ISFORK": "?"}, ""),
        ({"SYSTEM_PULLREQUEST_ISFORK": "True", "BUILD_REASON": "Manual"}, "acme/app"),
        ({"SYSTEM_PULLREQUEST_ISFORK": "", "BUILD_REASON": "Schedule", "SYSTEM_PULLREQUEST_PULLREQUESTID": ""}, None),
        ({"SYSTEM_PULLREQUEST_ISFORK": "", "BUILD_REASON": "Manual"}, ""),
    ],
)
def test_a_fork_on_azure(more, fork):
    """In doubt, a build of a pull request counts as a fork's."""
    assert Pipeline({**AZURE, **more}).occasion().fork == fork


def test_azure_outside_of_a_pull_request():
    environ = {name: value for name, value in AZURE.items() if "PULLREQUEST" not in name}
    for reason in ("Manual", "IndividualCI", "BatchedCI", "Schedule"):
        here = Pipeline({**environ, "BUILD_REASON": reason})
        assert here.proposal() is None
        assert here.occasion().fork is None
        assert reason in here.occasion().default_events
    for reason in ("ResourceTrigger", "BuildCompletion", ""):
        assert reason not in Pipeline({**environ, "BUILD_REASON": reason}).occasion().default_events


def test_a_display_name_is_nobodys_account():
    """Everybody may call themselves Ada: only the address of the account counts."""
    assert Pipeline({**AZURE, "BUILD_REQUESTEDFOREMAIL": ""}).occasion().actors == ()
