"""Commits at GitHub without a push: their tree is what was asked for, they are signed, and the branch moves once."""

import asyncio
import contextlib
import shutil

import pytest
from support.forge import (
    APP,
    BRANCH,
    FAULTS,
    MESSAGE,
    PAT,
    READER,
    TEXT,
    Time,
    change,
    github,
    pushed,
    small_forge,
    use,
)
from support.shore import Shore

from codex_runner.delivery import github_commits
from codex_runner.demo.forge_state import json_reply
from codex_runner.domain.delivery import CommitWay
from codex_runner.domain.errors import BranchMovedError, DeliveryError, ForgeUnreachableError

NIGHTS = ("first\n", "second\n")
NEXT = f"{BRANCH}--next"
PLAIN = {"NOTES.md": b"notes\n", "docs/a.md": "ä\r\n".encode(), "bin.dat": bytes(range(256)), "README.md": None}


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


async def no_push():
    """A push that the forge refuses."""
    return False


def deliver(forge, files=PLAIN, modes=None, before=None, token=APP, time=None, message=MESSAGE):
    wanted, contents = change(forge, files, modes)

    async def both(hub):
        made = await hub.commits.make(BRANCH, wanted, message, contents, no_push)
        if made is not None:
            await hub.commits.move(BRANCH, before, made.oid)
            assert await hub.commits.tidy(BRANCH, made.oid) == []
        return made

    made = use(github(forge, token, time), both)
    if made is not None:
        found = forge.repository.commit(forge.repository.tip(BRANCH))
        assert (found.oid, found.tree, found.parents) == (made.oid, wanted.tree, (wanted.base,))
        assert found.message.strip() == message
    assert forge.repository.tip(NEXT) is None
    return made


def paths(forge):
    return [request.path for request in forge.requests if request.method != "GET"]


@pytest.mark.parametrize(("token", "signed"), [(APP, True), (PAT, False)])
def test_plain_files_are_one_signed_commit(forge, token, signed):
    made = deliver(forge, token=token)
    assert (made.way, made.signed) == (CommitWay.MUTATION, signed)
    assert set(paths(forge)) == {"/api/graphql"}


def test_modes_links_and_submodules_are_trees(forge):
    files = {"run.sh": b"#!/bin/sh\n", "link": b"NOTES.md", "sub": b"1" * 40, **PLAIN}
    made = deliver(forge, files, {"run.sh": "100755", "link": "120000", "sub": "160000"})
    assert (made.way, made.signed) == (CommitWay.TREES, True)


def test_a_file_gives_way_to_a_folder_and_a_folder_to_a_file(forge):
    forge.repository.commit_files("main", {"a": b"1", "b/c": b"2", "b/d/e": b"3"}, "Begin")
    files = {"a": None, "a/b": b"x\n", "b/c": None, "b/d/e": None, "b": b"y\n"}
    assert deliver(forge, files).way is CommitWay.MUTATION
    tip = forge.repository.tip(BRANCH)
    assert deliver(forge, files, {"b": "100755"}, before=tip).way is CommitWay.TREES


def test_six_hundred_files_keep_to_the_limits(forge):
    forge.project.settings.creations = 20
    files = {f"docs/{number:03}.md": f"{number}\n".encode() for number in range(600)}
    assert deliver(forge, files, {"docs/000.md": "100755"}).way is CommitWay.TREES
    assert len(paths(forge)) < 15
    tip = forge.repository.tip(BRANCH)
    assert deliver(forge, files, before=tip).way is CommitWay.MUTATION


def test_two_hundred_binaries_wait_for_the_limit_and_no_longer(forge):
    time = Time()
    forge.project.settings.now = time.now
    files = {f"{number:03}.png": b"\x89PNG\0%d" % number for number in range(200)}
    assert deliver(forge, files, {"000.png": "100755"}, time=time).way is CommitWay.TREES
    assert 100 <= sum(time.slept) <= 180
    assert not any("secondary" in str(reply) for reply in forge.project.pulls)


def test_what_the_api_cannot_do_is_left_to_git(forge, monkeypatch):
    wanted, contents = change(forge, {"NOTES.md": b"n\n", "caf\udce9.md": b"x\n"})
    assert use(github(forge), lambda hub: hub.commits.make(BRANCH, wanted, MESSAGE, contents, no_push)) is None
    monkeypatch.setattr(github_commits, "_BLOB_BYTES", 3)
    assert deliver(forge, {"run": b"\0\0\0\0"}, {"run": "100755"}) is None
    assert forge.repository.tip(BRANCH) is None


def test_a_large_change_goes_by_trees(forge, monkeypatch):
    monkeypatch.setattr(github_commits, "_MUTATION_BYTES", 100)
    assert deliver(forge).way is CommitWay.TREES


def test_a_tree_that_becomes_another_is_never_delivered(forge):
    wanted, contents = change(forge, PLAIN)

    async def other():
        async for path, mode, content in contents():
            yield path, mode, content.replace(b"notes", b"other")

    assert use(github(forge), lambda hub: hub.commits.make(BRANCH, wanted, MESSAGE, other, no_push)) is None
    assert forge.repository.tip(NEXT) is None


