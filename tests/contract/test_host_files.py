"""Files on every kind of host: listed, fetched and uploaded, each whole and proven, or left out with a reason."""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest
from support.launches import collect, launch

from codex_runner.domain.errors import FolderGoneError, RunGoneError
from codex_runner.domain.listing import Listing
from codex_runner.domain.run import new_run_id
from codex_runner.transports.local import LocalTransport

# The rest is the same in every shell.
three = pytest.mark.parametrize("reach", ["local-dash", "ssh-bash", "container-busybox"], indirect=True)

ODD = "out/deep/it's \\odd\nname"


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "out" / "deep").mkdir(parents=True)
    (root / "out" / "a.txt").write_text("a\n")
    (root / "out" / "empty").touch()
    (root / ODD).write_bytes(b"\0\1\n\xff")
    (root / "secret").write_text("outside of what is asked for")
    (root / "out" / "link").symlink_to("/etc/passwd")
    (root / "out" / "folder").symlink_to("/etc")
    os.mkfifo(root / "out" / "fifo")
    return root


def test_lists_files_and_what_is_none(project, host, run):
    listing = run(host.list_files(str(project), ["out", "nothing", "../..", "/etc"]))
    assert sorted(listing.files) == ["out/a.txt", ODD, "out/empty"]
    assert sorted(listing.others) == ["out/fifo", "out/folder", "out/link"]
    assert listing.complete


@three
def test_lists_nothing_of_what_runs_keep(host, run, state):
    (state / "project").write_text("not the runner's own")

    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        return [await host.list_files(str(state), [below]) for below in (".", "codex-runner/runs")]

    whole, runs = run(work())
    assert [path for path in (*whole.files, *runs.files) if "runs/" in path or "discarded/" in path] == []
    assert "project" in whole.files


@pytest.mark.parametrize(
    "find",
    ["", "kill -9 $$", 'printf "s\\0f./out/a.txt\\0"', '"$FIND" "$@" | head -c 20', '"$FIND" "$@"; exit 1'],
    ids=["forgets all", "is killed", "is killed and says more", "is cut", "fails"],
)
def test_a_find_that_loses_files_is_never_complete(project, tmp_path, find):
    """Each host's find has its own faults, and an artifact must not be lost in silence."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "find"
    program.write_text(f"#!/bin/sh\nFIND={shutil.which('find')}\n{find}\n")
    program.chmod(0o755)
    host = LocalTransport({"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)})
    assert not asyncio.run(host.list_files(str(project), ["out"])).complete


def test_an_empty_folder_is_listed_whole(host, run, tmp_path):
    (tmp_path / "out").mkdir()
    assert run(host.list_files(str(tmp_path), ["out", "none"])) == Listing()


@three
def test_a_folder_that_is_not_there(host, run, tmp_path):
    async def both():
        with pytest.raises(FolderGoneError):
            await host.list_files("/no/such/folder", ["."])
        with pytest.raises(FolderGoneError):
            await host.fetch_files("/no/such/folder", ["a"], tmp_path, limit=1, total=1)

    run(both())


def test_fetches_what_is_a_plain_file_below_the_folder_and_again(project, host, run, tmp_path):
    refused = ["out/link", "out/folder/passwd", "out/fifo", "out/none", "../x", "/etc/passwd", "a//b"]
    files = ["out/a.txt", ODD, "out/empty"]

    async def twice():
        wanted = [files[0], *refused, *files[1:]]
        return [
            await host.fetch_files(str(project), wanted, tmp_path / "into", limit=1_000_000, total=10_000_000)
            for _ in range(2)
        ]

    for got in run(twice()):
        assert got.files == tuple(files)
        assert sorted(got.left_out) == sorted(refused)
    for path in files:
        assert (tmp_path / "into" / path).read_bytes() == (project / path).read_bytes()
    assert {each.name for each in (tmp_path / "into" / "out").iterdir()} == {"a.txt", "deep", "empty"}


@three
def test_keeps_the_limits(project, host, run, tmp_path):
    for name, size in (("big", 5_000), ("first", 3_000), ("second", 3_000)):
        (project / name).write_bytes(b"x" * size)
    paths = ["big", "first", "second", "secret"]
    got = run(host.fetch_files(str(project), paths, tmp_path / "into", limit=4_000, total=4_000))
    assert got.files == ("first", "secret")
    assert "5,000" in got.left_out["big"]
    assert "all files together" in got.left_out["second"]


def test_an_upload_is_whole_private_and_takes_the_place_of_the_one_before(host, run, tmp_path, state):
    run_id = new_run_id("test")
    file = tmp_path / "file"

    async def work():
        for size in (3_000_000, 65_536, 1, 0):
            file.write_bytes(random.Random(size).randbytes(size))
            check(Path(await host.upload(file, run_id)))
        place = await host.upload(file, run_id)
        await host.discard(run_id)
        return Path(place)

    def check(place):
        assert place.read_bytes() == file.read_bytes()
        assert place.stat().st_mode & 0o077 == 0
        assert [each.name for each in place.parent.iterdir()] == ["upload"]

    place = run(work())
    assert place.parent.parent == state / "codex-runner" / "runs"
    assert not place.parent.exists()


@three
def test_two_uploads_at_once_arrive_both(host, run, tmp_path):
    """One takes over what the other has sent so far, and spoils it: that one is sent anew."""
    file, run_id = tmp_path / "file", new_run_id("test")
    file.write_bytes(random.Random(7).randbytes(3_000_000))

    async def work():
        return await asyncio.gather(*(host.upload(file, run_id) for _ in range(2)))

    places = run(work())
    assert len(set(places)) == 1
    assert Path(places[0]).read_bytes() == file.read_bytes()


@three
def test_nothing_is_uploaded_for_a_run_that_was_discarded(host, run, tmp_path):
    (tmp_path / "file").write_bytes(b"late")

    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        await host.discard(job.run_id)
        with pytest.raises(RunGoneError):
            await host.upload(tmp_path / "file", job.run_id)

    run(work())


@pytest.fixture
def state(host):
    """The host's XDG_STATE_HOME."""

    async def find():
        done = await host.execute('mkdir -p "$XDG_STATE_HOME" && cd "$XDG_STATE_HOME" && pwd -P')
        await host.close()
        return Path(done.output.decode().strip())

    return asyncio.run(find())
