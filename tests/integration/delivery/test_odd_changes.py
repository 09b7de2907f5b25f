"""Changes of every kind arrive as the very tree that was recorded, whichever way they go."""

import os
from dataclasses import replace

import pytest
from support.forge import PAT
from support.shore import BRANCH, Shore

from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import DeliveryError

TEXT, MODES = "100644", {"run.sh": "100755", "link": "120000"}
CHANGES = {
    "binary": ({"picture.png": bytes(range(256)) * 40}, {}),
    "crlf": ({"dos.txt": b"one\r\ntwo\r\n"}, {}),
    "removed": ({"README.md": None, "readme/new.md": b"a folder\n"}, {}),
    "file for folder": ({"README.md": None, "README.md/new": b"a folder\n"}, {}),
    "modes": ({"run.sh": b"#!/bin/sh\n", "link": b"run.sh"}, MODES),
    "mode alone": ({"README.md": b"# A project\n"}, {"README.md": "100755"}),
    "submodule": ({"sub": b"1" * 40}, {"sub": "160000"}),
    "no utf-8": ({"caf\udce9.txt": b"latin\n"}, {}),
    "spaces": ({"a b/c'd \"e\\f\n.txt": b"odd\n"}, {}),
    "many": ({f"docs/{number}.md": b"%d\n" % number for number in range(600)}, {}),
    "large": ({"large.txt": os.urandom(1 << 20).hex().encode() * 3}, {}),
}
WAYS = {
    "signed": (ForgeKind.GITHUB, None),
    "pushed": (ForgeKind.GITHUB, PAT),
    "gitlab": (ForgeKind.GITLAB, None),
    "plain": (ForgeKind.GIT, None),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CHANGES)
def test_it_arrives_as_it_was_recorded(forge, tmp_path, name, way):
    files, modes = CHANGES[name]
    shore = Shore(forge, tmp_path, *WAYS[way])
    change = shore.change(files, modes)
    done = shore.deliver(change)
    assert done.state == "delivered"
    assert done.tree == change.tree == forge.repository.commit(done.commit).tree
    assert forge.repository.tip(BRANCH) == done.commit
    shore.check_one()
    assert shore.deliver(change).state == "unchanged"


@pytest.mark.parametrize("summary", ["🦀" * 70_000, "@ada Fixes #1 /merge [skip ci]\n<img src=x>\n<!-- x -->", ""])
def test_what_the_agent_says(forge, tmp_path, summary):
    shore = Shore(forge, tmp_path)
    assert shore.deliver(shore.change({"a.md": b"a\n"}), summary=summary).state == "delivered"
    pull = forge.project.pull(1)
    assert len(pull.body) <= 65_536
    said = pull.title + pull.body + forge.repository.commit(forge.repository.tip(BRANCH)).message
    assert "@ada" not in said.replace("`@ada`", "")
    assert "<img" not in said.replace("`<img", "")
    assert shore.deliver(shore.change({"a.md": b"b\n"}), summary=summary).state == "updated"


def test_a_signature_that_is_required(forge, tmp_path):
    change = Shore(forge, tmp_path).change({"a.md": b"a\n"})
    shore = Shore(forge, tmp_path, token=PAT, signing=Signing.REQUIRED)
    with pytest.raises(DeliveryError, match="signed"):
        shore.deliver(change)
    assert (shore.branches, shore.pulls) == ([], [])
    shore.spec = replace(shore.spec, signing=Signing.OFF)
    assert shore.deliver(change).signed is False
