"""GitLab, as the small forge behaves: merge requests by the API."""

import pytest
from support.forge import (
    BRANCH,
    FAULTS,
    JOB,
    PROJECT,
    READER,
    TEXT,
    answers,
    gitlab,
    pushed,
    small_forge,
    use,
)

from codex_runner.delivery.gitlab import GitLabForge
from codex_runner.delivery.http import ForgeEndpoint
from codex_runner.demo.forge_state import Pull
from codex_runner.domain.delivery import Decoration, Forge, ForgeCredential, ForgeKind, PullState, PullText
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError
from codex_runner.domain.secret import Secret


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path / "forge") as running:
        yield running


def opened(forge):
    pushed(forge)
    return use(gitlab(forge), lambda lab: lab.open(BRANCH, "main", TEXT))


def test_it_is_the_port(forge):
    lab: Forge = gitlab(forge)
    assert lab.kind is ForgeKind.GITLAB
    use(lab, lambda lab: lab.aclose())


def test_a_check(forge):
    access = use(gitlab(forge), lambda lab: lab.check(None))
    assert (access.default_branch, access.base_tip) == ("main", forge.repository.tip("main"))
    assert (access.signs, access.waits, access.warnings) == (False, False, ())
    assert {request.method for request in forge.requests} == {"GET"}


def test_a_check_refuses_what_would_fail_later(forge):
    with pytest.raises(CredentialError, match="401 401 Unauthorized"):
        use(gitlab(forge, JOB), lambda lab: lab.check(None))
    with pytest.raises(CredentialError, match="role in acme/app is too low") as told:
        use(gitlab(forge, READER), lambda lab: lab.check(None))
    assert "scope `api`" in told.value.remedy
    with pytest.raises(DeliveryError, match="branch develop does not exist"):
        use(gitlab(forge), lambda lab: lab.check("develop"))
    forge.faults = answers(200, {"scopes": ["read_api"], "expires_at": None}, first=len(forge.requests) + 3)
    with pytest.raises(CredentialError, match="lacks the scope `api`"):
        use(gitlab(forge), lambda lab: lab.check(None))
    forge.project.settings.archived = True
    with pytest.raises(DeliveryError, match="archived"):
        use(gitlab(forge), lambda lab: lab.check(None))
    forge.project.name = "acme/other"
    with pytest.raises(DeliveryError, match="404 Project Not Found"):
        use(gitlab(forge), lambda lab: lab.check(None))


def test_a_token_that_expires_soon_or_is_not_described_is_a_warning(forge):
    forge.faults = answers(200, {"scopes": ["api"], "expires_at": "2026-01-31"}, first=3)
    assert "2026-01-31" in use(gitlab(forge), lambda lab: lab.check(None)).warnings[0]
    forge.faults = answers(403, {"message": "403 Forbidden"}, first=6)
    assert "does not describe" in use(gitlab(forge), lambda lab: lab.check(None)).warnings[0]


def test_a_merge_request_is_opened_found_updated_and_closed(forge):
    tip = pushed(forge)

    async def all_of_it(lab):
        made = await lab.open(BRANCH, "main", TEXT)
        assert (made.number, made.state, made.branch, made.base, made.tip) == (1, PullState.OPEN, BRANCH, "main", tip)
        assert (made.title, made.body, made.draft) == (TEXT.title, TEXT.body, True)
        assert made.link == f"{forge.url}/acme/app/-/merge_requests/1"
        assert await lab.find(BRANCH) == [made]
        assert await lab.find("codex/other") == []
        assert (await lab.open(BRANCH, "main", TEXT)) == made
        changed = await lab.update(1, PullText("Draft: other words", "Other body"))
        assert (changed.title, changed.draft) == ("other words", True)
        forge.project.pull(1).title, forge.project.pull(1).draft = "A person's", False
        ready = await lab.update(1, TEXT)
        assert (ready.title, ready.draft) == (TEXT.title, False)
        await lab.close(1)
        await lab.close(1)
        (closed,) = await lab.find(BRANCH)
        assert closed.state is PullState.CLOSED

    use(gitlab(forge), all_of_it)


def test_many_pages(forge):
    for _ in range(45):
        forge.project.add(Pull(0, BRANCH, "main", "old", "ada", state="closed"))
    opened(forge)
    forge.project.merge(46, keep_branch=True)
    found = use(gitlab(forge), lambda lab: lab.find(BRANCH))
    assert [pull.number for pull in found] == list(range(46, 0, -1))
    assert [pull.state for pull in found[:2]] == [PullState.MERGED, PullState.CLOSED]


def test_a_description_of_seventy_thousand_emoji_and_one_that_is_too_long(forge):
    pushed(forge)
    made = use(gitlab(forge), lambda lab: lab.open(BRANCH, "main", PullText("t", "🦊" * 70_000)))
    assert made.body == "🦊" * 70_000
    with pytest.raises(DeliveryError, match="400 description: is too long"):
        use(gitlab(forge), lambda lab: lab.update(1, PullText("t", "🦊" * 1_048_577)))


def test_decoration(forge):
    opened(forge)
    wanted = Decoration(("documentation", "new"), ("grace", "stranger", "ada"), ("ada",))
    stranger, second = use(gitlab(forge), lambda lab: lab.decorate(1, wanted))
    assert "'stranger' was not added" in stranger
    assert "'ada' was not added: GitLab left it out" in second  # one reviewer, in the Free tier
    pull = forge.project.pull(1)
    assert (pull.labels, pull.reviewers, pull.assignees) == (["documentation", "new"], ["grace"], ["ada"])
    forge.project.settings.free_tier = False
    assert use(gitlab(forge), lambda lab: lab.decorate(1, Decoration(reviewers=("ada",)))) == []
    assert pull.reviewers == ["grace", "ada"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_at_every_request_ends_with_one_merge_request(tmp_path, fault):
    async def whole(lab):
        await lab.check(None)
        found = [pull for pull in await lab.find(BRANCH) if pull.state is PullState.OPEN]
        made = found[0] if found else await lab.open(BRANCH, "main", TEXT)
        await lab.update(made.number, TEXT)
        assert await lab.decorate(made.number, Decoration(("new",), ("grace",))) == []

    with small_forge(tmp_path / "forge") as forge:
        pushed(forge)
        use(gitlab(forge), whole)
        until = len(forge.requests)
        for number in range(1, until + 1):
            forge.project.pulls.clear()
            forge.faults = {len(forge.requests) + number: fault}
            use(gitlab(forge), whole)
            assert not forge.faults
            (pull,) = forge.project.pulls
            assert (pull.state, pull.body, pull.labels, pull.reviewers) == ("open", TEXT.body, ["new"], ["grace"])


@pytest.mark.parametrize("document", [None, [], {"iid": 1}, {"iid": "1"}])
def test_an_answer_that_is_not_understood_is_no_success(forge, document):
    forge.faults = answers(201, document)
    with pytest.raises(DeliveryError, match="not understood"):
        use(gitlab(forge), lambda lab: lab.open(BRANCH, "main", TEXT))


@pytest.mark.parametrize("name", ["acme", "", "acme/app?x", "/acme/app", "acme//app"])
def test_a_project_that_is_none(forge, name):
    with pytest.raises(ConfigurationError, match="no project of GitLab"):
        GitLabForge(ForgeEndpoint(forge.gitlab_api), ForgeCredential(Secret("T", PROJECT)), name)
