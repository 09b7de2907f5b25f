"""What is delivered: the base's tree with the changed paths replaced, by id, or a refusal with its reason."""

import os
import shutil
import subprocess

import pytest
from support.delivery import Night

from codex_runner.domain.errors import DeliveryError
from codex_runner.domain.event import build, to_json
from codex_runner.git import delivered
from codex_runner.git.changes import TamperedError


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path)


def committed(night):
    """The tree that `git commit -a` would have made of the working tree, by git itself."""
    night.work.git("add", "-A")
    return night.work.git("write-tree").decode().strip()


def files_of(night, change):
    """The tree's files as the base's objects and the pack give them: name to mode and content."""
    forge = night.forge
    with change.pack.open("rb") as pack:
        forge.git("index-pack", "--strict", "--stdin", stdin=pack)
    lines = subprocess.run(
        ["git", "ls-tree", "-r", "-z", change.tree], cwd=forge.path, check=True, capture_output=True
    ).stdout.split(b"\0")[:-1]
    found = {}
    for line in lines:
        facts, name = line.split(b"\t", 1)
        mode, _, oid = facts.split(b" ")
        found[name] = (
            mode.decode(),
            subprocess.run(["git", "cat-file", "blob", oid], cwd=forge.path, check=True, capture_output=True).stdout,
        )
    return found


def test_no_change_is_proven_by_equal_trees(night):
    night.agent()
    packed = night.pack()
    assert not packed.is_change
    assert packed.tree == packed.base_tree == night.forge.tree("main")
    assert packed.paths == ()
    with pytest.raises(DeliveryError, match="changed nothing"):
        night.fetch(packed)


def test_a_change_in_an_ignored_file_alone_is_no_change(night):
    night.agent(("build/out.bin", "made\n"), ("debug.log", "made\n"))
    assert not night.pack().is_change


def test_every_kind_of_change_arrives_as_it_is(night):
    work = night.work
    work.write("keep.sh", "echo\n")
    work.write("crlf.txt", b"one\r\ntwo\r\n")
    work.write("image.bin", bytes(range(256)) * 300)
    work.write("old/name.txt", "".join(f"line {n}\n" for n in range(40)))
    work.write("folder", "a file\n")
    (work.top / "link").symlink_to("README.md")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "more")
    night.publish()
    night.agent(("README.md", "changed\n"), ("crlf.txt", b"one\r\ntwo\r\nthree\r\n"), ("new/deep/er.txt", "new\n"))
    work.write("image.bin", bytes(range(255, -1, -1)) * 300)
    (work.top / "keep.sh").chmod(0o755)
    (work.top / "src/app.py").unlink()
    (work.top / "moved.txt").write_bytes((work.top / "old/name.txt").read_bytes() + b"more\n")
    (work.top / "old/name.txt").unlink()
    (work.top / "link").unlink()
    (work.top / "link").symlink_to("docs/a.md")
    (work.top / "folder").unlink()
    work.write("folder/inside.txt", "now a folder\n")
    strange = os.fsencode(work.top) + b'/\xff\xfe not "UTF-8"\n\t'
    with open(strange, "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(b"strange\n")
    packed = night.pack()
    assert packed.refused == ()
    change = night.fetch(packed)
    assert change.tree == committed(night)
    files = files_of(night, change)
    assert files[b"keep.sh"][0] == "100755"
    assert files[b"link"] == ("120000", b"docs/a.md")
    assert files[b"crlf.txt"][1] == b"one\r\ntwo\r\nthree\r\n"
    assert files[b'\xff\xfe not "UTF-8"\n\t'][1] == b"strange\n"
    assert b"src/app.py" not in files
    assert change.modes["keep.sh"] == "100755"
    assert change.modes["link"] == "120000"
    assert os.fsdecode(b'\xff\xfe not "UTF-8"\n\t') in change.paths
    assert set(change.paths) - set(change.modes) == {"src/app.py", "old/name.txt", "folder"}
    assert change.pack.stat().st_mode & 0o777 == 0o600


def test_a_mode_alone_is_a_change(night):
    night.agent()
    (night.work.top / "README.md").chmod(0o755)
    change = night.change()
    assert change.paths == ("README.md",)
    assert files_of(night, change)[b"README.md"][0] == "100755"


@pytest.mark.parametrize("files", [600])
def test_many_files(night, files):
    night.agent(*((f"docs/{n % 7}/{n}.md", f"page {n}\n") for n in range(files)))
    change = night.change()
    assert len(change.paths) == files
    assert change.tree == committed(night)


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.thorough)])
def test_megabytes_of_change(night, size):
    line = b"%d a line of text that is new, and that no other line is like\n"
    night.agent(
        ("big.txt", b"".join(line % (n * 7919) for n in range(size * 15_000))), ("big.bin", os.urandom(size << 19))
    )
    change = night.change()
    assert change.pack.stat().st_size > size << 19
    assert change.tree == committed(night)


