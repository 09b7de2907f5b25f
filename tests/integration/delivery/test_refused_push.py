"""What a forge refuses, and what is in the way: an error in words, and no branch."""

import pytest
from support.delivery import BRANCH, credential, docs, over_http
from support.git_http import TOKEN

from codex_runner.delivery.remote import Remote
from codex_runner.domain.errors import (
    BranchMovedError,
    DeliveryError,
)


def test_a_branch_that_a_person_has_moved_is_left_alone(own):
    first, _ = own.delivered(docs(own))
    theirs = own.later(("docs/a.md", "a person's\n"), ref="codex/docs")
    own.work.write("docs/a.md", "the next own\n")
    with pytest.raises(BranchMovedError) as caught:
        own.delivered(own.change(), expected=first)
    assert theirs[:12] in caught.value.message
    assert own.forge.refs()[BRANCH] == theirs


def test_a_branch_that_must_not_exist_is_left_alone(night):
    change = docs(night)
    night.forge.git("update-ref", BRANCH, "refs/heads/main")
    with pytest.raises(BranchMovedError, match="was not there when"):
        night.delivered(change)
    assert night.forge.refs()[BRANCH] == night.forge.refs()["refs/heads/main"]


@pytest.mark.parametrize("request_", ["info/refs?service=git-receive-pack", "forge.git/git-receive-pack"])
def test_a_lease_that_is_lost_during_the_push_is_lost(night, served, request_):
    """Another runner pushes after this one has looked, and before its push arrives."""
    change = docs(night)
    main = night.forge.refs()["refs/heads/main"]
    served.faults = [(request_, lambda: night.forge.git("update-ref", BRANCH, main))]
    with pytest.raises(BranchMovedError) as caught:
        night.delivered(change, over_http(served, night))
    assert main[:12] in caught.value.message
    assert night.forge.refs()[BRANCH] == main


@pytest.mark.parametrize(
    ("kind", "said", "words"),
    [
        ("pre-receive", "GitLab: You are not allowed to push code to protected branches on this project.", "protected"),
        ("update", "error: GH006: Protected branch update failed for refs/heads/codex/docs.", "protected"),
        ("update", "title must name a ticket", "title must name a ticket"),
        (
            "pre-receive",
            "error: GH001: Large files detected. See https://gh.io/lfs",
            "larger than the repository allows",
        ),
        ("pre-receive", "refusing to allow a GitHub App to create or update workflow", "may not change workflows"),
    ],
)
def test_a_hook_that_declines_is_told_in_its_own_words(night, kind, said, words):
    change = docs(night)
    night.forge.hook(kind, f"echo '{said}' >&2; exit 1")
    with pytest.raises(DeliveryError) as caught:
        night.delivered(change)
    assert words in caught.value.message
    assert caught.value.remedy
    assert BRANCH not in night.forge.refs()


def test_what_a_forge_says_is_cleaned_and_bounded(night):
    change = docs(night)
    night.forge.hook(
        "pre-receive",
        f"printf '\\033[31m##[error]%s\\033[0m\\n' {TOKEN} >&2; yes 'a very long complaint' | head -n 9999 >&2; exit 1",
    )
    remote = Remote(str(night.forge.path), credential())
    with pytest.raises(DeliveryError) as caught:
        night.delivered(change, remote)
    assert TOKEN not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "##[" not in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize(("there", "wanted"), [("codex", "codex/docs"), ("codex/docs/x", "codex/docs")])
def test_a_branch_in_the_way_is_named(night, there, wanted):
    change = docs(night)
    night.forge.git("update-ref", f"refs/heads/{there}", "refs/heads/main")
    with pytest.raises(DeliveryError, match=f"{wanted} cannot exist beside {there}"):
        night.delivered(change)


def test_a_base_that_is_not_there_is_refused(night):
    with pytest.raises(DeliveryError, match="has no branch 'develop'"):
        night.delivered(docs(night), base="develop")


def test_push_options_arrive(night, served):
    change = docs(night)
    told = night.root / "options"
    night.forge.git("config", "receive.advertisePushOptions", "true")
    night.forge.hook(
        "post-receive", f'echo "$GIT_PUSH_OPTION_0|$GIT_PUSH_OPTION_1" >{told}; echo "View: https://x/1" >&2'
    )
    _, pushed = night.delivered(
        change, over_http(served, night), options=("merge_request.create", "merge_request.title=A b")
    )
    assert told.read_text() == "merge_request.create|merge_request.title=A b\n"
    assert "View: https://x/1" in pushed.said


def test_a_forge_without_push_options_says_so(night):
    with pytest.raises(DeliveryError, match="takes no push options"):
        night.delivered(docs(night), options=("merge_request.create",))
    with pytest.raises(DeliveryError, match="line break"):
        night.delivered(docs(night), options=("merge_request.title=a\nb",))
