"""CI_JOB_TOKEN at GitLab, as the small forge behaves: git's push opens merge requests, the API only shows them."""

import re
import threading
from dataclasses import replace

import pytest
from support.forge import BRANCH as OTHER
from support.forge import JOB, PROJECT, TEXT, answers, pushed, use
from support.shore import BRANCH, Shore

from codex_runner.delivery.record import read
from codex_runner.demo.forge_git import read_push
from codex_runner.domain.delivery import ForgeKind, IfUnchanged
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError

HELLO, LATER = {"hello.txt": b"hello\n"}, {"hello.txt": b"hello again\n"}
READS = re.compile(r"/api/v4/projects/acme%2Fapp/merge_requests(/1)?")


@pytest.fixture
def shore(forge, tmp_path):
    return Shore(forge, tmp_path, ForgeKind.GITLAB, JOB)


def refuse_records(shore):
    hook = shore.forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncase $1 in refs/codex-runner/*) exit 1;; esac\n")
    hook.chmod(0o755)


# --- before the agent -------------------------------------------------------------------------------------------------


def test_the_base_is_found_by_git_and_what_is_not_known_is_said(shore):
    access = shore.check()
    assert (access.default_branch, access.base_tip) == ("main", shore.forge.repository.tip("main"))
    said = " ".join(access.warnings)
    for words in ("whether codex/docs is protected", "starts no pipeline"):
        assert words in said
    assert "reviewers" not in said
    shore.spec = replace(shore.spec, reviewers=("ada",))
    assert "gets no reviewers" in " ".join(shore.check().warnings)
    assert shore.forge.repository.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    asked = [request for request in shore.forge.requests if request.path.startswith("/api/")]
    assert asked
    for request in asked:
        assert (request.method, request.headers["job-token"]) == ("GET", JOB)
        assert "private-token" not in request.headers
        assert READS.fullmatch(request.path)


def test_the_setting_that_is_off_is_named(shore):
    shore.forge.project.settings.job_pushes = False
    with pytest.raises(DeliveryError, match="You are not allowed to upload code") as told:
        shore.check()
    assert "Allow Git push requests to the repository" in told.value.remedy
    assert "Job token permissions" in told.value.remedy


def test_a_gitlab_that_does_not_show_merge_requests_is_refused(shore):
    shore.forge.project.settings.job_reads = False
    with pytest.raises(DeliveryError, match="could not list the merge requests: 404") as told:
        shore.check()
    assert "GitLab 18.4" in told.value.remedy
    with pytest.raises(DeliveryError):
        shore.deliver(shore.change(HELLO))
    assert shore.branches == []


def test_a_token_of_a_job_that_is_over(shore):
    del shore.forge.tokens[JOB]
    with pytest.raises(CredentialError, match="refuses the delivery's credential"):
        shore.check()


@pytest.mark.parametrize(
    ("key", "value"), [("if_unchanged", IfUnchanged.CLOSE), ("signing", Signing.REQUIRED)], ids=["close", "signing"]
)
def test_what_the_token_can_never_do_is_refused_before_any_request(shore, key, value):
    shore.spec = replace(shore.spec, **{key: value})
    with pytest.raises(ConfigurationError, match=f"delivery.{key}") as told:
        shore.check()
    assert "project access token" in told.value.remedy
    assert shore.forge.requests == []


def test_the_token_cannot_write_by_the_api(shore):
    pushed(shore.forge)
    for step in (lambda lab: lab.open(OTHER, "main", TEXT), lambda lab: lab.check(None), lambda lab: lab.close(1)):
        with pytest.raises(DeliveryError, match="404"):
            use(shore.client(), step)


# --- the push ---------------------------------------------------------------------------------------------------------


def test_one_push_opens_it_with_all_that_options_can_say(shore):
    shore.forge.repository.move("release", shore.forge.repository.tip("main"))
    shore.base = "release"
    shore.spec = replace(shore.spec, labels=("documentation", "a = b"), assignees=("grace", "stranger"))
    done = shore.deliver(shore.change(HELLO))
    (pull,) = shore.forge.project.pulls
    assert (done.state, done.number, done.signed) == ("delivered", 1, False)
    assert done.link == f"{shore.forge.url}/acme/app/-/merge_requests/1"
    assert (pull.base, pull.title, pull.draft) == ("release", "Draft: docs: Wrote the docs.", True)
    assert (pull.labels, pull.assignees) == (["documentation", "a = b"], ["ada", "grace"])
    assert "'stranger' was not added" in " ".join(done.warnings)
    assert read(pull.body).tip == done.commit == shore.forge.repository.tip(BRANCH)
    assert "\nWrote the docs.\n\n### Changes\n" in pull.body


def test_an_update_keeps_what_people_have_set(shore):
    shore.spec = replace(shore.spec, labels=("documentation",))
    shore.deliver(shore.change(HELLO))
    pull = shore.forge.project.pull(1)
    pull.title, pull.draft, pull.labels, pull.assignees = "Ready", False, [], ["grace"]
    pull.body += "\nSeen by Ada.\n"
    done = shore.deliver(shore.change(LATER), summary="Wrote more.")
    assert (done.state, pull.title, pull.draft) == ("updated", "docs: Wrote more.", False)
    assert (pull.labels, pull.assignees) == ([], ["grace"])
    assert "Seen by Ada." in pull.body
    assert read(pull.body).tip == done.commit


@pytest.mark.parametrize(
    "said",
    ["In C:\\new\\n/merge", "```\nprint('a\\n/approve')\n```", "x\\n\\n/close\\n@ada", "\\\\n/merge", "\\\\\\n/x"],
)
def test_no_word_of_the_agent_becomes_a_line_of_its_own(shore, said):
    """GitLab makes a newline of a backslash with an `n` after it, behind the runner's back."""
    shore.deliver(shore.change(HELLO), summary=f"Wrote it.\n\n{said}")
    body = shore.forge.project.pull(1).body
    assert not re.search(r"^\s*/|@ada", body, re.MULTILINE)
    assert "/" in body.split("### Changes", maxsplit=1)[0].split("\n", 1)[1]  # it is there, without effect