def test_the_pack_has_only_what_the_base_lacks(night):
    night.work.write("big.bin", os.urandom(1 << 20))
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "big")
    night.publish()
    night.agent(("README.md", "short\n"))
    assert night.change().pack.stat().st_size < 2000


def test_commits_of_the_agent_change_nothing_about_it(night):
    night.agent(("README.md", "committed\n"))
    night.work.git("commit", "-qam", "the agent's own")
    packed = night.pack()
    assert packed.base == night.forge.refs()["refs/heads/main"]
    assert night.fetch(packed).tree == committed(night)


def test_uncommitted_changes_stay_out_and_are_named(night):
    work = night.work
    work.write("README.md", "the user's, not committed\n")
    work.write("notes.txt", "the user's, untracked\n")
    (work.top / "docs/a.md").unlink()
    night.agent(("src/app.py", "the agent's\n"))
    packed = night.pack()
    assert packed.refused == ()
    assert set(packed.left_out) == {"README.md", "notes.txt", "docs/a.md"}
    assert packed.paths == ("src/app.py",)
    files = files_of(night, night.fetch(packed))
    assert files[b"README.md"][1].startswith(b"first line")
    assert b"notes.txt" not in files
    assert b"docs/a.md" in files


def test_an_uncommitted_file_that_the_agent_changed_is_refused(night):
    night.work.write("README.md", "the user's\n")
    night.agent(("README.md", "the user's, and the agent's\n"), ("src/app.py", "the agent's\n"))
    packed = night.pack()
    (said,) = packed.refused
    assert said.startswith("README.md had uncommitted changes")
    with pytest.raises(DeliveryError, match=r"README\.md had uncommitted"):
        night.fetch(packed)


def test_a_path_in_the_way_of_an_uncommitted_removal_is_refused(night):
    (night.work.top / "README.md").unlink()
    night.agent(("README.md/inside.txt", "the agent's\n"))
    assert any(said.startswith("README.md had uncommitted") for said in night.pack().refused)


