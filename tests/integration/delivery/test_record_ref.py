"""The record of a plain git remote, which moves with the branch."""

import asyncio

import pytest
from support.delivery import ADA, BRANCH, WHEN, docs

from codex_runner.delivery.push import Update, push
from codex_runner.delivery.record_ref import read_record, record_ref, write_record
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.tree import change_on
from codex_runner.domain.delivery import DeliveryRecord
from codex_runner.domain.errors import (
    BranchMovedError,
)

RECORD = DeliveryRecord("release notes/ä", "git", "20260102T030405Z-docs-0a1b2c3d", "a" * 40, "b" * 40, "c" * 40)


def with_record(night, remote, change, *, expected=("", ""), record=RECORD):
    async def deliver():
        async with night.opened(remote, like=change.base) as repository:
            tip = await repository.fetch_base("main", change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            commit = await repository.commit(made.tree, tip, "A change\n", author=ADA, committer=ADA, when=WHEN)
            noted = await write_record(repository, record, person=ADA, when=WHEN)
            ref = record_ref(record.workflow, record.target)
            await push(repository, [Update(BRANCH, expected[0], commit), Update(ref, expected[1], noted)])
            return commit, await read_record(repository, record.workflow, record.target)

    return asyncio.run(deliver())


@pytest.mark.needs_sshd
def test_the_record_travels_with_the_branch(night, remote):
    commit, (record, noted) = with_record(night, remote, docs(night))
    assert record == RECORD
    ref = "refs/codex-runner/release%20notes%2F%C3%A4/git"
    assert night.forge.refs() == {ref: noted, BRANCH: commit, "refs/heads/main": night.forge.refs()["refs/heads/main"]}


def test_branch_and_record_move_together_or_not_at_all(night):
    change = docs(night)
    with pytest.raises(BranchMovedError):
        with_record(night, night.remote(), change, expected=("", "d" * 40))
    assert list(night.forge.refs()) == ["refs/heads/main"]


def test_a_forge_that_refuses_the_record_alone_says_so(night):
    change = docs(night)
    night.forge.hook("update", 'case $1 in refs/codex-runner/*) echo "no such refs here" >&2; exit 1 ;; esac')
    with pytest.raises(RecordRefusedError, match="no such refs here"):
        with_record(night, night.remote(), change)
    assert list(night.forge.refs()) == ["refs/heads/main"]


def test_a_record_that_is_damaged_is_none(night):
    night.forge.git("update-ref", record_ref("docs", "git"), "refs/heads/main")

    async def read(workflow):
        async with night.opened(night.remote()) as repository:
            return await read_record(repository, workflow, "git")

    assert asyncio.run(read("docs")) == (None, night.forge.refs()["refs/heads/main"])
    assert asyncio.run(read("other")) == (None, "")
