"""Nights after one another, and what people do between them: what is theirs is left alone, and nothing is doubled."""

import asyncio
import re
from dataclasses import replace

import pytest
from support.forge import ACTIONS, JOB, PAT
from support.shore import BRANCH, WORKFLOW, Shore

from codex_runner.domain.delivery import CommitWay, ForgeKind, IfUnchanged, Reopen
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import BranchMovedError, CredentialError, DeliveryError

HELLO, LATER = {"hello.txt": b"hello\n"}, {"hello.txt": b"hello again\n"}


WAYS = {"github": (ForgeKind.GITHUB, None), "gitlab": (ForgeKind.GITLAB, None), "job token": (ForgeKind.GITLAB, JOB)}


@pytest.fixture(params=WAYS)
def shore(request, forge, tmp_path):
    kind, token = WAYS[request.param]
    return Shore(forge, tmp_path, kind, token)


@pytest.fixture(params=[ForgeKind.GITHUB, ForgeKind.GITLAB], ids=["github", "gitlab"])
def by_api(request, forge, tmp_path):
    """A token that writes pull requests by the API, as CI_JOB_TOKEN cannot."""
    return Shore(forge, tmp_path, request.param)


def states(shore, *changes):
    return [str(shore.deliver(change, f"run-{number}").state) for number, change in enumerate(changes, 1)]


def people_push(shore, branch=BRANCH):
    commit = shore.forge.repository.commit_files(branch, {"review.txt": b"a person's\n"}, "Review")
    shore.forge.project.settle()
    return commit


def test_a_persons_commit_is_never_overwritten(shore):
    shore.deliver(shore.change(HELLO))
    tip = people_push(shore)
    held = shore.deliver(shore.change(LATER))
    assert (held.state, held.number) == ("held", 1)
    assert "A person has pushed" in held.reason
    assert shore.forge.repository.tip(BRANCH) == tip == held.commit
    shore.check_one()


def test_a_pull_request_without_the_record_is_a_persons(shore):
    shore.deliver(shore.change(HELLO))
    tip = shore.forge.repository.tip(BRANCH)
    pull = shore.forge.project.pull(1)
    pull.body = re.sub("<!--.*?-->", "", pull.body)
    held = shore.deliver(shore.change(LATER))
    assert (held.state, held.number) == ("held", 1)
    assert shore.forge.repository.tip(BRANCH) == tip


def test_what_people_add_to_the_text_stays(shore):
    shore.deliver(shore.change(HELLO))
    pull = shore.forge.project.pull(1)
    pull.body += "\nSeen by Ada.\n"
    assert shore.deliver(shore.change(LATER), summary="Wrote more.").state == "updated"
    assert "Seen by Ada." in pull.body
    assert "Wrote more." in pull.body
    assert "Wrote the docs." not in pull.body


def test_another_workflows_branch_is_left_alone(shore):
    shore.deliver(shore.change(HELLO))
    tip = shore.forge.repository.tip(BRANCH)
    shore.workflow = "acme/app/other"
    held = shore.deliver(shore.change(LATER))
    assert held.state == "held"
    assert WORKFLOW in held.reason
    assert shore.forge.repository.tip(BRANCH) == tip


def test_another_workflows_branch_is_left_alone_before_it_has_a_pull_request(by_api):
    change = by_api.change(HELLO)
    answer = by_api.forge.answer
    by_api.forge.answer = lambda method, path, *more: (
        None if method == "POST" and path.endswith(("/pulls", "/merge_requests")) else answer(method, path, *more)
    )
    with pytest.raises(DeliveryError):
        by_api.deliver(change)
    by_api.forge.answer = answer
    assert by_api.branches == [BRANCH]
    tip = by_api.forge.repository.tip(BRANCH)
    by_api.workflow = "acme/app/other"
    assert by_api.deliver(by_api.change(LATER)).state == "held"
    assert by_api.forge.repository.tip(BRANCH) == tip
    by_api.workflow = WORKFLOW
    assert by_api.deliver(change).state == "delivered"
    by_api.check_one()


def test_closed_by_a_person_it_stays_closed_until_the_base_changes_what_matters(shore):
    shore.deliver(shore.change(HELLO))
    shore.forge.project.close(1)
    shore.forge.repository.commit_files("main", {"unrelated.txt": b"1\n"}, "Work")
    closed = shore.deliver(shore.change(LATER))
    assert (closed.state, closed.number) == ("closed", 1)
    assert [state for _, _, state in shore.pulls] == ["closed"]
    shore.forge.repository.commit_files("main", {"hello.txt": b"a person's\n"}, "Work")
    again = shore.deliver(shore.change(LATER))
    assert (again.state, again.number) == ("delivered", 2)
    assert shore.pulls == [(1, BRANCH, "closed"), (2, BRANCH, "open")]