def encrypted(night):
    """A filter like git-crypt's: what is committed is not what is in the tree."""
    work = night.work
    work.git("config", "filter.crypt.clean", "tr a-z n-za-m")
    work.git("config", "filter.crypt.smudge", "tr a-z n-za-m")
    work.write(".gitattributes", "*.key filter=crypt\n")
    work.write("a.key", "secret words\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "a key")
    assert b"secret" not in work.git("show", "HEAD:a.key")
    night.publish()


@pytest.mark.parametrize("configured", [True, False])
def test_a_file_with_a_filter_is_refused_by_the_attributes_from_before(night, configured):
    encrypted(night)
    if not configured:
        night.work.git("config", "--remove-section", "filter.crypt")
    night.agent(("a.key", "new secret words\n"), (".gitattributes", "# nothing here\n"), ("b.txt", "plain\n"))
    (said,) = night.pack().refused
    assert said.startswith("a.key has the filter 'crypt'")


def test_a_file_with_a_filter_that_the_agent_left_alone_is_no_matter(night):
    encrypted(night)
    night.agent(("b.txt", "plain\n"))
    packed = night.pack()
    assert (packed.refused, packed.left_out, packed.paths) == ((), (), ("b.txt",))
    assert b"secret" not in files_of(night, night.fetch(packed))[b"a.key"][1]


def test_a_removed_file_with_a_filter_is_delivered(night):
    encrypted(night)
    night.agent()
    (night.work.top / "a.key").unlink()
    packed = night.pack()
    assert (packed.refused, packed.paths) == ((), ("a.key",))


def test_a_submodule_is_delivered_as_a_commit_and_its_files_are_not(night, tmp_path):
    other = tmp_path / "other"
    night.work.git("clone", "-q", str(night.work.top), str(other))
    night.work.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    night.work.git("commit", "-q", "-m", "a submodule")
    night.publish()
    night.agent(("sub/README.md", "changed inside\n"), ("b.txt", "plain\n"))
    (said,) = night.pack().refused
    assert said.startswith("sub is a submodule")
    night.work.git("commit", "-qam", "inside", cwd=night.work.top / "sub")
    packed = night.pack()
    assert (packed.refused, packed.modes) == ((), {"b.txt": "100644", "sub": "160000"})
    assert night.fetch(packed).tree == committed(night)


def test_line_ends_alone(night):
    text = (night.work.top / "README.md").read_bytes().replace(b"\n", b"\r\n")
    night.agent(("README.md", text))
    assert night.pack().paths == ("README.md",)
    night.work.git("checkout", "-q", "README.md")
    night.work.git("config", "core.autocrlf", "true")
    night.agent(("README.md", text))
    assert not night.pack().is_change


def test_a_file_that_git_cannot_read_is_refused(night):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    night.agent(("locked.txt", "x\n"))
    (night.work.top / "locked.txt").chmod(0)
    assert any("cannot read" in said for said in night.pack().refused)


def test_without_a_commit_there_is_no_base(tmp_path):
    night = Night(tmp_path)
    night.work.git("update-ref", "-d", "HEAD")
    night.agent(("b.txt", "x\n"))
    with pytest.raises(DeliveryError, match="HEAD named no commit"):
        night.pack()


def test_a_tampered_snapshot_is_not_delivered(night):
    night.agent(("b.txt", "x\n"))
    night.work.changes()
    (night.work.scratch / "0/tree").write_text("0" * 40 + "\n")
    with pytest.raises(TamperedError):
        night.on_host(lambda host: delivered.pack(host, night.work.before))


def test_the_working_tree_is_not_read_again(night):
    night.agent(("b.txt", "as it was judged\n"))
    night.work.changes()
    night.work.write("b.txt", "as a check left it\n")
    shutil.rmtree(night.work.top / "docs")
    packed = night.on_host(lambda host: delivered.pack(host, night.work.before))
    assert packed.paths == ("b.txt",)
    files = files_of(night, night.fetch(packed))
    assert files[b"b.txt"][1] == b"as it was judged\n"
    assert b"docs/a.md" in files


def test_what_is_packed_is_plain_enough_for_a_record(night):
    night.agent(("b.txt", "x\n"), ("ä.txt", "y\n"))
    packed = night.pack()
    assert build(delivered.Packed, to_json(packed)) == packed


def test_a_shallow_clone_is_enough(night, tmp_path):
    night.later(("c.txt", "c\n"))
    shallow = tmp_path / "shallow"
    shutil.rmtree(night.work.top)
    night.work.git("clone", "-q", "--depth=1", f"file://{night.forge.path}", str(night.work.top), cwd=tmp_path)
    assert not shallow.exists()
    night.agent(("b.txt", "x\n"))
    assert night.change().tree == committed(night)


def test_a_repository_with_sha256(tmp_path):
    night = Night(tmp_path, "--object-format=sha256")
    night.agent(("b.txt", "x\n"))
    change = night.change()
    assert len(change.tree) == 64
    assert change.tree == committed(night)


def test_the_snapshot_goes_on_working_afterwards(night):
    night.agent(("b.txt", "x\n"))
    night.pack()
    night.work.write("b.txt", "another turn\n")
    assert files_of(night, night.change())[b"b.txt"][1] == b"another turn\n"
    assert b"+another turn" in night.work.patch()


# --- Git LFS ---------------------------------------------------------------------------------------------------------

needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 6\n"


def with_lfs(night):
    night.work.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for key, value in {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f", "required": "true"}.items():
        night.work.git("config", f"filter.lfs.{key}", value)


@needs_lfs
def test_objects_of_lfs_come_along(night):
    with_lfs(night)
    night.work.write("old.bin", b"old" * 1000)
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.publish()
    night.agent(("new.bin", b"new" * 1000), ("empty.bin", b""))
    (night.work.top / "again.bin").write_bytes(b"old" * 1000)
    packed = night.pack()
    assert packed.refused == ()
    change = night.fetch(packed)
    (oid,) = change.lfs
    path = change.pack.parent / "lfs" / oid[:2] / oid[2:4] / oid
    assert path.read_bytes() == b"new" * 1000
    assert change.tree == committed(night)


@needs_lfs
def test_the_first_file_of_lfs_does_not_look_like_tampering(night):
    """git-lfs notes the version of its format in git's settings when it first runs."""
    with_lfs(night)
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.agent(("new.bin", b"new" * 1000))
    night.work.changes()
    assert b"oid sha256" in night.work.patch()


def test_a_file_of_lfs_without_its_filter_is_refused(night):
    night.work.environ["GIT_CONFIG_NOSYSTEM"] = "1"  # Debian's git-lfs is set up there
    night.work.write(".gitattributes", "*.bin filter=lfs\n")
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.agent(("new.bin", b"new" * 1000))
    (said,) = night.pack().refused
    assert said.startswith("new.bin belongs to Git LFS, and git recorded no pointer")


def test_a_pointer_without_its_object_is_refused(night):
    night.work.write(".gitattributes", "*.bin filter=lfs\n")
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.agent(("new.bin", POINTER.format("a" * 64)))
    (said,) = night.pack().refused
    assert said.startswith("new.bin belongs to Git LFS, and its new object is not on the host")


def test_an_object_of_lfs_with_other_content_is_refused(night):
    night.work.write(".gitattributes", "*.bin filter=lfs\n")
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.agent(("new.bin", POINTER.format("a" * 64)))
    place = night.work.top / ".git/lfs/objects/aa/aa"
    place.mkdir(parents=True)
    (place / ("a" * 64)).write_bytes(b"other\n")
    packed = night.pack()
    assert packed.refused == ()
    with pytest.raises(DeliveryError, match="damaged"):
        night.fetch(packed)