@pytest.mark.parametrize("letter", ["x", "\n", "ä", "\u3000", "\t", "\\n"])
def test_a_long_description_is_cut_to_what_git_sends(shore, letter):
    done = shore.deliver(shore.change(HELLO), summary=f"Wrote{letter}it " * 30_000)
    pull = shore.forge.project.pull(1)
    assert done.state == "delivered"
    assert "The rest is cut: a text holds at most 64,000 bytes here." in pull.body
    assert read(pull.body).tip == done.commit


def test_a_workflow_with_a_backslash_has_a_record(shore):
    shore.workflow = "acme/app\\notes"
    shore.deliver(shore.change(HELLO))
    assert shore.deliver(shore.change(LATER)).state == "updated"


def test_no_option_but_those_of_merge_requests_is_sent(shore):
    shore.deliver(shore.change(HELLO), summary="[skip ci] -o ci.skip\nci.skip secret_push_protection.skip_all")
    sent = [request for request in shore.forge.requests if request.path.endswith("/git-receive-pack")]
    options = [option for request in sent for option in read_push(request.body)[1]]
    assert len(options) > 3
    assert {option.partition(".")[0] for option in options} == {"merge_request"}


# --- a merge request that does not come -------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [True, False])
def test_what_gitlab_does_not_do_is_a_failure_in_its_words_and_the_next_try_ends_well(shore, records):
    if not records:
        refuse_records(shore)
    settings, change = shore.forge.project.settings, shore.change(HELLO)
    settings.option_error = "User access was denied"
    with pytest.raises(DeliveryError, match="opened no merge request to main: User access was denied") as told:
        shore.deliver(change)
    assert "merge_request.description" not in told.value.message
    assert shore.branches == [BRANCH]
    # What is left to do by hand begins with this: the branch has the change, and no push with the old tip can succeed.
    assert (shore.reached.commit, shore.reached.link) == (shore.forge.repository.tip(BRANCH), "")
    settings.option_error = ""
    assert shore.deliver(change).state == "delivered"
    shore.check_one()
    settings.option_error = "Title is too long"
    later = shore.change(LATER)
    with pytest.raises(DeliveryError, match="did not update !1: Title is too long"):
        shore.deliver(later)
    assert shore.reached.commit == shore.forge.repository.tip(BRANCH)
    assert shore.reached.link == f"{shore.forge.url}/acme/app/-/merge_requests/1"
    settings.option_error = ""
    assert shore.deliver(later).state == "updated"
    shore.check_one()
    assert shore.deliver(later).state == "unchanged"


