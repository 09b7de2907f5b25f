"""Trees that an agent has laid traps in: repositories below the top, rules rewritten, files that nobody can open."""

import asyncio
import os
import shutil
import subprocess

import pytest
from support.tree import Workspace

from codex_runner.domain.change import ChangeKind
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.policy import PathRules
from codex_runner.engine.path_rules import exit_code_of, judge_changes
from codex_runner.git import changes as git_changes
from codex_runner.git.changes import TreeTimeoutError
from codex_runner.transports.local import LocalTransport

ANY = PathRules()
ALL = PathRules(allowed_paths=("**",))


@pytest.fixture
def work(tmp_path):
    return Workspace(tmp_path)


def verdict(found, rules=ANY):
    return exit_code_of(judge_changes(rules, found.changed, found.committed))


def bare(folder):
    """A folder that git takes for a repository, though nothing in it is called `.git`."""
    (folder / "objects").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text("[core]\nbare = false\nworktree = .\nfsmonitor = ./trap\n")


# --- repositories below the top --------------------------------------------------------------------------------------


def make_repository(work, place):
    work.git("init", "-q", str(work.top / place))
    return f"{place}/.git"


def make_bare(work, place):
    bare(work.top / place)
    return place


def make_pointer(work, place):
    elsewhere = work.home / "elsewhere"
    work.git("init", "-q", str(elsewhere))
    work.write(f"{place}/.git", f"gitdir: {elsewhere}/.git\n")
    return f"{place}/.git"


def make_link(work, place):
    elsewhere = work.home / "elsewhere"
    work.git("init", "-q", str(elsewhere))
    (work.top / place).mkdir(parents=True)
    (work.top / place / ".git").symlink_to(elsewhere / ".git")
    return f"{place}/.git"


def make_way_out(work, place):
    """A link to a folder in another repository: git looks around where it leads to."""
    elsewhere = work.home / "elsewhere"
    work.git("init", "-q", str(elsewhere))
    (elsewhere / "deep/inner").mkdir(parents=True)
    (work.top / place).parent.mkdir(parents=True, exist_ok=True)
    (work.top / place).symlink_to(elsewhere / "deep/inner")
    return place


def make_borrower(work, place):
    """A HEAD, and a file that says where the rest is."""
    elsewhere = work.home / "elsewhere"
    work.git("init", "-q", str(elsewhere))
    work.write(f"{place}/HEAD", "ref: refs/heads/main\n")
    work.write(f"{place}/commondir", f"{elsewhere}/.git\n")
    return place


MAKERS = [make_repository, make_bare, make_pointer, make_link, make_way_out, make_borrower]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("place", ["docs/inner", "docs/new\nline", 'docs/"quoted"', ":(glob)x"])
def test_a_repository_below_the_top_is_forbidden(work, make, place):
    work.snapshot()
    path = make(work, place)
    found = work.changes()
    assert [change.path for change in found.changed if change.kind is ChangeKind.REPOSITORY] == [path]
    assert verdict(found) == verdict(found, ALL) == ExitCode.FORBIDDEN_CHANGE


@pytest.mark.parametrize("make", MAKERS)
def test_in_an_ignored_folder_it_depends_on_the_rules(work, make):
    work.snapshot()
    path = make(work, "build/_deps/lib")
    found = work.changes()
    assert {change.path: change.ignored for change in found.changed} == {path: True}
    assert verdict(found) == ExitCode.SUCCEEDED
    assert verdict(found, ALL) == ExitCode.FORBIDDEN_CHANGE


@pytest.mark.parametrize("make", MAKERS)
def test_a_repository_that_was_there_is_none_of_the_agents(work, make):
    make(work, "vendor/lib")
    work.snapshot()
    work.write("README.md", "changed\n")
    assert work.kinds() == {"README.md": "modified"}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("place", ["config", "hooks/post-checkout", "info/attributes", "commondir"])
def test_a_repository_that_was_there_is_changed(work, place, full):
    nested = work.top / "vendor/lib"
    work.git("init", "-q", str(nested))
    if full:
        (nested / "x").write_text("x\n")
        work.git("add", "-A", cwd=nested)
        work.git("commit", "-q", "-m", "x", cwd=nested)
    work.snapshot()
    with (nested / ".git" / place).open("a") as file:
        file.write("# x\n")
    found = work.changes()
    assert "vendor/lib/.git" in {change.path for change in found.changed if change.kind is ChangeKind.REPOSITORY}
    assert verdict(found) == ExitCode.FORBIDDEN_CHANGE


