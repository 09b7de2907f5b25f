"""A delivery by hand: the commands that a failed one prints, executed as they are, end with the recorded tree."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from codex_runner.delivery.by_hand import Undelivered, from_pack, from_patch, new_pull, shell_word
from codex_runner.domain.delivery import ForgeKind
from codex_runner.git import changes as git_changes

ODD = "codex/it's$(touch${IFS}gone)`x`;&|\"é"

GITLAB = "https://git.example.com/g/app/-/merge_requests/new"


def clone(night, name="clone"):
    folder = night.root / name
    night.forge.git("clone", "-q", str(night.forge.path), str(folder), cwd=night.root)
    night.forge.git("config", "user.name", "Ada", cwd=folder)
    night.forge.git("config", "user.email", "ada@example.com", cwd=folder)
    return folder


def pasted(commands, cwd, shell="sh"):
    """Execute the commands as a person pastes them: one after the other, in one shell."""
    done = subprocess.run(
        [shell], input="\n".join(commands).encode() + b"\n", cwd=cwd, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def patch_of(night, name="changes.patch"):
    data = night.on_host(lambda host: git_changes.patch(host, night.work.before))
    path = night.root / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)
    return path


def left(night, change, **more):
    known = {"branch": "codex/docs", "message": "docs: it's $HOME", **more}
    return Undelivered(ForgeKind.GIT, str(night.forge.path), known.pop("branch"), change.base, change.tree, **known)


def every_kind(night):
    """Let the agent make changes of every kind."""
    work = night.work
    work.write("docs/text.txt", "one\ntwo\nthree\n" * 30)
    work.write("docs/moved.txt", "".join(f"line {number}\n" for number in range(60)))
    work.write("docs/crlf.txt", b"a\r\nb\r\n")
    work.write("docs/image.png", bytes(range(256)) * 8)
    work.write("docs/run.sh", "#!/bin/sh\n")
    work.write("docs/gone.txt", "gone\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "more")
    night.publish()
    work.snapshot()
    work.write("docs/text.txt", "one\nzwei\nthree\n" * 30 + "no newline at the end")
    (work.top / "docs/moved.txt").rename(work.top / "docs/new name.txt")
    work.write("docs/crlf.txt", b"a\r\nB\r\nc\n")
    work.write("docs/image.png", bytes(reversed(range(256))) * 9)
    work.write("docs/new.bin", b"\0\1\2\r\n\xff" * 99)
    (work.top / "docs/run.sh").chmod(0o755)
    (work.top / "docs/gone.txt").unlink()
    (work.top / "docs/link").symlink_to("text.txt")
    work.write("docs/caf\udce9 'q' \"d\" $x.txt", b"latin-1\n")
    work.write("docs/space at the end ", " \t trailing \t \n")
    return night.change()


@pytest.mark.parametrize("way", ["patch", "pack"])
def test_the_commands_end_with_the_recorded_tree(own, way):
    change = every_kind(own)
    patch = patch_of(own)
    assert {"100755", "120000"} <= set(change.modes.values())
    own.later(("other.txt", "a day's work\n"))  # the base has moved
    made = from_patch(left(own, change), patch) if way == "patch" else from_pack(left(own, change), change.pack, "box")
    code, said = pasted(made.commands, folder := clone(own))
    assert code == 0, said
    assert own.forge.tree("refs/heads/codex/docs") == change.tree
    assert own.forge.git("rev-parse", "refs/heads/codex/docs^") == change.base
    assert own.forge.git("log", "-1", "--format=%B", "codex/docs") == "docs: it's $HOME"
    assert own.forge.git("status", "--porcelain", cwd=folder) == ""


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_hostile_values_stay_values(own, shell):
    own.agent(("docs/a.md", "what the agent wrote\n"))
    change = own.change()
    patch = patch_of(own, "it's\n$(touch gone) ##[error]\u202e \udce9-`x`\"/changes.patch")
    made = from_patch(left(own, change, branch=ODD, message="-x '$(touch gone)' \"`touch gone`\" %s \\n"), patch)
    assert all("\n" not in line and line.isprintable() and "##[" not in line for line in made.commands)
    code, said = pasted(made.commands, folder := clone(own), shell)
    assert code == 0, said
    assert own.forge.tree(f"refs/heads/{ODD}") == change.tree
    assert not list(folder.rglob("gone"))
    assert own.forge.git("log", "-1", "--format=%s", ODD) == "-x '$(touch gone)' \"`touch gone`\" %s \\n"


def test_a_branch_that_has_moved_is_not_overwritten(own):
    own.agent(("docs/a.md", "what the agent wrote\n"))
    change = own.change()
    tip = own.forge.git("rev-parse", "main")
    own.forge.git("branch", "codex/docs", "main")
    refused = from_pack(left(own, change), change.pack, "box")
    code, said = pasted(refused.commands, folder := clone(own))
    assert code != 0, said
    assert own.forge.git("rev-parse", "codex/docs") == tip
    code, said = pasted(from_pack(left(own, change, tip=tip), change.pack, "box").commands, folder)
    assert code == 0, said
    assert own.forge.tree("refs/heads/codex/docs") == change.tree


def test_a_patch_that_does_not_make_the_tree_is_not_pushed(own):
    own.agent(("docs/a.md", "what the agent wrote\n"))
    change = own.change()
    patch = patch_of(own)
    patch.write_bytes(patch.read_bytes().replace(b"what the agent wrote", b"what somebody wrote"))
    before = own.forge.refs()
    code, _ = pasted(from_patch(left(own, change, tip=before["refs/heads/main"]), patch).commands, clone(own))
    assert code != 0
    assert own.forge.refs() == before


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_objects_of_git_lfs_come_along(own):
    own.use_lfs()
    own.agent(("new.bin", b"new" * 1000))
    change = own.change()
    remote = replace(left(own, change), url=f"file://{own.forge.path}")
    made = from_pack(remote, change.pack, "box", lfs=change.pack.parent / "lfs")
    code, said = pasted(made.commands, clone(own))
    assert code == 0, said
    assert own.forge.tree("refs/heads/codex/docs") == change.tree
    (oid,) = change.lfs
    assert (own.forge.path / "lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes() == b"new" * 1000


@pytest.mark.parametrize(
    ("kind", "url", "page"),
    [
        (
            ForgeKind.GITHUB,
            "https://github.com/acme/app.git",
            "https://github.com/acme/app/compare/main...a/b%23c?expand=1",
        ),
        (
            ForgeKind.GITLAB,
            "https://git.example.com/g/app.git",
            f"{GITLAB}?merge_request%5Bsource_branch%5D=a%2Fb%23c&merge_request%5Btarget_branch%5D=main",
        ),
        (ForgeKind.GIT, "/srv/git/app.git", ""),
    ],
)
def test_the_page_to_open(kind, url, page):
    change = Undelivered(kind, url, "a/b#c", "1" * 40, "2" * 40, "Docs", "main")
    assert new_pull(change) == page
    made = from_patch(change, Path("/x/changes.patch"))
    assert made.link == page


@pytest.mark.parametrize(
    "text", ["plain", "a b", "it's", "é", "-n", "\\n", "$x`y`", "a\nb", "\udce9", "\x1b[31m", "%s", "##[x]", "\u202e"]
)
def test_a_word_is_a_word(text):
    word = shell_word(text)
    assert word.isprintable()
    done = subprocess.run(["sh"], input=f"printf %s. {word}".encode(), capture_output=True, check=True)
    assert done.stdout.decode(errors="surrogateescape") == f"{text}."
