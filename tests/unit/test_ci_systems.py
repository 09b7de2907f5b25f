"""What the runner takes from each CI system, and a system more in one class. Azure has a file of its own."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.ci_environments import AZURE, BASE, FORGEJO, GITHUB, GITLAB, JENKINS, PULL_REQUEST, SHA
from support.events import event_file

from codex_runner.app.forge import place_of
from codex_runner.ci_systems import SYSTEMS, CiSystem, Pipeline
from codex_runner.ci_systems.identity import IdentityEndpoint, IdentityVariable
from codex_runner.ci_systems.system import Origin
from codex_runner.domain import secret_names
from codex_runner.domain.credential import CredentialSource, CredentialSpec
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.delivery_spec import DeliverySpec
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.surroundings import PASSED
from codex_runner.engine.trust import Trigger

ROOT = Path(__file__).parents[2]


def test_github():
    with event_file(GITHUB, PULL_REQUEST) as environ:
        here = Pipeline(environ)
        assert here.system.name == "github"
        assert str(here.occasion()) == "GitHub: pull_request, by ada, ben, cyn"
        assert here.occasion().fork is None
        assert here.proposal().name == "pull request 12"
        assert here.proposal().bases == (f"commit {BASE}", "ref refs/remotes/origin/main", f"merge-parent {SHA}")
    assert here.repository() == "acme/app"
    assert here.link() == "https://github.com/acme/app/actions/runs/9876543210"
    assert here.checkout() == "/home/runner/work/app/app"
    assert here.is_disposable()
    assert here.wants_details()
    assert here.log_formats() == ("github",)
    assert here.line_prefix() == "| "
    assert here.keeps_terminal()
    assert here.may_be_read()
    assert here.summary_file() == GITHUB["GITHUB_STEP_SUMMARY"]
    assert here.without_summary().keys() == here.environ.keys() - {"GITHUB_STEP_SUMMARY"}
    assert here.origin() == {
        "actor": "ben",
        "trigger": "pull_request",
        "repository": "acme/app",
        "workflow_ref": GITHUB["GITHUB_WORKFLOW_REF"],
        "sha": SHA,
        "pipeline_run": "9876543210",
    }
    assert isinstance(here.identity(), IdentityEndpoint)
    assert here.identity().url == GITHUB["ACTIONS_ID_TOKEN_REQUEST_URL"]
    assert here.identity().bearer == "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    assert "id-token: write" in here.identity_remedy("codex-runner")


def test_gitlab():
    here = Pipeline(GITLAB)
    assert here.system.name == "gitlab"
    assert str(here.occasion()) == "GitLab: merge_request_event, by ada"
    assert here.occasion().fork == "mallory/app"
    assert (here.proposal().name, here.proposal().bases) == ("merge request 5", (f"commit {BASE}",))
    assert here.repository() == "acme/tools/app"
    assert here.link() == GITLAB["CI_JOB_URL"]
    assert here.checkout() == ""
    assert here.is_disposable()
    assert not here.wants_details()
    assert Pipeline({**GITLAB, "CI_DEBUG_TRACE": "true"}).wants_details()
    assert here.log_formats() == ("gitlab",)
    assert here.line_prefix() == ""
    assert here.summary_file() == ""
    assert here.origin()["pipeline_run"] == "4711"
    assert here.identity() == IdentityVariable("VAULT_ID_TOKEN")
    assert "aud: codex-runner" in here.identity_remedy("codex-runner")


def test_forgejo():
    """As GitHub, but for the page of a run, the place of its API, what gives an identity, and the machine."""
    with event_file(FORGEJO, PULL_REQUEST) as environ:
        here = Pipeline(environ)
        assert here.system.name == "forgejo"
        assert str(here.occasion()) == "Forgejo: pull_request, by ada, ben, cyn"
        assert here.proposal().bases[0] == f"commit {BASE}"
    assert here.repository() == "acme/app"
    assert here.link() == "https://forge.example.com/acme/app/actions/runs/17", "the page has the number, not the id"
    assert here.log_formats()[0] == "github"
    assert here.line_prefix() == "| "
    assert not here.is_disposable()
    assert here.forge() == ("", "https://forge.example.com/api/v1"), "GitHub's API would be asked there in vain"
    assert here.origin()["workflow_ref"] == FORGEJO["GITHUB_WORKFLOW_REF"]
    assert here.identity().url == FORGEJO["ACTIONS_ID_TOKEN_REQUEST_URL"]
    assert here.identity().title == "Forgejo"
    assert "enable-openid-connect: true" in here.identity().if_refused
    assert "enable-openid-connect: true" in here.identity_remedy("codex-runner")


@pytest.mark.parametrize("event", ["pull_request_target", "issue_comment", "workflow_run", "repository_dispatch"])
def test_forgejo_trusts_no_event_that_it_does_not_have_or_that_has_a_strangers_words(event):
    with event_file({**FORGEJO, "GITHUB_EVENT_NAME": event}, {}) as environ:
        assert event not in Pipeline(environ).occasion().default_events


def test_a_pull_request_from_a_fork_is_one_on_forgejo_too():
    pull = {**PULL_REQUEST["pull_request"], "head": {"sha": SHA, "repo": {"full_name": "mallory/app"}}}
    with event_file(FORGEJO, {**PULL_REQUEST, "pull_request": pull}) as environ:
        assert Pipeline(environ).occasion().fork == "mallory/app"
    assert Pipeline(FORGEJO).occasion().fork == "", "without a payload nothing is known"


def test_a_delivery_on_forgejo_must_name_its_kind():
    """GitHub's API was asked at Forgejo's address, after the agent, and in vain."""
    spec = DeliverySpec(credential=CredentialSpec(source=CredentialSource.ENV, variable="GITHUB_TOKEN"))
    origin = "https://forge.example.com/acme/app.git"
    with pytest.raises(ConfigurationError) as refused:
        place_of("docs", spec, origin, FORGEJO)
    assert '"git"' in refused.value.remedy
    assert "missing, and the tree's remote forge.example.com does not tell the forge." in refused.value.message
    for other, told in (("", "the tree has no remote `origin`"), ("/srv/app.git", "the tree's remote is a folder")):
        with pytest.raises(ConfigurationError, match=f"delivery.target: missing, and {told}"):
            place_of("docs", spec, other, {})
    assert place_of("docs", replace(spec, target=ForgeKind.GIT), origin, FORGEJO).url == origin


@pytest.mark.parametrize("more", [{"FORGEJO_ACTIONS": "false"}, {"FORGEJO_ACTIONS": ""}])
def test_what_is_not_forgejo_is_github_in_every_word(more):
    environ = {**GITHUB, **more}
    here = Pipeline(environ)
    assert here.system.name == "github"
    assert here.link() == Pipeline(GITHUB).link()
    assert here.identity() == Pipeline(GITHUB).identity()
    assert here.identity_remedy("x") == Pipeline(GITHUB).identity_remedy("x")
    assert here.forge() == Pipeline(GITHUB).forge()


def test_jenkins():
    here = Pipeline(JENKINS)
    assert here.system.name == "jenkins"
    assert str(here.occasion()) == "Jenkins: change, by ada, ben"
    assert here.occasion().fork == "mallory"
    assert here.proposal().bases == ("fork-point refs/remotes/origin/main", "ref refs/remotes/origin/main")
    assert here.repository() == "", "the address of a clone is no <owner>/<repo>"
    assert here.link() == JENKINS["BUILD_URL"]
    assert here.log_formats() == ()
    assert here.may_be_read()
    assert not here.keeps_terminal()
    assert here.origin()["repository"] == JENKINS["GIT_URL"]
    assert here.identity() is None
    assert here.identity_remedy("codex-runner") == ""


@pytest.mark.parametrize(
    ("environ", "name", "link"),
    [
        ({"BUILDKITE": "true", "BUILDKITE_BUILD_URL": "https://buildkite.com/b/1"}, "buildkite", True),
        ({"TEAMCITY_VERSION": "2025.07"}, "teamcity", False),
    ],
)
def test_a_system_that_may_read_a_log_and_of_which_nothing_is_judged(environ, name, link):
    here = Pipeline(environ)
    assert here.system.name == name
    assert here.may_be_read()
    assert here.occasion() is None
    assert here.proposal() is None
    assert bool(here.link()) == link


@pytest.mark.parametrize(
    "environ",
    [{}, {"USER": "ada", "LOGNAME": "root"}, {"GITHUB_ACTIONS": "false", "GITLAB_CI": "false", "CI": "false"}],
)
def test_no_system_at_all(environ):
    """A person, cron and systemd: nothing in the environment says that this is a pipeline."""
    here = Pipeline(environ)
    assert here.system is None
    assert (here.occasion(), here.proposal(), here.identity()) == (None, None, None)
    assert (here.repository(), here.link(), here.checkout(), here.summary_file()) == ("",) * 4
    assert here.log_formats() == ()
    assert not here.is_disposable()
    assert not here.may_be_read()
    assert here.origin()["actor"] == environ.get("USER")


def test_a_variable_of_another_system_takes_no_pipeline_out_of_the_judges_sight():
    more = {"BUILDKITE": "true", "TF_BUILD": "True", "TEAMCITY_VERSION": "1"}
    for judged in (GITHUB, GITLAB, JENKINS, FORGEJO, AZURE):
        assert Pipeline({**more, **judged}).occasion() == Pipeline(judged).occasion()


class Drone(CiSystem):
    """A system that the runner does not know: one class, and its place in the list."""

    name = "drone"
    title = "Drone"
    markers = ("DRONE",)
    trusted_events = ("push", "cron")
    origin = Origin(actor=("DRONE_BUILD_TRIGGER",), sha=("DRONE_COMMIT",))

    def occasion(self, environ):
        return Trigger(self.title, environ["DRONE_BUILD_EVENT"], "DRONE_BUILD_EVENT", (), "", self.trusted_events)

    def repository(self, environ):
        return environ.get("DRONE_REPO", "")


def test_a_system_more_is_one_class():
    environ = {"DRONE": "true", "DRONE_BUILD_EVENT": "push", "DRONE_REPO": "acme/app", "DRONE_COMMIT": SHA}
    here = Pipeline(environ, (*SYSTEMS, Drone()))
    assert here.system.name == "drone"
    assert str(here.occasion()) == "Drone: push"
    assert here.repository() == "acme/app"
    assert here.origin()["sha"] == SHA
    assert here.may_be_read()
    assert (here.link(), here.identity(), here.log_formats(), here.is_disposable()) == ("", None, (), False)


def test_systems_whose_pipelines_are_judged_are_asked_first():
    judged = [type(each).occasion is not CiSystem.occasion for each in SYSTEMS]
    assert judged == sorted(judged, reverse=True)
    assert all(bool(each.trusted_events) == is_judged for each, is_judged in zip(SYSTEMS, judged, strict=True))


def test_names_are_unique():
    for names in ([each.name for each in SYSTEMS], [each.title for each in SYSTEMS]):
        assert len(set(names)) == len(names)


def test_what_a_system_hands_over_is_hidden_and_what_it_cleans_up_by_is_passed_on():
    for system in SYSTEMS:
        assert set(system.secret_variables) <= secret_names.NAMES
        assert set(system.tracking_variables) <= PASSED


# Names of variables of CI systems, whole. Ours begin with CODEX_RUNNER_.
FOREIGN = re.compile(
    r"(?:AGENT|GITHUB|GITLAB|CI|CHANGE|BUILD|BUILDKITE|FORGEJO|GITEA|JENKINS|ACTIONS|RUNNER|SYSTEM|TEAMCITY|TF)_[A-Z_]*"
    r"|CI|BUILDKITE|JOB_NAME|GIT_(?:COMMIT|URL|BRANCH)"
)
ALLOWED = {
    "codex_runner/domain/secret_names.py": {  # the table of secrets
        *("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_TOKEN"),
        *("FORGEJO_TOKEN", "GITEA_TOKEN", "ACTIONS_RUNTIME_TOKEN", "SYSTEM_ACCESSTOKEN"),
    },
    "codex_runner/domain/surroundings.py": {
        "RUNNER_TRACKING_ID",
        "JENKINS_NODE_COOKIE",
    },  # the list that start.sh has too
    "codex_runner/vault/endpoint.py": {"AGENT_ADDR"},  # of VAULT_AGENT_ADDR
    "codex_runner/vault/oidc.py": {"CI_IDENTITY_TOKEN"},  # the name of a mask, no variable
}


def test_no_other_module_names_a_variable_of_a_ci_system():
    named = {}
    for path in sorted(ROOT.glob("codex_runner/**/*.py")):
        place = path.relative_to(ROOT).as_posix()
        if path.parent.name in {"ci_systems", "demo"}:
            continue
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        found = {text for text in texts if FOREIGN.fullmatch(text)} - ALLOWED.get(place, set())
        if found:
            named[place] = found
    assert named == {}
