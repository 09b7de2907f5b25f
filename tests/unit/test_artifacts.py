from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import stat
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.artifacts import collector as artifacts
from codex_runner.artifacts.collector import CollectLimits, collect, safe_name
from codex_runner.artifacts.local import LocalArtifacts
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.host import Host
from codex_runner.domain.job import Job
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.manifest import manifest


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path):
    return tmp_path / "run" / "artifacts"


def fill(root, *paths):
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"this is {path}\n")


def kept(result):
    return [each.path.removeprefix("artifacts/") for each in result.kept]


def told(result):
    return {each.path: each.reason for each in result.left_out}


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["a.md"], ["a.md"]),
        (["*.md"], ["a.md"]),
        (["docs/*.md"], ["docs/b.md"]),
        (["docs/**"], ["docs/b.md", "docs/deep/c.md", "docs/deep/d.txt"]),
        (["docs"], ["docs/b.md", "docs/deep/c.md", "docs/deep/d.txt"]),
        (["docs/"], ["docs/b.md", "docs/deep/c.md", "docs/deep/d.txt"]),
        (["**/*.md"], ["a.md", "docs/b.md", "docs/deep/c.md"]),
        (["**/deep/*"], ["docs/deep/c.md", "docs/deep/d.txt"]),
        (["docs/**/c.md"], ["docs/deep/c.md"]),
        (["**/**/c.md"], ["docs/deep/c.md"]),
        (["docs/[b]?md"], ["docs/b.md"]),
        (["./a.md", "a.*"], ["a.md"]),
        ([".hidden/x.md"], [".hidden/x.md"]),
        ([".hidden/**"], [".hidden/x.md"]),
        (["A.md"], []),
    ],
)
def test_globs(root, into, globs, expected):
    fill(root, "a.md", "docs/b.md", "docs/deep/c.md", "docs/deep/d.txt", ".hidden/x.md", ".git/config", "docs/.secret")
    assert kept(collect(root, globs, into)) == expected


def test_a_kept_file_is_the_same_with_its_size_and_digest(root, into):
    data = bytes(range(256)) * 100
    (root / "x.bin").write_bytes(data)
    (file,) = collect(root, ["x.bin"], into).kept
    assert (into / "x.bin").read_bytes() == data
    assert (file.path, file.size, file.sha256) == ("artifacts/x.bin", len(data), hashlib.sha256(data).hexdigest())


def test_a_glob_that_meets_nothing_is_told(root, into):
    fill(root, "a.md")
    assert collect(root, ["a.md", "b.md", "*.txt"], into).unmatched == ("*.txt", "b.md")


@pytest.mark.parametrize("glob", ["/etc/passwd", "../x", "docs/../../x", "~/x", "", ".", "a\0b"])
def test_globs_that_leave_the_workspace_are_refused(root, into, glob):
    (root.parent / "x").write_text("outside")
    result = collect(root, [glob], into)
    assert not result.kept
    assert len(result.left_out) == 1


def test_links_are_refused_and_told(root, into):
    outside = root.parent / "outside"
    fill(outside, "secret.md")
    (root / "link.md").symlink_to(outside / "secret.md")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "inside.md").symlink_to("link.md")
    result = collect(root, ["**/*.md", "folder/secret.md"], into)
    assert kept(result) == []
    assert set(told(result)) == {"link.md", "inside.md", "folder", "loop"}
    assert all("link" in reason for reason in told(result).values())


def test_special_files_are_refused_and_never_waited_for(root, into):
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
        result = collect(root, ["*"], into)
    assert told(result) == {"fifo": "not a regular file", "socket": "not a regular file"}


@pytest.mark.parametrize("swap", ["link", "fifo"])
def test_a_file_that_is_swapped_after_the_look_leads_nowhere(root, into, monkeypatch, swap):
    outside = root.parent / "outside.txt"
    outside.write_text("outside")
    fill(root, "a.txt")
    real = os.open

    def swapping(path, flags, *args, **kwargs):
        if path == "a.txt":
            (root / "a.txt").unlink()
            if swap == "link":
                (root / "a.txt").symlink_to(outside)
            else:
                os.mkfifo(root / "a.txt")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(artifacts.os, "open", swapping)
    result = collect(root, ["a.txt"], into)
    assert not result.kept
    assert list(told(result)) == ["a.txt"]


