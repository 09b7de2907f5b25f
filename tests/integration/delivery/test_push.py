"""A delivery with real git to real bare repositories, over a path, SSH and smart HTTP: what arrives, once."""

import asyncio
import contextlib
import itertools
import os
import shutil

import pytest
from support.delivery import BRANCH, WHEN, Night, docs, over_http
from support.tree import RUN

from codex_runner.delivery.pack_store import PackStore
from codex_runner.domain.errors import BranchMovedError
from codex_runner.git import delivered


@pytest.mark.needs_sshd
def test_the_tree_arrives_as_one_commit_on_the_base(night, remote):
    change = docs(night)
    commit, pushed = night.delivered(change, remote)
    assert night.forge.refs()[BRANCH] == commit
    assert night.forge.tree(BRANCH) == change.tree
    assert night.forge.git("rev-parse", f"{BRANCH}^") == night.forge.refs()["refs/heads/main"]
    assert night.forge.git("log", "-1", "--format=%an|%ae|%cn|%at|%s", BRANCH) == (
        f"Ada|ada@example.com|Ada|{int(WHEN)}|A change"
    )
    assert not pushed.already
    night.forge.git("fsck", "--strict")
    assert night.left_over == []


def test_the_same_delivery_again_is_the_same_commit_and_moves_nothing(night):
    change = docs(night)
    first, _ = night.delivered(change)
    again, pushed = night.delivered(change)
    assert (again, pushed.already) == (first, True)
    assert list(night.forge.refs()) == [BRANCH, "refs/heads/main"]


def test_what_was_kept_is_delivered_later(own):
    """By another process, after the host has forgotten the run."""
    store = PackStore(own.root / "state/deliveries")
    own.agent(("docs/a.md", "what the agent wrote\n"))
    packed = own.pack()
    with store.staging() as staged:
        change = own.on_host(lambda host: delivered.fetch(host, packed, staged))
        store.keep(change, run=RUN, retention=3600.0)
    own.on_host(lambda host: host.discard(RUN))
    shutil.rmtree(own.work.top)
    commit, _ = own.delivered(store.read(RUN).change)
    assert own.forge.tree(commit) == packed.tree


def test_a_later_change_takes_the_place_of_the_branch(own):
    first, _ = own.delivered(docs(own))
    own.work.git("checkout", "-q", "--", ".")
    own.work.git("clean", "-qfd")
    own.agent(("docs/a.md", "the next night\n"))
    second, _ = own.delivered(own.change(), expected=first)
    assert own.forge.refs()[BRANCH] == second
    assert own.forge.git("rev-list", "--count", f"main..{BRANCH}") == "1"


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.thorough)])
def test_a_large_change_over_http(own, served, size):
    own.agent(("big.bin", os.urandom(size << 20)), *((f"docs/{n}.md", f"{n}\n") for n in range(600)))
    change = own.change()
    own.delivered(change, over_http(served, own))
    assert own.forge.tree(BRANCH) == change.tree


def test_a_sha256_repository(tmp_path):
    night = Night(tmp_path / "night", "--object-format=sha256")
    change = docs(night)
    night.delivered(change)
    assert night.forge.tree(BRANCH) == change.tree


def test_two_at_once_end_with_one_branch(own, tmp_path):
    change = docs(own)
    own.work.write("docs/a.md", "another run's\n")
    other = own.change()

    async def both():
        return await asyncio.gather(own.deliver(change), own.deliver(other), return_exceptions=True)

    results = asyncio.run(both())
    won = [each for each in results if not isinstance(each, BaseException)]
    lost = [each for each in results if isinstance(each, BaseException)]
    assert len(won) == 1
    assert isinstance(lost[0], BranchMovedError)
    assert own.forge.refs()[BRANCH] == won[0][0]


def test_a_delivery_that_is_cut_between_any_two_steps_is_made_again(night):
    """It is cancelled after its nth git command, as by a signal: once with each n, and then it is made."""
    change, count = docs(night), 0
    with contextlib.suppress(StopIteration):
        for count in itertools.count(1):
            night.cut(change, after=count)
            assert set(night.forge.refs()) <= {BRANCH, "refs/heads/main"}
            assert night.left_over == []
    assert count > 10
    commit, pushed = night.delivered(change)
    assert pushed.already
    assert night.forge.refs()[BRANCH] == commit
    assert set(night.forge.refs()) == {BRANCH, "refs/heads/main"}
