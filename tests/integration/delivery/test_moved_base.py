"""A change on a base that has moved: on top of it, or a conflict that names its files. Nothing unproven is taken."""

import asyncio
import shutil

import pytest
from support.delivery import BRANCH, docs

from codex_runner.delivery.refusals import ConflictError
from codex_runner.delivery.tree import change_on, contents
from codex_runner.domain.errors import (
    DeliveryError,
)


@pytest.mark.needs_sshd
def test_a_base_that_has_moved_elsewhere_gets_the_change_on_top(night, remote):
    """Over SSH, a server that does not accept GIT_PROTOCOL gives branches alone: then with their history."""
    change = docs(night)
    moved = night.later(("README.md", "by another\n"), ("docs/other.md", "by another\n"))
    night.delivered(change, remote)
    assert night.forge.git("rev-parse", f"{BRANCH}^") == moved
    assert night.forge.git("show", f"{BRANCH}:README.md") == "by another"
    assert set(night.forge.git("diff", "--name-only", f"main..{BRANCH}").splitlines()) == {"docs/a.md", "docs/new.md"}


def test_both_sides_of_one_file_are_merged(own):
    text = "".join(f"line {n}\n" for n in range(30))
    own.later(("long.txt", text))
    own.work.git("pull", "-q", str(own.forge.path), "main")
    own.agent(("long.txt", text.replace("line 3\n", "line 3 of the agent\n")))
    (own.work.top / "long.txt").chmod(0o755)
    change = own.change()
    own.later(("long.txt", text.replace("line 25\n", "line 25 of another\n")))
    own.delivered(change)
    merged = own.forge.git("show", f"{BRANCH}:long.txt")
    assert "line 3 of the agent" in merged
    assert "line 25 of another" in merged
    assert own.forge.git("ls-tree", BRANCH, "long.txt").startswith("100755")


@pytest.mark.parametrize(
    ("theirs", "files"),
    [
        ((("docs/a.md", "by another\n"),), ("docs/a.md",)),
        ((("docs/a.md", None),), ("docs/a.md",)),
        ((("docs/new.md", "by another\n"),), ("docs/new.md",)),
        ((("docs/new.md/inside.txt", "by another\n"),), ("docs/new.md/inside.txt",)),
    ],
)
def test_a_conflict_names_its_files_and_pushes_nothing(night, theirs, files):
    change = docs(night)
    night.later(*theirs)
    with pytest.raises(ConflictError) as caught:
        night.delivered(change)
    assert caught.value.files == files
    assert caught.value.exit_code == 13
    assert files[0] in caught.value.message
    assert BRANCH not in night.forge.refs()
    assert night.left_over == []


def test_a_change_that_the_base_holds_already_is_no_change(night):
    change = docs(night)
    tip = night.later(("docs/a.md", "what the agent wrote\n"), ("docs/new.md", "new\n"))

    async def made():
        async with night.opened(night.remote(), like=change.base) as repository:
            assert await repository.fetch_base("main", change.base) == tip
            await repository.take(change)
            return await change_on(repository, change, tip)

    there = asyncio.run(made())
    assert (there.base, there.tree, there.paths) == (tip, night.forge.tree("main"), ())


def test_a_commit_that_the_forge_does_not_have_is_refused(own):
    own.work.write("local.txt", "not pushed\n")
    own.work.git("add", "-A")
    own.work.git("commit", "-q", "-m", "only here")
    change = docs(own)
    with pytest.raises(DeliveryError, match="does not have it"):
        own.delivered(change)


def test_the_contents_of_a_change_on_a_moved_base(night):
    """What an API needs that takes files instead of a pack."""
    change = docs(night)
    night.later(("README.md", "by another\n"), ("docs/a.md", "first line of docs/a.md\nsecond line\nthird line\n"))

    async def read():
        async with night.opened(night.remote(), like=change.base) as repository:
            tip = await repository.fetch_base("main", change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            return made, [each async for each in contents(repository, made)]

    made, found = asyncio.run(read())
    assert made.base == night.forge.refs()["refs/heads/main"]
    assert found == [
        ("docs/a.md", "100644", b"what the agent wrote\n"),
        ("docs/new.md", "100644", b"new\n"),
    ]


def test_a_pack_with_a_flipped_bit_is_refused(own):
    change = docs(own)
    data = bytearray(change.pack.read_bytes())
    data[len(data) // 2] ^= 1
    change.pack.write_bytes(data)
    with pytest.raises(DeliveryError, match="pack of the run's changes is damaged"):
        own.delivered(change)
    assert BRANCH not in own.forge.refs()


def test_a_pack_of_another_change_is_refused(own):
    change = docs(own)
    own.work.write("docs/a.md", "another\n")
    other = own.change()
    shutil.copy(other.pack, change.pack)
    with pytest.raises(DeliveryError, match="does not hold the tree"):
        own.delivered(change)


def test_a_tree_with_more_than_was_judged_is_refused(own):
    """The host's objects said that the base has a file which it does not have."""
    change = docs(own)
    own.work.write("docs/smuggled.md", "not judged\n")
    other = own.change()
    smuggled = type(change)(change.base, other.tree, change.paths, change.modes, other.pack)
    with pytest.raises(DeliveryError, match="not the one that the run has recorded"):
        own.delivered(smuggled)
