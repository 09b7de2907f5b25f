"""GitHub, as the small forge behaves: pull requests, refusals, and what a token may do."""

import urllib.request

import pytest
from support.forge import (
    ACTIONS,
    APP,
    BRANCH,
    CLASSIC,
    PAT,
    READER,
    TEXT,
    Time,
    answers,
    github,
    pushed,
    small_forge,
    use,
)

from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.http import ForgeEndpoint
from codex_runner.demo.forge_state import Pull
from codex_runner.domain.delivery import Decoration, Forge, ForgeCredential, ForgeKind, PullState, PullText
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.domain.secret import Secret

END = {"ref": BRANCH, "sha": "0" * 40}
PULL = {
    "number": 1, "html_url": "https://x/1", "state": "open", "merged_at": None, "title": "t", "body": None,
    "head": END, "base": {**END, "ref": "main"}, "draft": False,
}  # fmt: skip


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


def opened(forge, token=APP):
    pushed(forge)
    return use(github(forge, token), lambda hub: hub.open(BRANCH, "main", TEXT))


def test_it_is_the_port(forge):
    hub: Forge = github(forge)
    assert hub.kind is ForgeKind.GITHUB
    use(hub, lambda hub: hub.aclose())


@pytest.mark.parametrize(("token", "signs", "waits"), [(APP, True, False), (ACTIONS, True, True), (PAT, False, False)])
def test_a_check_tells_what_is_known_of_a_token(forge, token, signs, waits):
    access = use(github(forge, token), lambda hub: hub.check(None))
    assert (access.default_branch, access.base_tip) == ("main", forge.repository.tip("main"))
    assert (access.signs, access.waits, access.warnings) == (signs, waits, ())
    assert all(request.method == "GET" or request.path == "/api/graphql" for request in forge.requests)
    assert forge.project.pulls == []


def test_a_check_refuses_what_would_fail_later(forge):
    with pytest.raises(CredentialError, match="401 Bad credentials"):
        use(github(forge, "ghs_nobodys"), lambda hub: hub.check(None))
    with pytest.raises(CredentialError, match="may not push") as told:
        use(github(forge, READER), lambda hub: hub.check(None))
    assert "contents and pull requests" in told.value.remedy
    with pytest.raises(CredentialError, match="lacks the scope `repo`"):
        use(github(forge, CLASSIC), lambda hub: hub.check(None))
    with pytest.raises(DeliveryError, match="branch develop does not exist"):
        use(github(forge), lambda hub: hub.check("develop"))
    forge.project.settings.archived = True
    with pytest.raises(DeliveryError, match="archived"):
        use(github(forge), lambda hub: hub.check(None))


def test_a_repository_that_a_token_does_not_see(forge):
    forge.project.name = "acme/other"
    with pytest.raises(DeliveryError, match="404 Not Found") as told:
        use(github(forge), lambda hub: hub.check(None))
    assert "delivery.repository" in told.value.remedy


def test_a_token_that_expires_soon_is_a_warning(forge):
    forge.faults = answers(200, {"default_branch": "main", "archived": False},
                           github_authentication_token_expiration="2026-01-31 12:00:00 UTC")  # fmt: skip
    access = use(github(forge, PAT), lambda hub: hub.check(None))
    assert "2026-01-31 12:00 UTC" in access.warnings[0]


def test_a_pull_request_is_opened_found_updated_and_closed(forge):
    tip = pushed(forge)

    async def all_of_it(hub):
        made = await hub.open(BRANCH, "main", TEXT)
        assert (made.number, made.state, made.branch, made.base, made.tip) == (1, PullState.OPEN, BRANCH, "main", tip)
        assert made.link == f"{forge.url}/acme/app/pull/1"
        assert made.draft
        assert made.body == TEXT.body
        assert await hub.find(BRANCH) == [made]
        assert await hub.find("codex/other") == []
        changed = await hub.update(1, PullText("Other words", "Other body", draft=False))
        assert (changed.title, changed.body, changed.draft) == ("Other words", "Other body", True)
        await hub.close(1)
        await hub.close(1)
        (closed,) = await hub.find(BRANCH)
        assert closed.state is PullState.CLOSED

    use(github(forge), all_of_it)


def test_one_that_is_there_already_is_returned(forge):
    first = opened(forge)
    forge.project.pull(1).title = "A person's words"
    again = opened(forge)
    assert (again.number, again.title) == (first.number, "A person's words")
    assert len(forge.project.pulls) == 1


def test_pull_requests_of_any_state_come_the_newest_first_on_many_pages(forge):
    for _ in range(45):
        forge.project.add(Pull(0, BRANCH, "main", "old", "ada", state="closed"))
    opened(forge)
    forge.project.merge(46, keep_branch=True)
    found = use(github(forge), lambda hub: hub.find(BRANCH))
    assert [pull.number for pull in found] == list(range(46, 0, -1))
    assert [pull.state for pull in found[:2]] == [PullState.MERGED, PullState.CLOSED]


def test_github_lists_all_if_it_does_not_understand_the_head(forge):
    opened(forge)
    forge.project.owner = "acme"
    hub = github(forge)
    hub.repository.owner = ""  # now `head` is `:branch`, as if GitHub knew no such owner
    assert [pull.number for pull in use(hub, lambda hub: hub.find("codex/other"))] == []