def test_a_planted_link_in_the_destination_is_replaced_not_followed(root, into):
    fill(root, "a.txt", "sub/b.txt")
    into.mkdir(parents=True)
    victim = root.parent / "victim"
    victim.write_text("mine")
    (into / "a.txt").symlink_to(victim)
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (into / "sub").symlink_to(elsewhere)
    result = collect(root, ["**"], into)
    assert victim.read_text() == "mine"
    assert list(elsewhere.iterdir()) == []
    assert kept(result) == ["a.txt"]
    assert list(told(result)) == ["sub/b.txt"]


def test_sizes_and_counts_are_bounded_and_told(root, into):
    for number in range(4):
        (root / f"{number}.txt").write_bytes(b"x" * (10 + number))
    assert kept(collect(root, ["*"], into, limits=CollectLimits(file=11))) == ["0.txt", "1.txt"]
    result = collect(root, ["*"], into, limits=CollectLimits(total=21))
    assert kept(result) == ["0.txt", "1.txt"]
    assert told(result)["2.txt"] == "12 B, but all files together may have 21 B"
    result = collect(root, ["*"], into, limits=CollectLimits(count=3))
    assert told(result) == {"3.txt": "more than 3 files"}
    result = collect(root, ["*"], into, limits=CollectLimits(visited=2))
    assert (kept(result), list(told(result))) == (["0.txt", "1.txt"], ["2.txt"])


def test_depth_is_bounded(root, into):
    fill(root, "a/b/c/d.txt")
    result = collect(root, ["**"], into, limits=CollectLimits(depth=2))
    assert (kept(result), list(told(result))) == ([], ["a/b/c"])


def test_a_file_that_cannot_be_read_is_told(root, into):
    fill(root, "a.txt", "b.txt")
    (root / "a.txt").chmod(0)
    result = collect(root, ["*"], into)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    assert (kept(result), list(told(result))) == (["b.txt"], ["a.txt"])


def test_a_workspace_that_is_gone_is_told(root, into):
    result = collect(root / "gone", ["*"], into)
    assert "cannot be read" in result.left_out[0].reason


def test_the_run_folder_in_the_workspace_is_not_collected_into_itself(root):
    fill(root, "a.txt", "runs/1/events.jsonl")
    into = root / "runs" / "1" / "artifacts"
    for _ in range(2):
        assert kept(collect(root, ["**"], into, skip=[root / "runs" / "1"])) == ["a.txt"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (b"plain name (1).md", "plain name (1).md"),
        (b"100%.md", "100%.md"),
        (b"a\nb", "a%0Ab"),
        (b"100%\n", "100%25%0A"),
        (b"-rf", "%2Drf"),
        (b"~root", "%7Eroot"),
        (b"esc\x1b[2J", "esc%1B[2J"),
        (b"bad\xff", "bad%FF"),
        ("right\u202eexe.md".encode(), "right%E2%80%AEexe.md"),
        (b"c:x?y*z", "c%3Ax%3Fy%2Az"),
        (b"back\\slash", "back%5Cslash"),
        (b"end. ", "end.%20"),
        ("grün".encode(), "grün"),
    ],
)
def test_hostile_names_are_made_safe(root, into, name, safe):
    with open(os.path.join(os.fsencode(root), name), "wb") as file:  # noqa: PTH118, PTH123 - names as bytes
        file.write(b"data")
    assert kept(collect(root, ["*"], into)) == [safe]
    assert (into / safe).read_bytes() == b"data"


@given(st.binary(min_size=1, max_size=40).filter(lambda b: b not in (b".", b"..") and not set(b) & {0, 47}))
def test_a_safe_name_is_one_harmless_name_and_tells_names_apart(raw):
    name = safe_name(os.fsdecode(raw))
    assert name.encode().decode() == name
    assert name.isprintable()
    assert "/" not in name
    assert not name.startswith("-")
    if name != os.fsdecode(raw):
        assert unquote_to_bytes(name) == raw


def test_two_names_that_become_one_are_not_mixed_up(root, into):
    fill(root, "a%0Ab", "a\nb")
    result = collect(root, ["*"], into)
    assert kept(result) == ["a%0Ab"]
    assert "is taken" in result.left_out[0].reason


