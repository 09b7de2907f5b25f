"""Branches that a server's rules refuse: the rule's own words, its own cause and remedy, and nothing half-made."""

import pytest
from support.delivery import BRANCH as REF
from support.delivery import docs, over_http
from support.forge import JOB, PAT, PROJECT
from support.protections import GITHUB, GITLAB, REPLACING, UNSIGNED
from support.shore import BRANCH, Shore

from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import BranchMovedError, DeliveryError

HELLO, LATER = {"hello.txt": b"hello\n"}, {"hello.txt": b"hello again\n"}
CAUSES = ("protected", "may not write", "no room", "signed commits", "secret", "too large", "push rule")


def refused(shore, protection, cause, remedy):
    """Deliver, and be refused by this rule alone."""
    shore.forge.project.settings.protections = [protection]
    with pytest.raises(DeliveryError) as told:
        shore.deliver(shore.change(HELLO))
    message = told.value.message
    assert cause in message
    said = protection.lines[-1].strip() or protection.lines[3].removeprefix("- ")
    assert said.removeprefix("error: ").removeprefix("GitLab: ").rstrip(".")[:60] in message
    assert remedy in told.value.remedy
    others = [each for each in CAUSES if each not in cause]
    assert not [each for each in others if f"docs {each}" in message or f"docs was not pushed: {each}" in message]
    assert (shore.branches, shore.pulls) == ([], [])
    shore.forge.project.settings.protections = []
    assert shore.deliver(shore.change(HELLO)).state == "delivered"  # once the rule is gone
    shore.check_one()


@pytest.mark.parametrize("name", GITHUB)
def test_a_push_to_github(forge, tmp_path, name):
    refused(Shore(forge, tmp_path, token=PAT), *GITHUB[name])


@pytest.mark.parametrize("token", [PROJECT, JOB], ids=["project", "job"])
@pytest.mark.parametrize("name", GITLAB)
def test_a_push_to_gitlab(forge, tmp_path, name, token):
    refused(Shore(forge, tmp_path, ForgeKind.GITLAB, token), *GITLAB[name])


@pytest.mark.parametrize("pattern", ["codex/**", "codex/docs", "codex/docs--next"])
@pytest.mark.parametrize("name", ["ruleset", "creation"])
def test_a_signed_commit_leaves_no_second_branch(forge, tmp_path, name, pattern):
    shore = Shore(forge, tmp_path)
    protection, _, remedy = GITHUB[name]
    forge.project.settings.protections = [
        type(protection)(pattern, protection.reason, protection.lines, protection.message, protection.when)
    ]
    with pytest.raises(DeliveryError, match="Repository rule violations found") as told:
        shore.deliver(shore.change(HELLO))
    assert protection.message.split("\n")[2].rstrip(".") in told.value.message
    assert remedy in told.value.remedy
    assert (shore.branches, shore.pulls) == ([], [])
    forge.project.settings.protections = []
    assert shore.deliver(shore.change(HELLO)).state == "delivered"
    shore.check_one()


def test_required_signatures_take_what_github_signs(forge, tmp_path):
    forge.project.settings.protections = [UNSIGNED]
    shore = Shore(forge, tmp_path)
    assert shore.deliver(shore.change(HELLO)).signed
    shore.check_one()


@pytest.mark.parametrize(
    ("kind", "token", "rule"),
    [
        (ForgeKind.GITHUB, PAT, "github"),
        (ForgeKind.GITHUB, None, "github"),
        (ForgeKind.GITLAB, PROJECT, "gitlab"),
        (ForgeKind.GITLAB, JOB, "gitlab"),
    ],
    ids=["github push", "github signed", "gitlab", "gitlab job"],
)
def test_a_branch_that_takes_no_other_commit_keeps_its_own(forge, tmp_path, kind, token, rule):
    shore = Shore(forge, tmp_path, kind, token)
    shore.deliver(shore.change(HELLO))
    tip = forge.repository.tip(BRANCH)
    body = forge.project.pull(1).body
    forge.project.settings.protections = [REPLACING[rule]]
    with pytest.raises(DeliveryError, match=r"Cannot force-push|not allowed to force push") as told:
        shore.deliver(shore.change(LATER), "run-2")
    assert "Allow force pushes" in told.value.remedy
    assert forge.repository.tip(BRANCH) == tip
    assert forge.project.pull(1).body == body
    shore.check_one()


