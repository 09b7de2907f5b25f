"""What a plain git remote says before the agent: its base, and whether it takes a push. It is left as it is."""

import asyncio

import pytest
from support.delivery import BRANCH, docs, over_http

from codex_runner.delivery.plain_git import check_access, is_merged
from codex_runner.domain.delivery import Access
from codex_runner.domain.errors import CredentialError, DeliveryError


def asked(night, remote, base=None):
    async def ask():
        async with night.opened(remote) as repository:
            return await check_access(repository, base)

    return asyncio.run(ask())


@pytest.mark.needs_sshd
def test_the_base_is_found_and_nothing_is_pushed(night, remote):
    before = night.forge.refs()
    assert asked(night, remote) == Access("main", before["refs/heads/main"])
    assert asked(night, remote, "main") == Access("main", before["refs/heads/main"])
    assert night.forge.refs() == before
    assert night.left_over == []


def test_a_base_that_is_missing_is_refused(night):
    with pytest.raises(DeliveryError, match="has no branch 'develop'"):
        asked(night, night.remote(), "develop")


def test_without_a_default_branch_one_has_to_be_named(night):
    night.forge.git("symbolic-ref", "HEAD", "refs/heads/gone")
    with pytest.raises(DeliveryError, match="names no default branch"):
        asked(night, night.remote())
    assert asked(night, night.remote(), "main").base_tip == night.forge.refs()["refs/heads/main"]


def test_a_token_that_may_only_read_is_refused_before_the_agent(night, served):
    night.forge.git("config", "http.receivepack", "false")
    with pytest.raises(DeliveryError, match="does not let this credential in"):
        asked(night, over_http(served, night))


def test_a_wrong_token_is_refused_before_the_agent(night, served):
    with pytest.raises(CredentialError, match="refuses the delivery's credential"):
        asked(night, over_http(served, night, "wrong-token-0123456789abcdef"))


@pytest.mark.parametrize("filtering", [False, True])
def test_a_merged_branch_is_part_of_the_base(night, served, filtering):
    commit, _ = night.delivered(docs(night))
    night.forge.git("config", "uploadpack.allowFilter", str(filtering).lower())

    def merged(*commits):
        async def ask():
            async with night.opened(over_http(served, night)) as repository:
                return [await is_merged(repository, "main", each) for each in commits]

        return asyncio.run(ask())

    assert merged(commit, "d" * 40) == [False, False]
    night.forge.git("update-ref", "refs/heads/main", BRANCH)
    night.later(("README.md", "by another\n"))
    assert merged(commit, "d" * 40) == [True, False]
