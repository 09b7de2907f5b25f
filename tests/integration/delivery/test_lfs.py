"""Objects of Git LFS on their way to the forge."""

import base64
import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from support.delivery import BRANCH, docs
from support.forge import APP, PAT, PROJECT
from support.shore import Shore

from codex_runner.delivery.remote import Remote
from codex_runner.demo.forge_state import ForgeReply, json_reply
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import (
    DeliveryError,
)


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_objects_of_lfs_arrive(own):
    own.use_lfs()
    elsewhere = "[lfs]\n\turl = http://127.0.0.1:9/\n\tpushurl = http://127.0.0.1:9/\n"
    own.agent(("new.bin", b"new" * 1000), (".lfsconfig", elsewhere))
    change = own.change()
    own.delivered(change, Remote(f"file://{own.forge.path}"))
    (oid,) = change.lfs
    assert (own.forge.path / "lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes() == b"new" * 1000


class LfsServer:
    """The LFS API of a forge, in front of its other answers: batch, upload, and no locks."""

    def __init__(self, forge):
        self.forge, self.stored, self.users = forge, {}, set()
        self._answer, forge.answer = forge.answer, self.answer

    def answer(self, method, path, query, headers, body):
        if path.startswith("/objects/"):
            self.stored[path.rpartition("/")[2]] = body
            return ForgeReply(200)
        if "/info/lfs/" not in path:
            return self._answer(method, path, query, headers, body)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        user, _, token = base64.b64decode(given).decode().partition(":")
        if scheme != "Basic" or token not in self.forge.tokens:
            return ForgeReply(401, b"", {"www-authenticate": 'Basic realm="lfs"'})
        self.users.add((user, token))
        if not path.endswith("/objects/batch"):
            return json_reply(404, {"message": "Not Found"})
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.forge.url}/objects/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        reply = json_reply(200, {"transfer": "basic", "objects": objects})
        return replace(reply, headers={"content-type": "application/vnd.git-lfs+json"})


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
@pytest.mark.parametrize(
    ("kind", "user", "token"),
    [
        (ForgeKind.GITHUB, "x-access-token", APP),
        (ForgeKind.GITHUB, "x-access-token", PAT),
        (ForgeKind.GITLAB, "oauth2", PROJECT),
    ],
    ids=["signed", "pushed", "gitlab"],
)
def test_objects_arrive_before_their_pointers_with_the_deliverys_token(forge, tmp_path, kind, user, token):
    server = LfsServer(forge)
    content = b"a large file\n" * 1000
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    shore = Shore(forge, tmp_path, kind, token)
    change = shore.change({"large.bin": pointer.encode()})
    kept = change.pack.parent / "lfs" / oid[:2] / oid[2:4] / oid
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    assert shore.deliver(replace(change, lfs=(oid,))).state == "delivered"
    assert server.stored == {oid: content}
    assert server.users == {(user, token)}
    assert shore.shown("large.bin") == pointer.strip()
    shore.check_one()


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