def test_text_is_redacted_and_a_binary_with_a_secret_refused(root, into):
    redactor = Redactor([Secret("TOKEN", "hunter2-hunter2")])
    (root / "log.txt").write_text("before hunter2-hunter2 after")
    (root / "picture.png").write_bytes(b"\x89PNG\0hunter2-hunter2")
    (root / "wide.txt").write_text("hunter2-hunter2", encoding="utf-16")
    (root / "hunter2-hunter2.txt").write_text("nothing")
    (root / "clean.png").write_bytes(b"\x89PNG\0")
    result = collect(root, ["*"], into, redact=redactor, found=redactor.found)
    assert kept(result) == ["clean.png", "log.txt"]
    assert (into / "log.txt").read_text() == "before ***TOKEN*** after"
    assert result.kept[1].size == len("before ***TOKEN*** after")
    assert set(told(result)) == {"picture.png", "wide.txt", "***TOKEN***.txt"}


def test_the_manifest_says_what_is_there(root, tmp_path):
    folder = RunFolder(tmp_path / "run")
    fill(root, "a.txt", "b/c.txt")
    document = json.loads(manifest(collect(root, ["**"], folder.artifacts).kept))
    assert document["version"] == 1
    for file in document["files"]:
        data = (folder.path / file["path"]).read_bytes()
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [file["path"] for file in document["files"]] == ["artifacts/a.txt", "artifacts/b/c.txt"]


def test_no_temporary_file_and_no_descriptor_stays(root, into):
    fill(root, "a/b/c.txt", "d.txt")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    collect(root, ["**"], into)
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
    assert after == before
    assert sorted(p.name for p in into.rglob("*") if stat.S_ISREG(p.lstat().st_mode)) == ["c.txt", "d.txt"]


def test_the_port_keeps_and_tells(root, tmp_path):
    fill(root, "a.txt")
    (root / "l.txt").symlink_to("a.txt")
    job = Job("j", "p", str(root), artifacts=("*.txt", "*.md"))
    keep, left_out = asyncio.run(
        LocalArtifacts(RunFolder(tmp_path / "run"), Redactor()).collect(job, RunState(), b"", b"")
    )
    assert [each.path for each in keep] == ["artifacts/a.txt"]
    assert list(left_out) == ["left out l.txt: a link; links are not followed", "the glob *.md matched nothing"]


@pytest.mark.parametrize("output", ["out", "."])
def test_no_run_keeps_the_runs_before_it(root, output):
    """With the output folder within the job's own, each run would else keep all that the others have kept."""
    fill(root, "a.txt", "out/b.txt")
    runs = [RunFolder(root / output / name) for name in ("first", "second", "third")]
    for run in runs:
        fill(run.path, "events.jsonl", "artifacts/a.txt")
    job = Job("j", "p", str(root), artifacts=("**",))
    keep, left_out = asyncio.run(LocalArtifacts(runs[1], Redactor()).collect(job, RunState(), b"", b""))
    assert [each.path for each in keep] == ["artifacts/a.txt", "artifacts/out/b.txt"]
    assert not left_out


def test_the_port_says_that_another_hosts_artifacts_are_not_kept(root, tmp_path):
    job = Job("j", "p", str(root), host=Host("devbox"), artifacts=("*",))
    keep, left_out = asyncio.run(
        LocalArtifacts(RunFolder(tmp_path / "run"), Redactor()).collect(job, RunState(), b"", b"")
    )
    assert not keep
    assert "devbox" in left_out[0]


def test_of_very_many_that_are_left_out_a_few_are_named(root, tmp_path):
    for number in range(3000):
        (root / f"link{number:04}").symlink_to("/etc/passwd")
    job = Job(name="docs", prompt="p", cwd=str(root), artifacts=("link*", "none"))
    _, left_out = asyncio.run(
        LocalArtifacts(RunFolder(tmp_path / "run"), Redactor()).collect(job, RunState(), b"", b"")
    )
    assert len(left_out) == 22
    assert "link0019" in left_out[19]
    assert left_out[20:] == ("left out 2,980 more", "the glob none matched nothing")