def test_the_files_that_matter_may_be_named(shore):
    shore.watched = ("src/**",)
    shore.deliver(shore.change(HELLO))
    shore.forge.project.close(1)
    shore.forge.repository.commit_files("main", {"docs/a.md": b"1\n"}, "Work")
    assert shore.deliver(shore.change(LATER)).state == "closed"
    shore.forge.repository.commit_files("main", {"src/a.py": b"1\n"}, "Work")
    assert shore.deliver(shore.change(LATER)).state == "delivered"


@pytest.mark.parametrize(("reopen", "state"), [(Reopen.NEVER, "closed"), (Reopen.ALWAYS, "delivered")])
def test_reopen(shore, reopen, state):
    shore.spec = replace(shore.spec, reopen=reopen)
    shore.deliver(shore.change(HELLO))
    shore.forge.project.close(1)
    shore.forge.repository.commit_files("main", {"hello.txt": b"a person's\n"}, "Work")
    assert shore.deliver(shore.change(LATER)).state == state


@pytest.mark.parametrize("kept", [True, False])
def test_after_a_merge_there_is_a_new_one(shore, kept):
    shore.deliver(shore.change(HELLO))
    shore.forge.project.merge(1, keep_branch=kept)
    new = shore.deliver(shore.change(LATER))
    assert (new.state, new.number) == ("delivered", 2)
    assert shore.forge.repository.commit(new.commit).parents == (shore.forge.repository.tip("main"),)
    assert shore.branches == [BRANCH]


def test_what_is_merged_already_is_no_change(shore):
    change = shore.change(HELLO)
    shore.deliver(change)
    shore.forge.project.merge(1)
    again = shore.deliver(change)
    assert (again.state, again.number) == ("unchanged", 1)
    assert shore.pulls == [(1, BRANCH, "closed")]


def test_nothing_changed(by_api):
    assert by_api.deliver(None).state == "unchanged"
    assert by_api.branches == []
    by_api.deliver(by_api.change(HELLO))
    assert by_api.deliver(None).state == "unchanged"
    by_api.check_one()
    by_api.spec = replace(by_api.spec, if_unchanged=IfUnchanged.CLOSE)
    assert by_api.deliver(None).state == "unchanged"
    assert by_api.pulls == [(1, BRANCH, "closed")]
    assert by_api.deliver(by_api.change(LATER)).state == "delivered"  # the runner itself had closed it
    assert by_api.pulls == [(1, BRANCH, "closed"), (2, BRANCH, "open")]


def test_one_with_a_persons_commit_is_not_closed(by_api):
    by_api.spec = replace(by_api.spec, if_unchanged=IfUnchanged.CLOSE)
    by_api.deliver(by_api.change(HELLO))
    people_push(by_api)
    assert by_api.deliver(None).state == "unchanged"
    by_api.check_one()


def test_two_runs_at_once(shore):
    one, other = shore.change(HELLO), shore.change(LATER)

    async def both():
        return await asyncio.gather(shore.land(one, "run-1"), shore.land(other, "run-2"), return_exceptions=True)

    results = asyncio.run(both())
    assert not [each for each in results if isinstance(each, BaseException) and not isinstance(each, BranchMovedError)]
    shore.check_one()
    assert shore.deliver(other, "run-3").state in {"updated", "unchanged"}
    shore.check_one()
    assert shore.shown("hello.txt") == "hello again"


def test_a_branch_of_a_person_with_this_name(shore):
    shore.forge.repository.move(BRANCH, shore.forge.repository.tip("main"))
    tip = people_push(shore)
    assert shore.deliver(shore.change(HELLO)).state == "held"
    assert (shore.forge.repository.tip(BRANCH), shore.pulls) == (tip, [])


def test_the_default_branch_is_never_written(shore):
    tip = shore.forge.repository.tip("main")
    shore.spec = replace(shore.spec, branch="main")
    assert shore.deliver(shore.change(HELLO)).state == "held"
    assert shore.forge.repository.tip("main") == tip


def test_a_protected_branch_of_this_name(forge, tmp_path):
    """GitHub's rules are seen only when the branch is to be moved."""
    shore = Shore(forge, tmp_path)
    forge.project.settings.protected.add(BRANCH)
    with pytest.raises(DeliveryError, match="protected ref"):
        shore.deliver(shore.change(HELLO))
    assert (BRANCH in shore.branches, shore.pulls) == (False, [])
    forge.project.settings.protected.discard(BRANCH)
    assert shore.deliver(shore.change(HELLO)).state == "delivered"
    shore.check_one()