def test_what_a_pointer_leads_to_is_changed(work):
    make_pointer(work, "vendor/lib")
    work.snapshot()
    work.git("config", "core.fsmonitor", "./trap", cwd=work.home / "elsewhere")
    assert work.kinds() == {"vendor/lib/.git": "repository"}


def test_other_links_lead_into_no_repository(work):
    (work.home / "plain").mkdir()
    work.snapshot()
    for name, leads in (("docs/a", work.home / "plain"), ("docs/b", "../src"), ("docs/c", "nowhere"), (".gitx", "src")):
        (work.top / name).symlink_to(leads)
    assert set(work.kinds().values()) == {"added"}


def test_a_repository_that_is_taken_away_executes_nothing(work):
    make_bare(work, "build/lib")
    work.snapshot()
    shutil.rmtree(work.top / "build/lib")
    assert work.kinds() == {}


def test_a_folder_of_the_runners_own_is_not_looked_into(work):
    own = work.top / "codex-runs [1]"
    own.mkdir()
    work.snapshot(skip=[str(own)])
    make_repository(work, "codex-runs [1]/inner")
    assert work.kinds() == {}


def test_codexs_own_mount_points_are_no_change(work):
    (work.top / "docs/.aws").mkdir()
    work.snapshot(cwd=work.top / "docs")
    for name in (".git", ".agents", ".codex", ".aws"):
        (work.top / "docs" / name).mkdir(exist_ok=True)
    (work.top / "docs/.netrc").write_bytes(b"")
    assert work.kinds() == {}
    assert sorted(path.name for path in (work.top / "docs").iterdir()) == [".aws", "a.md"]


def test_a_mount_point_with_something_in_it_is_the_agents(work):
    work.snapshot(cwd=work.top / "docs")
    make_repository(work, "docs")
    work.write("docs/.codex/config.toml", "x\n")
    assert work.kinds().keys() >= {"docs/.git", "docs/.codex/config.toml"}


# --- rules, as they were ---------------------------------------------------------------------------------------------


def write_ignore(work):
    work.write(".gitignore", "build/\n*.log\nhidden.txt\n")


def write_own_ignore(work):
    """One that hides itself too."""
    work.write("docs/.gitignore", "*\n")


def write_exclude(work):
    (work.top / ".git/info/exclude").write_text("hidden.txt\n")


def write_users_ignore(work):
    place = work.home / ".config/git/ignore"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("hidden.txt\n")


def write_named_ignore(work):
    (work.home / "my-ignores").write_text("hidden.txt\n")


@pytest.mark.parametrize(
    "hide", [write_ignore, write_own_ignore, write_exclude, write_users_ignore, write_named_ignore]
)
def test_new_ignore_rules_hide_nothing(work, hide):
    if hide is write_named_ignore:
        work.git("config", "--global", "core.excludesfile", "~/my-ignores")
    work.snapshot()
    hide(work)
    work.write("docs/hidden.txt", "x\n")
    change = work.changed()["docs/hidden.txt"]
    assert change.kind is ChangeKind.ADDED
    assert change.newly_ignored
    assert b"+x" in work.patch()


def test_what_was_untracked_before_is_newly_ignored_too(work):
    work.write("notes.txt", "the user's\n")
    work.write("still.txt", "the user's\n")
    work.snapshot()
    work.write("notes.txt", "the agent's\n")
    work.write("still.txt", "the agent's\n")
    work.write("README.md", "tracked, and so delivered\n")
    work.write(".gitignore", "build/\n*.log\nnotes.txt\nREADME.md\n")
    marks = {path: change.newly_ignored for path, change in work.changed().items()}
    assert marks == {".gitignore": False, "notes.txt": True, "still.txt": False, "README.md": False}


def test_what_only_the_new_rules_let_through_is_judged(work):
    work.write("build/old.o", "x\n")
    work.snapshot()
    work.write(".gitignore", "*.log\n")
    work.write("build/new.o", "x\n")
    work.write("a.log", "x\n")
    assert work.kinds() == {".gitignore": "modified", "build/old.o": "added", "build/new.o": "added"}


