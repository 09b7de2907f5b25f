"""What a search of a change finds: secrets in binary files, in names, in objects of Git LFS."""

import asyncio
import os
from dataclasses import replace

import pytest
from support.shore import Shore

from codex_runner.delivery.leaks import secrets_in
from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor

KEY = "key-0123456789abcdef0123456789abcdef"
OID = "ab" * 32


def found(change, folder):
    redactor = Redactor([Secret("MODEL_KEY", KEY)])
    return asyncio.run(secrets_in(change, redactor, {"PATH": os.environ["PATH"]}, folder / "runs"))


@pytest.mark.every_case
@pytest.mark.parametrize(
    "files",
    [
        {"notes.bin": b"\0\1\2" + KEY.encode() + b"\0"},
        {f"docs/{KEY}.md": b"a name\n"},
        {"a.md": b"first\n", "b.bin": os.urandom(3 << 20) + KEY.encode() + os.urandom(1 << 20)},
    ],
    ids=["binary", "name", "far inside"],
)
def test_a_secret_in_a_change(forge, tmp_path, files):
    assert found(Shore(forge, tmp_path).change(files), tmp_path) == {"MODEL_KEY"}


def test_a_change_without_one(forge, tmp_path):
    assert found(Shore(forge, tmp_path).change({"notes.bin": b"\0\1\2", "a.md": b"key\n"}), tmp_path) == set()


def test_a_secret_in_an_object_of_lfs(forge, tmp_path):
    change = Shore(forge, tmp_path).change({"big.bin": b"a pointer\n"})
    place = change.pack.parent / "lfs" / "ab" / "ab" / OID
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\0" + KEY.encode())
    assert found(replace(change, lfs=(OID,)), tmp_path) == {"MODEL_KEY"}
