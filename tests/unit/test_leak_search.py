"""Whatever a run leaves is searched: any file, any form, any place in it, names and links too."""

import base64
import os
import tracemalloc

import pytest

from codex_runner.domain.folder import RunFolder
from codex_runner.domain.secret import Secret
from codex_runner.redaction import leak_search
from codex_runner.redaction.leak_search import Find, clean, search
from codex_runner.redaction.redactor import Redactor

VALUE = "s3cret/key+1-0123456789"
CHUNK = 1 << 20


@pytest.fixture
def redactor():
    return Redactor([Secret("KEY", VALUE), Secret("OTHER", "another-secret-value")])


def test_nothing_is_found_where_nothing_is(tmp_path, redactor):
    (tmp_path / "empty").touch()
    (tmp_path / "masked").write_text("***KEY***")
    assert search(tmp_path, redactor) == []
    assert search(tmp_path, Redactor()) == []


@pytest.mark.parametrize(
    "data",
    [
        VALUE.encode(),
        VALUE.encode().hex().encode(),
        base64.b64encode(b"user:" + VALUE.encode()),
        b"\0\xff\xfe" + VALUE.encode() + b"\0",
        b"PK\3\4" + os.urandom(1000) + VALUE.encode(),
        b'{"text": "s3cret/key+1-0123456789"}',
    ],
)
def test_every_form_in_every_kind_of_file(tmp_path, redactor, data):
    path = tmp_path / "artifacts" / "deep" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert search(tmp_path, redactor) == [Find(path, "KEY")]


@pytest.mark.parametrize("before", [CHUNK - 30, CHUNK - len(VALUE), CHUNK - 10, CHUNK - 1, CHUNK, 3 * CHUNK - 5])
def test_across_any_cut(tmp_path, redactor, before):
    path = tmp_path / "large"
    path.write_bytes(b" " * before + VALUE.encode() + b" " * CHUNK)
    assert search(tmp_path, redactor) == [Find(path, "KEY")]
    path.write_bytes(b" " * before + VALUE[:-1].encode() + b" " * CHUNK)
    assert search(tmp_path, redactor) == []


@pytest.mark.parametrize("before", [CHUNK - 30, CHUNK - 8, CHUNK])
def test_in_colour_across_a_cut(tmp_path, redactor, before):
    path = tmp_path / "large"
    path.write_bytes(b" " * before + b"s3cret\x1b[01;31m\x1b[K/key+1\x1b[m\x1b[K-0123456789" + b" " * CHUNK)
    assert search(tmp_path, redactor) == [Find(path, "KEY")]


def test_a_long_line_of_the_runs_record_is_masked_in_place(tmp_path, redactor):
    folder = RunFolder(tmp_path / "20260102T030405Z-docs-0a1b2c3d")
    folder.path.mkdir()
    long = b"x" * (9 * CHUNK)
    lines = [b"short", long + VALUE.encode() + long, VALUE.encode(), b"no newline " + VALUE.encode()]
    folder.codex.write_bytes(b"\n".join(lines))
    inode = folder.codex.stat().st_ino
    tracemalloc.start()
    try:
        (leak,) = clean(folder, redactor)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (leak.path, leak.secret, leak.done) == ("codex.jsonl", "KEY", "masked")
    assert folder.codex.read_bytes() == b"\n".join(lines).replace(VALUE.encode(), b"***KEY***")
    assert folder.codex.stat().st_ino == inode
    assert [each.name for each in folder.path.iterdir()] == ["codex.jsonl"]
    assert peak < 48 * CHUNK


def test_the_room_for_reports_is_not_searched(tmp_path, redactor):
    # 256 KiB of random bytes, which are removed before a report is written: they took longer than all else.
    folder = RunFolder(tmp_path / "20260102T030405Z-docs-0a1b2c3d")
    folder.path.mkdir()
    folder.room.write_text(VALUE)
    (folder.path / "said").write_text(VALUE)
    assert [leak.path for leak in clean(folder, redactor)] == ["said"]
    assert folder.room.exists()
    folder.room.unlink()
    folder.room.mkdir()  # somebody else has made that
    (folder.room / "said").write_text(VALUE)
    assert [leak.path for leak in clean(folder, redactor)] == [".room/said"]
    folder.room.rmdir()
    (tmp_path / "another-secret-value").touch()
    folder.room.symlink_to("../another-secret-value")
    assert [leak.path for leak in clean(folder, redactor)] == [".room"]


def test_two_secrets_and_two_files(tmp_path, redactor):
    (tmp_path / "b").write_text(f"another-secret-value {VALUE}")
    (tmp_path / "a").write_text("another-secret-value")
    assert search(tmp_path, redactor) == [
        Find(tmp_path / "a", "OTHER"),
        Find(tmp_path / "b", "KEY"),
        Find(tmp_path / "b", "OTHER"),
    ]


def test_names_of_files_and_folders(tmp_path, redactor):
    folder = tmp_path / "another-secret-value"
    folder.mkdir()
    (folder / "file").touch()
    split = tmp_path / "s3cret" / "key+1-0123456789"
    split.mkdir(parents=True)
    assert search(tmp_path, redactor) == [Find(folder, "OTHER", in_name=True), Find(split, "KEY", in_name=True)]


def test_links_are_read_and_not_followed(tmp_path, redactor):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(VALUE)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "to-a-file").symlink_to(outside / "secret")
    (folder / "to-a-folder").symlink_to(outside)
    (folder / "itself").symlink_to(folder)
    assert search(folder, redactor) == []
    (folder / "said").symlink_to("another-secret-value")
    assert search(folder, redactor) == [Find(folder / "said", "OTHER")]


def test_what_is_no_file_does_not_stop_it(tmp_path, redactor):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / b"not-utf8-\xff".decode("utf-8", "surrogateescape")).write_text(VALUE)
    assert [find.secret for find in search(tmp_path, redactor)] == ["KEY"]


def test_memory_stays_flat(tmp_path, redactor):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 * CHUNK)
    tracemalloc.start()
    try:
        assert search(tmp_path, redactor) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * leak_search._CHUNK
