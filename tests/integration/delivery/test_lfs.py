"""Objects of Git LFS on their way to the forge."""

import shutil

import pytest
from support.delivery import BRANCH, docs

from codex_runner.delivery.remote import Remote
from codex_runner.domain.errors import (
    DeliveryError,
)


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_objects_of_lfs_arrive(own):
    own.work.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for key, value in {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f"}.items():
        own.work.git("config", f"filter.lfs.{key}", value)
    own.work.git("add", "-A")
    own.work.git("commit", "-q", "-m", "lfs")
    own.publish()
    elsewhere = "[lfs]\n\turl = http://127.0.0.1:9/\n\tpushurl = http://127.0.0.1:9/\n"
    own.agent(("new.bin", b"new" * 1000), (".lfsconfig", elsewhere))
    change = own.change()
    own.delivered(change, Remote(f"file://{own.forge.path}"))
    (oid,) = change.lfs
    assert (own.forge.path / "lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes() == b"new" * 1000


def test_without_git_lfs_its_objects_are_not_delivered(own):
    change = docs(own)
    with_lfs = type(change)(change.base, change.tree, change.paths, change.modes, change.pack, ("a" * 64,))
    own.work.environ["PATH"] = str(only_git(own.root))
    with pytest.raises(DeliveryError, match="git-lfs is not installed"):
        own.delivered(with_lfs)
    assert BRANCH not in own.forge.refs()


def only_git(root):
    """A PATH with git and a shell, and no git-lfs."""
    folder = root / "bin"
    folder.mkdir()
    for name in ("git", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    return folder