TREE = {
    ".gitignore": "\ufeffbuild/\n*.log\n!keep.log\n/top-only\n\\#odd\n",
    "a/.gitignore": "# no rule\n*.tmp\n/anchored\nin/between\n!important.log\ntrailing   \nfolder/\r\n!!\n\\!bang\n",
    "a/b [1]/.gitignore": "*\n!*.md\n!.gitignore\n",
    "c/.gitignore": "*\n",
    "new\nline/.gitignore": "*.x\n",
}
NAMES = [
    *("x.log", "keep.log", "top-only", "a/top-only", "#odd", "a/x.tmp", "a/deep/x.tmp", "x.tmp", "a/anchored"),
    *("a/deep/anchored", "a/in/between", "a/deep/in/between", "a/important.log", "a/deep/important.log", "a/trailing"),
    *("a/folder/x", "a/deep/folder/x", "a/!bang", "a/b [1]/x", "a/b [1]/x.md", "a/b [1]/deep/x.md", "a/b 1/x", "c/x"),
    *("build/x", "a/build/x", "new\nline/y.x", "new\nline/y", "y.x"),
]


def test_the_old_rules_are_read_as_git_reads_them(work):
    """Whatever git itself would ignore is left out, and nothing else."""
    for name, text in TREE.items():
        work.write(name, text)
    work.snapshot()
    for name in NAMES:
        work.write(name, "x\n")
    said = work.git("ls-files", "--others", "--exclude-standard", "-z").decode().split("\0")
    assert set(work.kinds()) == set(said) - {"", *TREE}
    work.write(".gitignore", "*\n")
    assert set(work.kinds()) == set(said) - {"", *TREE} | {".gitignore"}