def test_actions_that_may_not_open_pull_requests(forge):
    forge.project.settings.actions_open = False
    with pytest.raises(DeliveryError, match="not permitted to create") as told:
        opened(forge, ACTIONS)
    assert "Allow GitHub Actions to create and approve pull requests" in told.value.remedy


def test_a_token_without_the_right_is_told_which(forge):
    with pytest.raises(DeliveryError, match="Resource not accessible by personal access token") as told:
        opened(forge, READER)
    assert "pull_requests=write" in told.value.remedy


def test_a_branch_that_github_does_not_know_yet_is_tried_again(forge):
    forge.project.settings.unresolved = 2
    assert opened(forge).number == 1
    forge.project.close(1)
    forge.project.settings.unresolved = 10**6
    with pytest.raises(ForgeUnreachableError, match=r"422 .*Could not resolve to a node.*tries"):
        opened(forge)


@pytest.mark.parametrize(
    ("head", "base", "words"),
    [("nowhere", "main", "head invalid"), (BRANCH, "nowhere", "base invalid"), ("same", "main", "No commits between")],
)
def test_what_cannot_be_opened_says_why(forge, head, base, words):
    pushed(forge)
    forge.repository.move("same", forge.repository.tip("main"))
    with pytest.raises(DeliveryError, match=words):
        use(github(forge), lambda hub: hub.open(head, base, TEXT))


def test_a_repository_without_drafts(forge):
    forge.project.settings.drafts = False
    with pytest.raises(DeliveryError, match="Draft pull requests are not supported") as told:
        opened(forge)
    assert "delivery.draft = false" in told.value.remedy


def test_seventy_thousand_emoji_are_too_long_and_as_many_as_github_takes_are_not(forge):
    pushed(forge)
    with pytest.raises(DeliveryError, match="body is too long"):
        use(github(forge), lambda hub: hub.open(BRANCH, "main", PullText("t", "🦊" * 70_000)))
    fitting = PullText("t", "🦊" * 65_536)
    made = use(github(forge), lambda hub: hub.open(BRANCH, "main", fitting))
    assert made.body == fitting.body
    assert forge.project.pull(1).body == fitting.body


def test_decoration(forge):
    opened(forge)
    wanted = Decoration(("documentation", "new"), ("grace", "acme/writers"), ("ada",))
    assert use(github(forge), lambda hub: hub.decorate(1, wanted), lambda hub: hub.decorate(1, wanted)) == []
    pull = forge.project.pull(1)
    assert (pull.labels, pull.reviewers, pull.teams, pull.assignees) == (
        ["documentation", "new"], ["grace"], ["writers"], ["ada"],
    )  # fmt: skip


def test_each_decoration_that_fails_is_a_sentence_and_the_rest_is_added(forge):
    opened(forge, PAT)
    forge.project.settings.new_labels = False
    wanted = Decoration(("missing", "documentation"), ("ada", "stranger", "grace"), ("stranger", "grace"))
    label, author, reviewer, assignee = use(github(forge, PAT), lambda hub: hub.decorate(1, wanted))
    assert "The label 'missing' was not added: GitHub could not add it: 422" in label
    assert "Review cannot be requested from pull request author" in author
    assert "'stranger' was not added" in reviewer
    assert "left it out" in assignee
    pull = forge.project.pull(1)
    assert (pull.labels, pull.reviewers, pull.assignees) == (["documentation"], ["grace"], ["grace"])


def test_a_team_without_the_right_to_see_it(forge):
    opened(forge, ACTIONS)
    (sentence,) = use(github(forge, ACTIONS), lambda hub: hub.decorate(1, Decoration(reviewers=("acme/writers",))))
    assert "'acme/writers' was not added" in sentence


def test_a_forge_that_is_gone_is_one_sentence(tmp_path):
    with small_forge(tmp_path) as forge:
        hub = github(forge)
    sentences = use(hub, lambda hub: hub.decorate(1, Decoration(("a", "b", "c"))))
    assert len(sentences) == 1
    assert "Nor were 2 more" in sentences[0]


@pytest.mark.parametrize("name", ["acme", "acme/app/x", "../app", "acme/..", "", "acme/app?x", "a me/app"])
def test_a_repository_that_is_none(forge, name):
    with pytest.raises(ConfigurationError, match="no repository of GitHub"):
        GitHubForge(ForgeEndpoint(forge.github_api), ForgeCredential(Secret("T", APP)), name, Time().timing)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"number": "1"}, {"number": True}, "<html>", {**PULL, "html_url": "javascript:x"}],
)
def test_an_answer_that_is_not_understood_is_no_success(forge, document):
    pushed(forge)
    forge.faults = answers(201, document)
    with pytest.raises(DeliveryError, match="its answer is not understood"):
        use(github(forge), lambda hub: hub.open(BRANCH, "main", TEXT))


def test_the_page_of_a_pull_request_shows_it_and_runs_nothing(forge):
    pushed(forge, files={"NOTES.md": b"<b>notes</b>\n"})
    made = use(github(forge), lambda hub: hub.open(BRANCH, "main", PullText("<script>x</script>", "body")))
    with urllib.request.urlopen(made.link) as answer:
        page = answer.read().decode()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "+&lt;b&gt;notes&lt;/b&gt;" in page