def test_an_open_pull_request_never_loses_its_commits(forge):
    first = deliver(forge)
    use(github(forge), lambda hub: hub.open(BRANCH, "main", TEXT))
    forge.repository.commit_files("main", {"src.py": b"1\n"}, "Move on")
    second = deliver(forge, {"NOTES.md": b"better\n"}, before=first.oid)
    assert first.oid != second.oid
    pull = forge.project.pull(1)
    assert (pull.state, pull.tip) == ("open", second.oid)
    assert forge.project.closed_by_the_forge == []


def test_a_persons_push_is_never_overwritten(forge):
    first = deliver(forge)
    theirs = pushed(forge, files={"NOTES.md": b"a person's\n"})
    with pytest.raises(BranchMovedError, match=theirs):
        deliver(forge, {"NOTES.md": b"better\n"}, before=first.oid)
    with pytest.raises(BranchMovedError):
        deliver(forge, {"NOTES.md": b"better\n"}, before=None)
    assert forge.repository.tip(BRANCH) == theirs


def test_a_branch_that_was_removed_meanwhile(forge):
    first = deliver(forge)
    forge.repository.move(BRANCH, "0" * 40)
    with pytest.raises(BranchMovedError, match="no commit"):
        deliver(forge, before=first.oid)


def test_a_branch_that_github_sees_a_moment_later(forge):
    forge.project.settings.unseen = 2
    time = Time()
    assert deliver(forge, time=time).way is CommitWay.MUTATION
    assert time.slept == [1.0, 2.0]
    forge.project.settings.unseen = 10
    with pytest.raises(DeliveryError, match=r"could not commit on .*: Expected branch to point to"):
        deliver(forge, {"NOTES.md": b"better\n"}, before=forge.repository.tip(BRANCH))


def test_a_message_that_github_has_signed_off_is_no_other_commit(forge):
    """A repository may add `Signed-off-by` to what is committed by its API."""
    make = forge.repository.make_commit
    forge.repository.make_commit = lambda tree, parents, message: make(tree, parents, f"{message}\n\nSigned-off-by: x")
    wanted, contents = change(forge, PLAIN)
    made = use(github(forge), lambda hub: hub.commits.make(BRANCH, wanted, MESSAGE, contents, no_push))
    assert (made.way, forge.repository.tip(NEXT)) == (CommitWay.MUTATION, made.oid)


def test_a_refusal_is_told(forge):
    with pytest.raises(DeliveryError, match="Resource not accessible"):
        deliver(forge, token=READER)
    forge.repository.move("codex", forge.repository.tip("main"))  # `a` against `a/b`
    with pytest.raises(DeliveryError, match="could not put codex/release-notes--next to the base"):
        deliver(forge)


def test_a_second_branch_that_was_left_is_used_again(forge):
    forge.repository.commit_files(NEXT, {"x": b"of another night\n"}, "Left")
    deliver(forge)


def test_a_second_branch_that_is_another_workflows_is_left_alone(forge):
    theirs = pushed(forge, NEXT)
    use(github(forge), lambda hub: hub.open(NEXT, "main", TEXT))
    wanted, contents = change(forge, PLAIN)
    with pytest.raises(DeliveryError, match="has a pull request of its own"):
        use(github(forge), lambda hub: hub.commits.make(BRANCH, wanted, MESSAGE, contents, no_push))
    assert forge.repository.tip(NEXT) == theirs


def test_two_runs_at_once_end_with_one_commit(forge):
    ours, contents = change(forge, {"NOTES.md": b"ours\n"})
    theirs, others = change(forge, {"NOTES.md": b"theirs\n"})

    async def one(hub, wanted, content):
        try:
            made = await hub.commits.make(BRANCH, wanted, MESSAGE, content, no_push)
            await hub.commits.move(BRANCH, None, made.oid)
            await hub.commits.tidy(BRANCH, made.oid)
        except DeliveryError as error:
            return error
        return made

    async def both():
        hubs = [github(forge), github(forge)]
        try:
            return await asyncio.gather(one(hubs[0], ours, contents), one(hubs[1], theirs, others))
        finally:
            for hub in hubs:
                await hub.aclose()

    results = asyncio.run(both())
    made = [each for each in results if not isinstance(each, DeliveryError)]
    assert [each.oid for each in made] == [forge.repository.tip(BRANCH)]


def test_a_second_branch_that_is_not_cleared_undoes_no_delivery(forge, tmp_path):
    """The branch had moved, and the run was told that its delivery failed, with the commit that it had before."""
    shore, answer = Shore(forge, tmp_path), forge.answer

    def refused(method, path, *more):
        if path.endswith("--next") and forge.repository.tip(shore.spec.branch) is not None:
            return json_reply(403, {"message": "Resource not accessible"})
        return answer(method, path, *more)

    forge.answer = refused
    done = shore.deliver(shore.change(PLAIN))
    assert (done.state, done.commit) == ("delivered", forge.repository.tip(shore.spec.branch))
    assert f"{shore.spec.branch}--next may be left" in " ".join(done.warnings)
    forge.answer = answer
    assert shore.deliver(shore.change({"NOTES.md": b"more\n"})).state == "updated"
    shore.check_one()