@pytest.mark.parametrize("other", ["codex", f"{BRANCH}/more"])
def test_a_branch_in_the_way(shore, other):
    shore.forge.repository.move(other, shore.forge.repository.tip("main"))
    with pytest.raises(DeliveryError, match="beside") as caught:
        shore.deliver(shore.change(HELLO))
    assert "branch" in caught.value.remedy
    assert (shore.branches, shore.pulls) == ([other], [])


def test_a_label_that_is_missing_is_a_warning(forge, tmp_path):
    forge.project.settings.new_labels = False
    shore = Shore(forge, tmp_path, labels=("documentation", "nowhere"))
    done = shore.deliver(shore.change(HELLO))
    assert done.state == "delivered"
    assert "nowhere" in " ".join(done.warnings)
    assert shore.deliver(shore.change(HELLO)).state == "unchanged"


def test_a_conflict_names_its_files(shore):
    change = shore.change(HELLO)
    shore.forge.repository.commit_files("main", {"hello.txt": b"a person's\n"}, "Work")
    with pytest.raises(DeliveryError, match=r"hello\.txt") as caught:
        shore.deliver(change)
    assert "patch" in caught.value.remedy
    assert (shore.branches, shore.pulls) == ([], [])


def test_pull_requests_that_actions_may_not_open(forge, tmp_path):
    shore = Shore(forge, tmp_path, token=ACTIONS)
    forge.project.settings.actions_open = False
    change = shore.change(HELLO)
    with pytest.raises(DeliveryError) as caught:
        shore.deliver(change)
    assert "Allow GitHub Actions to create and approve pull requests" in caught.value.remedy
    assert shore.branches == [BRANCH]
    forge.project.settings.actions_open = True
    done = shore.deliver(change)
    assert done.state == "delivered"
    assert "approval" in " ".join(done.warnings)
    shore.check_one()


def test_a_token_that_expires_between_push_and_pull_request(forge, tmp_path):
    shore = Shore(forge, tmp_path, token=PAT)
    answer, known = forge.answer, forge.tokens[PAT]

    def expiring(method, path, *more):
        if path.endswith("/pulls") and method == "POST":
            del forge.tokens[PAT]
        return answer(method, path, *more)

    forge.answer = expiring
    with pytest.raises(CredentialError):
        shore.deliver(shore.change(HELLO))
    forge.answer = answer
    forge.tokens[PAT] = known
    assert shore.deliver(shore.change(HELLO)).state == "delivered"
    shore.check_one()


@pytest.mark.parametrize(
    ("kind", "token", "modes", "spec", "way", "signed"),
    [
        (ForgeKind.GITHUB, None, {}, {}, CommitWay.MUTATION, True),
        (ForgeKind.GITHUB, None, {"hello.txt": "100755"}, {}, CommitWay.TREES, True),
        (ForgeKind.GITHUB, PAT, {}, {}, CommitWay.PUSH, False),  # GitHub signs for no person's token
        (ForgeKind.GITHUB, None, {}, {"signing": Signing.OFF}, CommitWay.PUSH, False),
        (ForgeKind.GITHUB, None, {}, {"author": "Ada <ada@example.com>"}, CommitWay.PUSH, False),
        (ForgeKind.GITLAB, None, {}, {}, CommitWay.PUSH, False),
        (ForgeKind.GIT, None, {}, {}, CommitWay.PUSH, None),
    ],
)
@pytest.mark.every_case
def test_the_result_says_which_way_the_commit_took(forge, tmp_path, kind, token, modes, spec, way, signed):
    shore = Shore(forge, tmp_path, kind, token, **spec)
    done = shore.deliver(shore.change(HELLO, modes))
    assert (done.way, done.signed) == (way, signed)
    assert done.commit_told
    assert any("delivery.author" in each for each in done.warnings) == ("author" in spec)
    assert shore.deliver(shore.change(HELLO, modes)).way is None


def test_one_listing_a_decision(shore):
    """The refs are listed once a delivery, and once more if a push was rejected: see the numbers."""
    change = shore.change(HELLO)

    def asked(change):
        begin = len(shore.forge.requests)
        shore.deliver(change)
        return [request.path for request in shore.forge.requests[begin:] if ".git/" in request.path]

    first, again, second = asked(change), asked(change), asked(shore.change(LATER))
    more = 3 if shore.is_job else 0  # the push itself is the request, so what came of it is asked afterwards
    for paths, most in ((first, 10 + more), (again, 12 + more), (second, 15 + more)):
        assert len(paths) <= most, paths
