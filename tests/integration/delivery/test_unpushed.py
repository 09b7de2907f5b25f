"""A commit that the forge lacks is refused before the agent is paid; each one that it can give is not."""

import asyncio

import pytest
from support.delivery import over_http
from support.forge import PROJECT
from support.nightly import BRANCH, TOKEN, git

from codex_runner.domain.errors import DeliveryError

ABSENT = "1234567890abcdef1234567890abcdef12345678"


def prove(night, remote, commit, base="main", **more):
    async def proven():
        async with night.opened(remote, like=commit, **more) as repository:
            await repository.prove(base, commit)

    asyncio.run(proven())


@pytest.mark.needs_sshd
def test_over_each_transport(night, remote):
    """The base's tip and its parent, a pull request's merge commit, which no branch has, and one that is not there."""
    forge = night.forge
    behind = forge.git("rev-parse", "main")
    tip = night.later(("other.txt", "a day's work\n"))
    tree, person = forge.git("rev-parse", f"{tip}^{{tree}}"), ("-c", "user.name=B", "-c", "user.email=b@example.com")
    merge = forge.git(*person, "commit-tree", tree, "-p", behind, "-p", tip, "-m", "Merge")
    forge.git("update-ref", "refs/pull/7/merge", merge)
    for commit in (tip, behind, merge):
        prove(night, remote, commit)
    with pytest.raises(DeliveryError, match="does not have it") as caught:
        prove(night, remote, ABSENT)
    assert "Push that commit first" in caught.value.remedy
    assert night.left_over == []


def test_by_a_server_that_gives_branches_only(night, served):
    """As with git's first protocol: a commit behind the base's tip comes with its history."""
    behind = night.forge.git("rev-parse", "main")
    night.later(("other.txt", "a day's work\n"))
    served.old = True
    prove(night, over_http(served, night), behind)
    with pytest.raises(DeliveryError, match="does not have it"):
        prove(night, over_http(served, night), ABSENT)


@pytest.mark.needs_codex
@pytest.mark.parametrize("kind", ["github", "gitlab", "git"])
def test_a_commit_that_is_not_pushed_costs_nothing(project, forge, nightly, service, kind):
    if kind == "gitlab":
        project.environ[TOKEN] = PROJECT
        nightly.configure({"target": "gitlab", "api": forge.gitlab_api})
    if kind == "git":
        nightly.project.configure(prompt="SCN:patch_add", sandbox="workspace-write", delivery={"target": "git"})
    (nightly.tree / "mine.txt").write_text("mine\n")
    git("add", "mine.txt", cwd=nightly.tree)
    git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "Mine", cwd=nightly.tree)
    done = project.run()
    assert done.code == 13, done.stderr
    assert "does not have it" in done.run.run_json["reason"]
    assert "Push that commit first" in done.run.run_json["remedy"]
    assert done.run.run_json["delivery"] is None
    assert service.requests == []
    project.check_nothing_is_left()
    git("push", "-q", "origin", "HEAD:refs/heads/work", cwd=nightly.tree)
    assert nightly.run()["state"] == "delivered"


@pytest.mark.needs_codex
def test_a_shallow_clone_a_detached_head_and_a_merge_commit(project, forge, nightly):
    """As GitHub checks out a pull request: refs/pull/7/merge, one commit deep."""
    repository, tree = forge.repository, nightly.tree
    first = repository.tip("main")
    tip = repository.commit_files("main", {"other.txt": b"other\n"}, "A day's work")
    merge = repository.make_commit(repository.git("rev-parse", f"{tip}^{{tree}}"), [first, tip], "Merge")
    repository.git("update-ref", "refs/pull/7/merge", merge)
    later = repository.commit_files("main", {"more.txt": b"more\n"}, "Another day")
    git(
        "fetch",
        "-q",
        "--depth=1",
        f"file://{repository.path}",
        "+refs/pull/7/merge:refs/remotes/pull/7/merge",
        cwd=tree,
    )
    git("checkout", "-q", "--force", "--detach", "refs/remotes/pull/7/merge", cwd=tree)
    assert nightly.run()["state"] == "delivered"
    nightly.check_one()
    assert repository.commit(repository.tip(BRANCH)).parents == (later,)


@pytest.mark.needs_codex
def test_a_repository_without_a_commit_costs_nothing(project, nightly, service):
    git("checkout", "-q", "--orphan", "nothing", cwd=nightly.tree)
    done = project.run()
    assert (done.code, service.requests) == (13, [])
    assert "no commit yet" in done.run.run_json["reason"]