def whole(hub, wanted, contents, tip):
    """A delivery from the commit to the text, as the next try makes it: it looks first at what is there."""

    async def steps():
        await hub.check(None)
        found = [pull for pull in await hub.find(BRANCH) if pull.state == "open"]
        made = await hub.commits.make(BRANCH, wanted, MESSAGE, contents, no_push)
        await hub.commits.move(BRANCH, tip, made.oid)
        await hub.commits.tidy(BRANCH, made.oid)
        if not found:
            return await hub.open(BRANCH, "main", TEXT)
        return await hub.update(found[0].number, TEXT)

    return steps()


def fresh(folder, number):
    """A forge like the others of a test. git takes longer to make one than to copy it."""
    first = folder / "first"
    if not first.exists():
        with small_forge(first):
            pass
    shutil.copytree(first, folder / str(number))
    return small_forge(folder / str(number))


def count(folder, modes):
    """How many requests a first delivery has, and one that updates."""
    with small_forge(folder) as forge:
        numbers = []
        for night in NIGHTS:
            wanted, contents = change(forge, {"NOTES.md": night.encode()}, modes)
            tip = forge.repository.tip(BRANCH)
            use(github(forge), lambda hub: whole(hub, wanted, contents, tip))  # noqa: B023 - used at once
            numbers.append(len(forge.requests))
        return numbers


WAYS = {"mutation": {}, "trees": {"NOTES.md": "100755"}}


def cases(*daily):
    """All faults in both ways: each day those named, each night all."""
    return [
        pytest.param(
            FAULTS[fault], WAYS[way], id=f"{fault}-{way}", marks=[] if (fault, way) in daily else [pytest.mark.thorough]
        )
        for fault in FAULTS
        for way in WAYS
    ]


@pytest.mark.parametrize(("fault", "modes"), cases(("5xx after", "mutation")))
def test_a_fault_at_every_request_ends_with_one_branch_and_one_pull_request(tmp_path, fault, modes):
    """Within one try: the client's own retries look at what is there, or do it again without harm."""
    until = count(tmp_path / "counted", modes)
    for number in range(1, until[1] + 1):
        with fresh(tmp_path, number) as forge:
            forge.faults = {number: fault}
            night_after_night(forge, modes, NIGHTS if number > until[0] else NIGHTS[:1])
            assert not forge.faults


def night_after_night(forge, modes, nights=NIGHTS):
    for night in nights:
        wanted, contents = change(forge, {"NOTES.md": night.encode()}, modes)
        tip = forge.repository.tip(BRANCH)
        use(github(forge), lambda hub: whole(hub, wanted, contents, tip))  # noqa: B023 - used at once
    found = forge.repository.commit(forge.repository.tip(BRANCH))
    assert (found.tree, found.parents) == (wanted.tree, (wanted.base,))
    assert forge.repository.git("for-each-ref", "--format=%(refname)").split() == [
        f"refs/heads/{BRANCH}", "refs/heads/main",
    ]  # fmt: skip
    (pull,) = forge.project.pulls
    assert (pull.state, pull.tip, pull.body) == ("open", found.oid, TEXT.body)
    assert forge.project.closed_by_the_forge == []


@pytest.mark.parametrize(("fault", "modes"), cases(("cut after", "mutation")))
def test_a_runner_that_dies_at_any_request_is_repeated_by_the_next(tmp_path, fault, modes):
    """The first try ends at one request, as if killed: nothing of it is repeated but by a new client."""
    until = count(tmp_path / "counted", modes)
    for number in range(1, until[0] + 1):
        with fresh(tmp_path, number) as forge:
            wanted, contents = change(forge, {"NOTES.md": b"first\n"}, modes)
            forge.faults = {number: fault}
            hub = github(forge)
            hub._client._timing = type(hub._client._timing)(deadline=0.0)
            # The second branch may be left: that undoes nothing, and the first try goes on.
            with contextlib.suppress(ForgeUnreachableError):
                use(hub, lambda hub: whole(hub, wanted, contents, None))  # noqa: B023 - used at once
            again(forge, wanted, contents)
            night_after_night(forge, modes, NIGHTS[1:])


def again(forge, wanted, contents):
    """The next try. It knows its own commit by its tree and parent: no person makes the same."""
    tip = forge.repository.tip(BRANCH)
    if tip is not None:
        found = forge.repository.commit(tip)
        assert (found.tree, found.parents) == (wanted.tree, (wanted.base,))
    use(github(forge), lambda hub: whole(hub, wanted, contents, tip))


def test_blobs_are_gits_own(forge):
    oid = forge.repository.blob(b"notes\n")
    assert forge.repository.git("hash-object", "--stdin", stdin=b"notes\n") == oid
    assert forge.repository.git("cat-file", "blob", oid) == "notes"
