"""Files brought over the connection: whole and proven, or left out with a reason."""

import os
import random

import pytest
from support.proxy import Fault, Proxy

pytestmark = pytest.mark.needs_sshd


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "out" / "deep").mkdir(parents=True)
    (root / "out" / "a.txt").write_text("a\n")
    (root / "out" / "empty").touch()
    (root / "out" / "deep" / "it's \\odd\nname").write_bytes(b"\0\1\n\xff")
    (root / "secret").write_text("outside of what is asked for")
    (root / "out" / "link").symlink_to("/etc/passwd")
    (root / "out" / "folder").symlink_to("/etc")
    os.mkfifo(root / "out" / "fifo")
    return root


def test_lists_files_and_what_is_none(project, server, on):
    listing = on(server(), lambda transport: transport.list_files(str(project), ["out", "nothing", "../..", "/etc"]))
    assert sorted(listing.files) == ["out/a.txt", "out/deep/it's \\odd\nname", "out/empty"]
    assert sorted(listing.others) == ["out/fifo", "out/folder", "out/link"]
    assert listing.complete


def test_lists_nothing_of_what_runs_keep(server, on, runs, tmp_path):
    for folder in (runs / "one" / "home", tmp_path / "runs" / "one"):
        folder.mkdir(parents=True)
        (folder / "rollout.jsonl").touch()
    for below in (["."], ["state", "runs"]):
        listing = on(server(), lambda transport, below=below: transport.list_files(str(tmp_path), below))
        assert [path for path in listing.files if path.endswith(".jsonl")] == ["runs/one/rollout.jsonl"]


def fetched(project, server, on, into, paths, limit=1_000_000, total=10_000_000, **kwargs):
    return on(
        server(), lambda transport: transport.fetch_files(str(project), paths, into, limit=limit, total=total), **kwargs
    )


def test_fetches_files_as_they_are(project, server, on, tmp_path):
    paths = ["out/a.txt", "out/deep/it's \\odd\nname", "out/empty"]
    got = fetched(project, server, on, tmp_path / "into", paths)
    assert (got.fetched, got.left_out) == (paths, {})
    for path in paths:
        assert (tmp_path / "into" / path).read_bytes() == (project / path).read_bytes()


@pytest.mark.parametrize(
    "path", ["out/link", "out/folder/passwd", "out/fifo", "out/none", "../x", "/etc/passwd", "a//b"]
)
def test_leaves_out_what_is_no_plain_file_below_the_folder(path, project, server, on, tmp_path):
    got = fetched(project, server, on, tmp_path / "into", ["out/a.txt", path, "out/empty"])
    assert got.fetched == ["out/a.txt", "out/empty"]
    assert list(got.left_out) == [path]
    assert {each.name for each in (tmp_path / "into" / "out").iterdir()} == {"a.txt", "empty"}


def test_keeps_the_limits(project, server, on, tmp_path):
    for name, size in (("big", 5_000), ("first", 3_000), ("second", 3_000)):
        (project / name).write_bytes(b"x" * size)
    got = fetched(
        project, server, on, tmp_path / "into", ["big", "first", "second", "secret"], limit=4_000, total=4_000
    )
    assert got.fetched == ["first", "secret"]
    assert "5,000" in got.left_out["big"]
    assert "all files together" in got.left_out["second"]


def test_goes_on_at_the_byte_where_the_line_dropped(project, server, on, tmp_path):
    data = random.Random(1).randbytes(3_000_000)
    (project / "large").write_bytes(data)
    sshd = server()
    faults = [Fault("cut", 1_000_000), Fault("truncate", 1_500_000), Fault("cut", 100_000)]
    with Proxy(sshd.port, faults) as proxy:
        got = on(
            sshd,
            lambda transport: transport.fetch_files(
                str(project), ["out/a.txt", "large", "secret"], tmp_path / "into", limit=1 << 30, total=1 << 30
            ),
            config=sshd.client_config(tmp_path / "config", proxy.port),
        )
        assert proxy.connections >= 4
    assert got.fetched == ["out/a.txt", "large", "secret"]
    assert (tmp_path / "into" / "large").read_bytes() == data
    assert got.received == len(data) + 2 + len("outside of what is asked for")