def test_another_workflow_waits_for_one_that_has_a_branch_only(shore):
    shore.forge.project.settings.option_error = "An unknown error occurred"
    with pytest.raises(DeliveryError, match="unknown error"):
        shore.deliver(shore.change(HELLO))
    shore.forge.project.settings.option_error = ""
    shore.workflow = "acme/app/other"
    tip = shore.forge.repository.tip(BRANCH)
    assert shore.deliver(shore.change(LATER)).state == "held"
    assert shore.forge.repository.tip(BRANCH) == tip


def test_one_that_is_closed_during_the_push_is_not_opened_again(shore):
    shore.deliver(shore.change(HELLO))
    answer = shore.forge.answer

    def closed(method, path, *more):
        if path.endswith("/git-receive-pack"):
            shore.forge.project.close(1)
        return answer(method, path, *more)

    shore.forge.answer = closed
    with pytest.raises(DeliveryError, match="opened no merge request"):
        shore.deliver(shore.change(LATER))
    shore.forge.answer = answer
    assert [state for _, _, state in shore.pulls] == ["closed"]
    assert shore.deliver(shore.change(LATER)).state == "closed"
    assert [state for _, _, state in shore.pulls] == ["closed"]


def test_another_run_that_is_a_moment_later_is_no_failure(shore):
    change, later, answer = shore.change(HELLO), shore.change(LATER), shore.forge.answer
    other = Shore(shore.forge, shore.folder / "other", ForgeKind.GITLAB, JOB)
    (shore.folder / "other").mkdir()

    def followed(method, path, *more):
        reply = answer(method, path, *more)
        if path.endswith("/git-receive-pack"):
            shore.forge.answer = answer
            thread = threading.Thread(target=other.deliver, args=(later, "run-2"))
            thread.start()
            thread.join()
        return reply

    shore.forge.answer = followed
    assert shore.deliver(change, "run-1").state == "updated"  # the last one wins, as with the API
    shore.check_one()
    assert read(shore.forge.project.pull(1).body).tip == shore.forge.repository.tip(BRANCH)


def test_a_label_of_two_lines_is_refused_before_the_agent(shore):
    shore.spec = replace(shore.spec, labels=("a\nb",))
    with pytest.raises(ConfigurationError, match="has one line"):
        shore.check()


def test_a_late_answer_of_gitlab_is_awaited(shore):
    listing = len(shore.forge.requests)
    shore.deliver(shore.change(HELLO))
    seen = [request.path for request in shore.forge.requests[listing:]]
    first = listing + max(at for at, path in enumerate(seen, 1) if path.endswith("/merge_requests"))
    asked = len(shore.forge.requests)
    shore.forge.faults = answers(200, [], first=asked + first - listing)
    shore.forge.project.pulls.clear()
    shore.forge.repository.move(BRANCH, "0" * 40)
    for ref in shore.forge.repository.git("for-each-ref", "--format=%(refname)", "refs/codex-runner").splitlines():
        shore.forge.repository.git("update-ref", "-d", ref)
    assert shore.deliver(shore.change(HELLO)).state == "delivered"
    assert not shore.forge.faults
    shore.check_one()


def test_a_project_token_goes_on_where_a_jobs_token_began(shore):
    shore.spec = replace(shore.spec, labels=("documentation",))
    shore.deliver(shore.change(HELLO))
    shore.token = PROJECT
    assert shore.deliver(shore.change(LATER)).state == "updated"
    shore.token = JOB
    assert shore.deliver(shore.change(HELLO)).state == "updated"
    shore.check_one()