# --- a real server ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_sshd
def test_a_server_that_denies_other_commits(own_remote):
    night, remote = own_remote
    first, _ = night.delivered(docs(night), remote)
    night.forge.git("config", "receive.denyNonFastForwards", "true")
    night.work.write("docs/a.md", "the next night\n")
    with pytest.raises(DeliveryError, match="codex/docs is protected from being replaced") as told:
        night.delivered(night.change(), remote, expected=first)
    assert not isinstance(told.value, BranchMovedError)
    assert "receive.denyNonFastForwards" in told.value.remedy
    assert "denying non-fast-forward" in told.value.message
    assert night.forge.refs()[REF] == first


def test_a_lease_that_is_lost_at_such_a_server_is_no_protection(own, served):
    remote = over_http(served, own)
    first, _ = own.delivered(docs(own), remote)
    own.forge.git("config", "receive.denyNonFastForwards", "true")
    own.work.write("docs/a.md", "the next night\n")
    change, moved = own.change(), own.forge.refs()["refs/heads/main"]
    served.faults = [("forge.git/git-receive-pack", lambda: own.forge.git("update-ref", REF, moved))]
    with pytest.raises(BranchMovedError, match=moved[:12]):
        own.delivered(change, remote, expected=first)
    assert own.forge.refs()[REF] == moved


HOOKS = {
    "gitlab protects": (
        "pre-receive",
        "echo 'GitLab: You are not allowed to push code to protected branches on this project.' >&2; exit 1",
        "codex/docs is protected, and was not pushed: GitLab: You are not allowed",
        "Exempt the branch",
    ),
    "one ref": (
        "update",
        'case $1 in refs/heads/codex/*) echo "codex/** is for the release team" >&2; exit 1;; esac',
        "codex/docs was declined by a hook of the repository: codex/** is for the release team",
        "Do what the hook asks for",
    ),
    "a hook that repeats the commit's words": (
        "update",
        'echo "refusing the commit: GH006: protected branch hook, No space left on device" >&2; exit 1',
        "codex/docs was declined by a hook of the repository: refusing the commit",
        "Do what the hook asks for",
    ),
    "a full disk": (
        "pre-receive",
        "echo 'error: unable to write file: No space left on device' >&2; exit 1",
        "codex/docs was not pushed, since the repository has no room for it",
        "Raise the limit",
    ),
}


@pytest.mark.needs_sshd
@pytest.mark.one_case
@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_of_a_real_server(night, remote, name):
    kind, script, message, remedy = HOOKS[name]
    change = docs(night)
    night.forge.hook(kind, script)
    with pytest.raises(DeliveryError) as told:
        night.delivered(change, remote)
    assert message in told.value.message
    assert remedy in told.value.remedy
    assert REF not in night.forge.refs()


def test_a_push_that_is_larger_than_the_server_takes(night, served):
    change = docs(night)
    night.forge.git("config", "receive.maxInputSize", "100")
    with pytest.raises(DeliveryError, match="pack exceeds maximum allowed size") as told:
        night.delivered(change, over_http(served, night))
    assert "let the job change less" in told.value.remedy
    night.forge.git("config", "--unset", "receive.maxInputSize")
    served.faults = [("forge.git/git-receive-pack", "413")]
    with pytest.raises(DeliveryError, match=r"refuses a push of this size: .*413") as told:
        night.delivered(change, over_http(served, night))
    assert "proxy" in told.value.remedy
    assert REF not in night.forge.refs()