def test_new_attributes_convert_nothing(work):
    """A file is compared as it would have been before: neither its line ends nor a filter make it another one."""
    work.write(".gitattributes", "*.txt text\n[attr]mine text eol=lf\n")
    work.write("docs/.gitattributes", '"sp ace.md" mine\n/a.md -text\n')
    work.write("docs/sp ace.md", "x\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "attributes")
    work.snapshot()
    work.write("docs/sp ace.md", "x\r\n")
    work.write("docs/a.md", "first line of docs/a.md\r\nsecond line\r\nthird line\r\n")
    work.write("src/app.py", "first line of src/app.py\r\nsecond line\r\nthird line\r\n")
    (work.home / ".config/git").mkdir(parents=True)
    for place in (work.top / "src", work.top / "docs", work.top):
        (place / ".gitattributes").write_text("* text=auto eol=lf\n[attr]binary text\n")
    (work.home / ".config/git/attributes").write_text("* text=auto\n")
    assert {path for path in work.kinds() if not path.endswith(".gitattributes")} == {"docs/a.md", "src/app.py"}


# --- what must not be opened, and what nobody sees -------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        *(".gitattributes", ".gitignore", ".gitmodules", "docs/.gitattributes", "new/deep/.gitignore"),
        *(".git/info/attributes", ".git/info/exclude", ".git/refs/heads/other", ".git/packed-refs", ".git/HEAD"),
        *("build/.gitignore", "mods/lib/.gitattributes", "mods/lib/.gitignore"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_fifo_is_never_opened(work, tmp_path, place, before):
    submodule(work, tmp_path)

    def lay():
        path = work.top / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    if before:
        if place.startswith(".git/"):
            return
        lay()
        with pytest.raises(ConfigurationError, match=r"is no file"):
            work.snapshot()
        return
    work.write("docs/a.md", "x\n")
    work.snapshot()
    work.write("docs/a.md", "y\n")
    lay()
    found = work.changes()
    assert {change.path: change.kind for change in found.changed}[place] is ChangeKind.UNSEEN
    assert verdict(found) == ExitCode.FORBIDDEN_CHANGE
    assert work.patch() == b""


def submodule(work, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    work.git("init", "-q", "-b", "main", cwd=other)
    (other / "lib.c").write_text("int x;\n")
    work.git("add", "-A", cwd=other)
    work.git("commit", "-q", "-m", "lib", cwd=other)
    work.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "mods/lib")
    work.git("commit", "-q", "-m", "a submodule")


@pytest.mark.parametrize("name", ["HEAD", "commondir", "refs/heads/main"])
def test_a_fifo_in_a_repository_of_the_agents_is_never_opened(work, name):
    """Not even if it lies elsewhere, and the tree has but a pointer to it."""
    work.snapshot()
    make_pointer(work, "docs/inner")
    path = work.home / "elsewhere/.git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert work.kinds()["docs/inner/.git"] == "unseen"


def test_objects_from_elsewhere_are_not_looked_at(work):
    """A fifo may be among them."""
    work.snapshot()
    (work.home / "objects/pack").mkdir(parents=True)
    for ending in ("idx", "pack"):
        os.mkfifo(work.home / f"objects/pack/pack-{'1' * 40}.{ending}")
    work.write(".git/objects/info/alternates", f"{work.home}/objects\n")
    assert work.kinds() == {".git/objects/info/alternates": "unseen"}


def test_other_special_files_are_changes(work):
    work.snapshot()
    os.mkfifo(work.top / "docs/pipe")
    os.mkfifo(work.top / "x.log")
    found = work.changes()
    assert {change.path: change.kind.value for change in found.changed} == {"docs/pipe": "added"}
    assert verdict(found) == ExitCode.SUCCEEDED
    assert verdict(found, PathRules(allowed_paths=("src/**",))) == ExitCode.FORBIDDEN_CHANGE


def test_a_path_that_no_call_can_take(work):
    work.snapshot()
    top = os.open(work.top, os.O_RDONLY)
    try:
        place = top
        for _ in range(50):
            os.mkdir("n" * 100, dir_fd=place)
            place = os.open("n" * 100, os.O_RDONLY, dir_fd=place)
        os.close(os.open("hidden", os.O_CREAT | os.O_WRONLY, dir_fd=place))
        found = work.changes()
    finally:
        subprocess.run(["rm", "-rf", work.top / ("n" * 100)], check=True)
        os.close(top)
    (change,) = found.changed
    assert change.kind is ChangeKind.UNSEEN
    assert verdict(found) == ExitCode.FORBIDDEN_CHANGE


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_looked_into(work):
    work.write("secret/x", "x\n")
    (work.top / "secret").chmod(0)
    work.snapshot()
    work.write("hidden/x", "x\n")
    (work.top / "hidden").chmod(0)
    try:
        assert work.kinds() == {"hidden": "unseen"}
    finally:
        for name in ("secret", "hidden"):
            (work.top / name).chmod(0o755)


def test_a_nul_byte_hides_no_lines(work):
    work.snapshot()
    work.write("docs/a.md", "line\n" * 1000 + "\0")
    work.write("new.bin", "line\n" * 500 + "\0")
    found = work.changes()
    assert found.lines > 1500
    assert verdict(found, PathRules(max_changed_lines=1500)) == ExitCode.JOB_FAILED
    assert b"GIT binary patch" in work.patch()


def test_an_attribute_of_the_users_hides_no_lines(work):
    work.write(".gitattributes", "*.lock -diff\n")
    work.write("x.lock", "x\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "lock")
    work.snapshot()
    work.write("x.lock", "y\n" * 100)
    assert work.changes().lines == 101
    assert b"+y" in work.patch()


def test_a_file_that_cannot_be_counted_is_no_success(work):
    work.snapshot()
    (work.top / "docs/a.md").unlink()
    os.mkfifo(work.top / "docs/a.md")
    found = work.changes()
    assert verdict(found) == ExitCode.SUCCEEDED
    assert verdict(found, PathRules(max_changed_lines=1000)) == ExitCode.JOB_FAILED


def test_a_look_ends_in_time(work):
    work.snapshot()
    with pytest.raises(TreeTimeoutError):
        asyncio.run(git_changes.changes(LocalTransport(work.environ), work.before, timeout=0.001))


# --- history ---------------------------------------------------------------------------------------------------------


def commit(work, name, text, message="x"):
    work.write(name, text)
    work.git("add", "-A")
    work.git("commit", "-q", "-m", message)


def put_back(work):
    work.git("revert", "--no-edit", "HEAD")


def reset(work):
    work.git("reset", "-q", "--hard", "HEAD^")


def leave_a_branch(work):
    work.git("branch", "other")
    work.git("reset", "-q", "--hard", "HEAD^")
    shutil.rmtree(work.top / ".git/logs")
    (work.top / ".git/ORIG_HEAD").unlink()


def stash(work):
    work.git("reset", "-q", "--soft", "HEAD^")
    work.git("stash", "-q")
    work.git("pack-refs", "--all")


@pytest.mark.parametrize("undo", [put_back, reset, leave_a_branch, stash])
def test_what_was_committed_and_put_back_is_judged(work, undo):
    work.snapshot()
    commit(work, "src/app.py", "evil\n" * 10)
    undo(work)
    found = work.changes()
    assert found.changed == ()
    assert {change.path for change in found.committed} == {"src/app.py"}
    assert found.lines >= 13
    assert verdict(found, PathRules(forbidden_paths=("src",))) == ExitCode.FORBIDDEN_CHANGE
    assert verdict(found, PathRules(max_changed_lines=10)) == ExitCode.JOB_FAILED
    assert verdict(found, PathRules(allowed_paths=("src/**",))) == ExitCode.SUCCEEDED
    (finding, *_) = judge_changes(PathRules(forbidden_paths=("src",)), found.changed, found.committed)
    assert "in commit" in finding.message
    assert b"+evil" in asyncio.run(git_changes.committed(LocalTransport(work.environ), work.before))


def test_a_merge_is_judged_against_its_first_parent(work):
    work.git("branch", "upstream")
    work.git("checkout", "-q", "upstream")
    commit(work, "src/upstream.py", "x\n")
    work.git("update-ref", "refs/remotes/origin/main", "HEAD")
    work.git("checkout", "-q", "main")
    work.git("branch", "-D", "upstream")
    work.snapshot()
    work.write("docs/new.md", "x\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "docs")
    work.git("merge", "-q", "--no-edit", "refs/remotes/origin/main")
    found = work.changes()
    assert {change.path for change in found.committed} == {"docs/new.md", "src/upstream.py"}
    assert found.lines == 2


def test_what_upstream_had_before_is_not_the_agents(work):
    commit(work, "src/upstream.py", "x\n")
    work.git("update-ref", "refs/remotes/origin/main", "HEAD")
    work.git("reset", "-q", "--hard", "HEAD^")
    work.snapshot()
    work.git("branch", "mine", "refs/remotes/origin/main")
    assert work.changes().committed == ()


def test_a_commit_without_a_parent_and_one_in_another_worktree(work, tmp_path):
    work.snapshot()
    tree = work.git("rev-parse", "HEAD^{tree}").decode().strip()
    root = work.git("commit-tree", tree, "-m", "x").decode().strip()
    work.git("update-ref", "refs/notes/x", root)
    work.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    (tmp_path / "linked/secret").write_text("x\n")
    work.git("add", "-A", cwd=tmp_path / "linked")
    work.git("commit", "-q", "-m", "x", cwd=tmp_path / "linked")
    assert {change.path for change in work.changes().committed} == {
        *(".gitignore", "README.md", "docs/a.md", "src/app.py", "secret")
    }


def test_more_commits_than_anybody_looks_at(work):
    work.snapshot()
    stream = "".join(
        f"commit refs/heads/many\ncommitter A <a@b> {n} +0000\ndata 0\nM 644 inline x\ndata 2\n{n % 10}\n"
        for n in range(1, 1002)
    )
    work.git("fast-import", "--quiet", input=stream.encode())
    found = work.changes()
    assert verdict(found) == ExitCode.SUCCEEDED, "an agent without rules may fetch as many as it likes"
    assert verdict(found, ALL) == ExitCode.FORBIDDEN_CHANGE
    assert judge_changes(ANY, found.changed, found.committed, scanned=True)


def test_a_shallow_clone(work, tmp_path):
    commit(work, "docs/a.md", "second\n")
    clone = tmp_path / "clone"
    work.git("clone", "-q", "--depth", "1", work.top.as_uri(), str(clone))
    work.top = clone
    work.snapshot()
    commit(work, "docs/a.md", "third\n")
    assert {change.path for change in work.changes().committed} == {"docs/a.md"}


def test_objects_that_are_gone(work):
    work.snapshot()
    for path in (work.top / ".git/objects").glob("??/*"):
        path.unlink()
    found = work.changes()
    assert verdict(found) == ExitCode.FORBIDDEN_CHANGE


def test_objects_that_were_packed_are_not_gone(work):
    commit(work, "docs/a.md", "second\n")
    work.snapshot()
    work.git("gc", "-q", "--prune=now")
    assert work.changes().changed == ()


def test_one_blob_of_the_history_that_is_gone(work):
    blob = work.git("rev-parse", "HEAD:docs/a.md").decode().strip()
    commit(work, "docs/a.md", "second\n")
    work.snapshot()
    (work.top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert verdict(work.changes()) == ExitCode.FORBIDDEN_CHANGE


def test_another_repository_in_its_place(work):
    work.snapshot()
    shutil.rmtree(work.top / ".git")
    work.git("init", "-q", "-b", "main")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "begin again")
    assert verdict(work.changes()) == ExitCode.FORBIDDEN_CHANGE


@pytest.mark.parametrize("rules", [ANY, ALL])
def test_no_repository_any_more(work, rules):
    work.snapshot()
    shutil.rmtree(work.top / ".git")
    assert verdict(work.changes(), rules) == ExitCode.FORBIDDEN_CHANGE
