"""The permissions that docs/delivery.md lists: with exactly these a change is delivered, and each is missed by name.

The small forge refuses by permission, as GitHub and GitLab do. What is missing is told before the agent.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.delivery import Night, docs, over_http
from support.shore import Shore

from codex_runner.demo.forge_state import Token
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import CredentialError, DeliveryError

PAGE = (Path(__file__).parents[3] / "docs" / "delivery.md").read_text()
HELLO = {"hello.txt": b"hello\n"}
BOTH = frozenset({"contents", "pulls"})


def actions(project):
    project.settings.actions_open = False


def no_push(project):
    project.settings.job_pushes = False


def old(project):
    project.settings.job_reads = False


# The row of the page and what it has to name; the token with exactly that; what is missing, and what is told then.
WAYS = {
    "of a GitHub App": (
        ("Contents: read and write", "Pull requests: read and write", "Members: read"),
        "ghs_theAppsOwn000000000000000000000000001",
        Token("notes-bot[bot]", BOTH, signs=True),
        {
            "Contents: read and write": {"rights": BOTH - {"contents"}},
            "pull_requests=write": {"rights": BOTH - {"pulls"}},
        },
    ),
    "`GITHUB_TOKEN`": (
        ("contents: write", "pull-requests: write", "Allow GitHub Actions to create and approve pull requests"),
        "ghs_theJobsOwn000000000000000000000000002",
        Token("github-actions[bot]", BOTH, signs=True),
        {
            "Contents: read and write": {"rights": BOTH - {"contents"}},
            "pull-requests: write": {"rights": BOTH - {"pulls"}},
            "Allow GitHub Actions to create and approve pull requests": {"project": actions},
        },
    ),
    "fine-grained personal access token": (
        ("Contents: read and write", "Pull requests: read and write"),
        "github_pat_11AAAAAAA0fineGrained_00000003",
        Token("ada", BOTH),
        {
            "contents and pull requests": {"rights": BOTH - {"contents"}},
            "pull_requests=write": {"rights": BOTH - {"pulls"}},
        },
    ),
    "classic personal access token": (
        ("the scope `repo`", "`public_repo`"),
        "ghp_classic000000000000000000000000000004",
        Token("ada", BOTH, scopes="repo"),
        {"the scope `repo`": {"scopes": "public_repo, gist"}},
    ),
    "project access token": (
        ("the role Developer", "the scope `api`"),
        "glpat-theProjects0000000005",
        Token("project_4711_bot", BOTH),
        {"role Developer": {"rights": BOTH - {"contents"}}, "scope `api`": {"rights": BOTH - {"pulls"}}},
    ),
    "`CI_JOB_TOKEN`": (
        ("GitLab 18.4", "Allow Git push requests to the repository", "The role Developer"),
        "glcbt-64_theJobsOwn0000000006",
        Token("ada", BOTH, job=True),
        {
            "GitLab 18.4": {"project": old},
            "Allow Git push requests to the repository": {"project": no_push},
            "the person who started the job needs the role Developer": {"rights": BOTH - {"contents"}},
        },
    ),
}
MISSING = [(way, name) for way, (_, _, _, missing) in WAYS.items() for name in missing]


def shore_of(forge, folder, way, **changed):
    _, secret, token, _ = WAYS[way]
    if project := changed.pop("project", None):
        project(forge.project)
    forge.tokens[secret] = replace(token, **changed)
    return Shore(forge, folder, ForgeKind.GITLAB if secret.startswith("gl") else ForgeKind.GITHUB, secret)


def test_each_row_of_the_page_is_one_of_these():
    tables = re.findall(r"^\| Token \|.*\n\| --- .*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [line for table in tables for line in table.splitlines()]
    assert len(rows) == len(WAYS)
    for (way, (words, *_)), row in zip(WAYS.items(), rows, strict=True):
        assert row.startswith(f"| {way}")
        for each in words:
            assert each in row


@pytest.mark.every_case
@pytest.mark.parametrize("way", WAYS)
def test_exactly_what_is_listed_is_enough(forge, tmp_path, way):
    shore = shore_of(forge, tmp_path, way)
    shore.spec = replace(shore.spec, labels=("documentation",), assignees=("ada",))
    shore.check()
    assert forge.project.pulls == []
    assert forge.repository.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    done = shore.deliver(shore.change(HELLO))
    assert done.state == "delivered"
    assert not [each for each in done.warnings if "was not added" in each]
    shore.check_one()
    assert shore.deliver(shore.change({"hello.txt": b"more\n"})).state == "updated"


@pytest.mark.every_case
@pytest.mark.parametrize(("way", "name"), MISSING)
def test_what_is_missing_is_refused_before_the_agent_by_its_name(forge, tmp_path, way, name):
    shore = shore_of(forge, tmp_path, way, **WAYS[way][3][name])
    with pytest.raises((CredentialError, DeliveryError)) as told:
        shore.check()
    assert name in f"{told.value.message} {told.value.remedy}"
    assert (shore.branches, shore.pulls) == ([], [])


def test_a_public_repository_needs_less_of_a_classic_token(forge, tmp_path):
    forge.project.settings.private = False
    shore = shore_of(forge, tmp_path, "classic personal access token", scopes="public_repo")
    shore.check()
    assert shore.deliver(shore.change(HELLO)).state == "delivered"


def test_a_team_needs_the_right_to_see_it(forge, tmp_path):
    for rights, count in ((BOTH, 1), (BOTH | {"teams"}, 0)):
        shore = shore_of(forge, tmp_path, "of a GitHub App", rights=rights)
        shore.spec = replace(shore.spec, reviewers=("acme/writers",), branch=f"codex/docs-{count}")
        done = shore.deliver(shore.change(HELLO))
        assert len([each for each in done.warnings if "was not added" in each]) == count


def test_a_plain_remote_has_to_take_the_record(tmp_path, served):
    night = Night(tmp_path / "night")
    change = docs(night)
    forge = type("Plain", (), {"repository": type("Bare", (), {"path": night.forge.path})})
    shore = Shore(forge, tmp_path, ForgeKind.GIT, plain=over_http(served, night))
    night.forge.hook("update", 'case $1 in refs/codex-runner/*) echo "no such refs here" >&2; exit 1;; esac')
    shore.check()  # no hook sees a push that is only tried
    with pytest.raises(DeliveryError, match="no such refs here") as told:
        shore.deliver(change)
    assert "refs/codex-runner/*" in told.value.remedy
    assert list(night.forge.refs()) == ["refs/heads/main"]
    (night.forge.path / "hooks" / "update").unlink()
    assert shore.deliver(change).state == "delivered"
