"""The port's `outcome` over both forges: what became of a pull request, as the forge itself says it."""

import time

import pytest
from support.forge import BRANCH, TEXT, answers, github, gitlab, pushed, use

from codex_runner.demo.forge_state import Fault, ForgeReply
from codex_runner.domain.delivery import PullState
from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError

NUMBER = {github: "number", gitlab: "iid"}


@pytest.fixture(params=[github, gitlab], ids=["github", "gitlab"])
def client(request):
    return request.param


@pytest.fixture
def opened(forge, client):
    pushed(forge)
    use(client(forge), lambda port: port.open(BRANCH, "main", TEXT))
    return forge


def outcome(forge, client, number=1, **more):
    return use(client(forge, **more), lambda port: port.outcome(number))


def test_open_as_a_draft_and_ready(opened, client):
    found = outcome(opened, client)
    assert (found.number, found.state, found.draft, found.branch) == (1, PullState.OPEN, True, BRANCH)
    assert (found.merged, found.has_branch) == (None, True)
    assert found.link.endswith(("/acme/app/pull/1", "/acme/app/-/merge_requests/1"))
    pull = opened.project.pull(1)
    pull.draft, pull.title = False, TEXT.title
    assert outcome(opened, client).draft is False
    assert {request.method for request in opened.requests[3:]} == {"GET"}


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("keep_branch", [False, True])
def test_merged(opened, client, squash, keep_branch):
    began = int(time.time())
    opened.project.merge(1, squash=squash, keep_branch=keep_branch)
    found = outcome(opened, client)
    assert (found.state, found.has_branch) == (PullState.MERGED, None)
    assert found.merged >= began


def test_closed_and_opened_again(opened, client):
    opened.project.close(1)
    assert (outcome(opened, client).state, outcome(opened, client).has_branch) == (PullState.CLOSED, True)
    opened.project.reopen(1)
    assert outcome(opened, client).state is PullState.OPEN


def test_the_branch_is_gone(opened, client):
    opened.repository.move(BRANCH, "0" * 40, opened.repository.tip(BRANCH))
    assert outcome(opened, client).has_branch is False
    opened.project.settle()
    assert (outcome(opened, client).state, outcome(opened, client).has_branch) == (PullState.CLOSED, False)


def test_one_that_is_deleted_is_none_and_in_a_repository_that_is_gone_an_error(opened, client):
    opened.project.remove(1)
    assert outcome(opened, client) is None
    opened.project.name = "acme/other"
    with pytest.raises(DeliveryError, match="404"):
        outcome(opened, client)


@pytest.mark.parametrize(("status", "document"), [(403, {"message": "403 Forbidden"}), (200, {"odd": 1})])
def test_a_token_that_may_see_no_pull_request_does_not_prove_that_one_is_deleted(opened, client, status, document):
    first = len(opened.requests) + 1
    opened.faults = answers(404, {"message": "Not Found"}, first=first) | answers(status, document, first=first + 1)
    with pytest.raises(DeliveryError):
        outcome(opened, client)


def test_a_token_that_may_see_no_branch_does_not_prove_that_one_is_gone(opened):
    """CI_JOB_TOKEN gets such an answer."""
    opened.faults = answers(404, {"message": "404 Project Not Found"}, first=len(opened.requests) + 2)
    assert outcome(opened, gitlab).has_branch is None


def test_another_one_or_one_of_a_fork_is_not_understood(opened, client):
    port = client(opened)
    whole = use(port, lambda port: port._client.request("GET", _address(client), "look")).document
    first = len(opened.requests) + 1
    opened.faults = answers(200, {**whole, NUMBER[client]: 2}, first=first)
    with pytest.raises(DeliveryError, match="another"):
        outcome(opened, client)
    fork = {"source_project_id": 9} if client is gitlab else {"head": {**whole["head"], "repo": None}}
    opened.faults = answers(200, {**whole, **fork}, first=first + 1)
    with pytest.raises(DeliveryError, match="another"):
        outcome(opened, client)
    late = {"state": "merged" if client is gitlab else "closed", "merged_at": "yesterday"}
    opened.faults = answers(200, {**whole, **late}, first=first + 2)
    with pytest.raises(DeliveryError, match="no date"):
        outcome(opened, client)


def _address(client):
    return "/repos/acme/app/pulls/1" if client is github else "/projects/acme%2Fapp/merge_requests/1"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (ForgeReply(401, b'{"message": "Bad credentials"}'), CredentialError),
        (ForgeReply(403, b'{"message": "Resource not accessible"}'), DeliveryError),
        (ForgeReply(301, b"{}", {"location": "https://elsewhere.example.com/"}), DeliveryError),
        (ForgeReply(429, b"{}", {"retry-after": "3600"}), ForgeUnreachableError),
        (ForgeReply(200, b"<html>a proxy</html>"), DeliveryError),
        (ForgeReply(200, b'{"number": 1, "iid": 1, "state": "odd"}'), DeliveryError),
        (ForgeReply(200, b"[" * 100_000), DeliveryError),
    ],
    ids=["401", "403", "moved", "429", "a page", "an odd state", "deep"],
)
def test_what_is_no_answer_is_an_error_and_never_open(opened, client, reply, error):
    opened.faults = {len(opened.requests) + 1: Fault(reply=reply)}
    with pytest.raises(error):
        outcome(opened, client)


def test_a_fault_that_passes_is_tried_again_and_one_that_stays_is_unreachable(opened, client):
    first = len(opened.requests) + 1
    opened.faults = answers(503, {}, first=first) | answers(429, {}, first=first + 1, retry_after="2")
    assert outcome(opened, client).state is PullState.OPEN
    opened.faults = answers(502, {"message": "Bad gateway"}, times=300, first=len(opened.requests) + 1)
    with pytest.raises(ForgeUnreachableError, match="502"):
        outcome(opened, client)
