"""Real git, real shells, real working trees: what a change is, whoever tries to hide it."""

import asyncio
import os
import shutil
import subprocess
import time

import pytest
from support.sshd import Sshd
from support.tree import RUN, Workspace

from codex_runner.domain.change import ChangeKind
from codex_runner.git import changes as git_changes
from codex_runner.git.changes import NotRepositoryError, TamperedError, diffstat
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport

HOSTILE = [b"new\nline", b'quo"te', b"\xff\xfe", b"-dash", b" space ", b"back\\slash", b"tab\there", "ünï".encode()]


@pytest.fixture
def work(tmp_path):
    return Workspace(tmp_path)


def contents(folder):
    """Every file of a folder with its bytes and its time."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_nothing_changed(work):
    before = work.snapshot()
    assert before.top == str(work.top)
    assert before.head == work.git("rev-parse", "HEAD").decode().strip()
    assert not before.dirty
    assert work.changes() == git_changes.Changes((), before.head)
    assert work.patch() == b""


def test_each_kind_of_change(work):
    work.write("image.bin", bytes(range(256)) * 40)
    work.write("run.sh", "echo\n")
    work.write("old/name.txt", "".join(f"line {n}\n" for n in range(50)))
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "more")
    work.snapshot()
    work.write("README.md", "first line of README.md\nsecond, changed\nthird line\nfourth\n")
    work.write("new/file.txt", "one\ntwo")
    work.write("image.bin", bytes(range(256)) * 41)
    (work.top / "run.sh").chmod(0o755)
    (work.top / "src/app.py").unlink()
    (work.top / "new/name.txt").write_bytes((work.top / "old/name.txt").read_bytes() + b"more\n")
    (work.top / "old/name.txt").unlink()
    changed = work.changed()
    assert {path: change.kind.value for path, change in changed.items()} == {
        "README.md": "modified",
        "new/file.txt": "added",
        "image.bin": "modified",
        "run.sh": "mode",
        "src/app.py": "deleted",
        "new/name.txt": "renamed",
    }
    assert (changed["README.md"].lines_added, changed["README.md"].lines_deleted) == (2, 1)
    assert (changed["new/file.txt"].lines_added, changed["src/app.py"].lines_deleted) == (2, 3)
    assert changed["image.bin"].binary
    assert changed["image.bin"].lines > 0
    assert changed["new/name.txt"].paths == ("old/name.txt", "new/name.txt")
    assert changed["new/name.txt"].lines == 1
    assert diffstat(tuple(changed.values())).endswith("6 files changed, 6 lines added, 4 lines deleted\n")


def test_what_was_dirty_before_is_not_the_agents(work):
    work.write("README.md", "the user was here\n")
    work.write("notes.txt", "untracked, the user's\n")
    work.write("staged.txt", "staged, the user's\n")
    work.git("add", "staged.txt")
    (work.top / "docs/a.md").unlink()
    assert work.snapshot().dirty
    assert work.kinds() == {}
    work.write("notes.txt", "untracked, the user's, and the agent's\n")
    work.write("README.md", "the user was here\nand the agent\n")
    assert work.kinds() == {"notes.txt": "modified", "README.md": "modified"}
    assert work.changed()["README.md"].lines == 1


def test_a_change_of_the_same_size_in_the_same_instant_is_seen(work):
    work.write("README.md", "aaaa\n")
    work.git("add", "-A")
    work.write("README.md", "bbbb\n")
    work.snapshot()
    path = work.write("README.md", "cccc\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert work.kinds() == {"README.md": "modified"}


def test_a_forged_time_hides_nothing(work):
    before = (work.top / "README.md").stat()
    work.snapshot()
    time.sleep(0.02)
    text = (work.top / "README.md").read_text()
    path = work.write("README.md", text.replace("first", "worst"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert work.kinds() == {"README.md": "modified"}


@pytest.mark.parametrize("name", HOSTILE)
def test_unusual_names(work, name):
    folder = os.fsencode(work.top)
    with open(folder + b"/kept" + name, "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(b"kept\n")
    work.snapshot()
    with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123 - the same
        file.write(b"new\n")
    with open(folder + b"/kept" + name, "ab") as file:  # noqa: PTH123 - the same
        file.write(b"more\n")
    changed = work.changed()
    assert {os.fsencode(path): change.kind.value for path, change in changed.items()} == {
        name: "added",
        b"kept" + name: "modified",
    }
    for change in changed.values():
        assert change.shown.isprintable()
        change.shown.encode()


def test_an_unusual_name_of_the_repository_itself(tmp_path):
    root = tmp_path / 'o"d\\d :näme\n'
    root.mkdir()
    work = Workspace(root)
    work.snapshot()
    work.write("new.txt", "x\n")
    assert work.kinds() == {"new.txt": "added"}
    assert b"+x" in work.patch()


@pytest.mark.parametrize("sub", ["-", "-P", "sub"])
def test_unusual_names_where_a_submodule_is_not_checked_out(work, sub):
    commit = work.git("rev-parse", "HEAD").decode().strip()
    work.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{sub}")
    work.git("commit", "-q", "-m", "a submodule")
    (work.top / sub).mkdir()
    (work.top / sub / "link").symlink_to("here")
    work.snapshot()
    work.write(f"{sub}/a\rb c", "x\n")
    (work.top / sub / "link").unlink()
    (work.top / sub / "link").symlink_to("there")
    assert work.kinds() == {f"{sub}/a\rb c": "added", f"{sub}/link": "modified"}


def test_a_shells_search_for_folders_leads_nowhere_else(work, tmp_path):
    """CDPATH makes `cd .git` go to another folder of that name, and say so on stdout."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    subprocess.run(["git", "init", "-q", other], check=True, env=work.environ)
    work.environ["CDPATH"] = str(other)
    work.snapshot()
    work.write(".git/hooks/pre-commit", "#!/bin/sh\n")
    assert work.kinds() == {".git/hooks/pre-commit": "inside .git"}


def test_paths_are_relative_to_the_top_of_a_monorepo(work):
    work.snapshot(cwd=work.top / "docs")
    work.write("docs/a.md", "changed\n")
    work.write("src/new.py", "pass\n")
    assert work.kinds() == {"docs/a.md": "modified", "src/new.py": "added"}


def test_ignored_files_are_left_out(work):
    work.snapshot()
    work.write("build/out.o", "x")
    work.write("debug.log", "x")
    assert work.kinds() == {}


def test_the_runners_own_folder_is_left_out(work):
    own = work.top / "codex-runs [1]"
    own.mkdir()
    work.snapshot(skip=[str(own), "/nowhere"])
    work.write("codex-runs [1]/run.json", "{}")
    work.write("codex-runs 1/run.json", "{}")
    assert work.kinds() == {"codex-runs 1/run.json": "added"}


def test_a_new_ignore_file_of_the_agents_is_itself_a_change(work):
    work.snapshot()
    work.write(".gitignore", "build/\n*.log\nhidden.txt\n")
    work.write("hidden.txt", "x")
    assert "modified" in work.kinds().values()


def test_a_changed_exclude_file_hides_nothing(work):
    work.snapshot()
    (work.top / ".git/info/exclude").write_text("hidden.txt\n")
    work.write("hidden.txt", "x")
    assert work.kinds() == {".git/info/exclude": "inside .git", "hidden.txt": "added"}


@pytest.mark.parametrize("place", ["config", "hooks/pre-commit", "info/attributes"])
def test_inside_git(work, place):
    work.snapshot()
    with (work.top / ".git" / place).open("a") as file:
        file.write("# x\n")
    (change,) = work.changes().changed
    assert (change.path, change.kind) == (f".git/{place}", ChangeKind.INSIDE_GIT)


def test_a_fifo_among_the_hooks_holds_nobody_up(work):
    work.snapshot()
    os.mkfifo(work.top / ".git/hooks/pre-commit")
    assert work.kinds() == {".git/hooks/pre-commit": "unseen"}


def test_a_hook_that_becomes_executable(work):
    hook = work.top / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\n")
    work.snapshot()
    hook.chmod(0o755)
    assert work.kinds() == {".git/hooks/pre-push": "inside .git"}


def test_nothing_that_the_agent_configures_runs(work, tmp_path):
    work.snapshot()
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\n: >{tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "filter.x.clean", "diff.external", "core.pager", "diff.x.textconv"):
        work.git("config", key, str(trap))
    shutil.copy(trap, work.top / ".git/hooks/post-index-change")
    work.write(".gitattributes", "* filter=x diff=x\n")
    work.write("README.md", "changed\n")
    (tmp_path / "sprung").unlink(missing_ok=True)
    assert set(work.kinds()) == {
        ".git/config",
        ".git/hooks/post-index-change",
        ".gitattributes",
        "README.md",
    }
    work.patch()
    assert not (tmp_path / "sprung").exists()


def test_a_repository_that_the_agent_makes_inside_runs_nothing(work, tmp_path):
    work.snapshot()
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\n: >{tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("empty", "full"):
        nested = work.top / name
        nested.mkdir()
        work.git("init", "-q", cwd=nested)
        (nested / "x").write_text("x")
        if name == "full":
            work.git("add", "-A", cwd=nested)
            work.git("commit", "-q", "-m", "x", cwd=nested)
        work.git("config", "core.fsmonitor", str(trap), cwd=nested)
    assert work.kinds() == {
        "empty": "submodule",
        "empty/.git": "repository",
        "full": "submodule",
        "full/.git": "repository",
    }
    assert not (tmp_path / "sprung").exists()


def test_a_repository_that_an_earlier_job_left_inside_runs_nothing(work, tmp_path):
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\n: >{tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    nested = work.top / "nested"
    nested.mkdir()
    work.git("init", "-q", cwd=nested)
    (nested / "x").write_text("x\n")
    work.git("add", "-A", cwd=nested)
    work.git("commit", "-q", "-m", "x", cwd=nested)
    for key in ("core.fsmonitor", "filter.x.clean", "filter.x.process", "filter.git-lfs clean.clean"):
        work.git("config", key, str(trap), cwd=nested)
    work.git("config", "filter.y.clean", f"git-lfs clean -- %f; {trap}", cwd=nested)
    work.git("config", "core.excludesfile", f"none\nfilter.z.clean {trap}", cwd=nested)
    (nested / ".gitattributes").write_text("x filter=x\ny filter=y\nz filter=z\n")
    (nested / "z").write_text("z\n")
    (nested / "y").write_text("y\n")
    (nested / "x").write_text("changed by the earlier job\n")
    work.snapshot()
    assert work.kinds() == {}
    (nested / "x").write_text("changed\n")
    assert work.kinds() == {"nested/x": "modified"}
    assert not (tmp_path / "sprung").exists()


def test_a_filter_that_the_agent_has_rewritten_is_not_run(work, tmp_path):
    work.git("config", "filter.up.clean", "./tools/up")
    work.git("config", "filter.up.required", "true")
    work.write("tools/up", "#!/bin/sh\ntr a-z A-Z\n").chmod(0o755)
    work.write(".gitattributes", "*.up filter=up\n")
    work.write("text.up", "hello\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "filtered")
    work.snapshot()
    work.write("tools/up", f"#!/bin/sh\n: >{tmp_path}/sprung\ncat\n")
    work.write("text.up", "bye\n")
    assert work.kinds() == {"text.up": "modified", "tools/up": "modified"}
    assert b"-hello\n+bye\n" in work.patch()
    assert not (tmp_path / "sprung").exists()


def test_the_repository_is_only_read(work):
    work.git("gc", "-q")
    work.write("README.md", "dirty\n")
    work.write("untracked", "x\n")
    os.utime(work.top / "docs/a.md", (1_700_000_000, 1_700_000_000))
    before = contents(work.top)
    work.snapshot()
    assert contents(work.top) == before
    work.changes()
    work.patch()
    assert contents(work.top) == before


def test_attributes_cannot_hide_lines(work):
    work.snapshot()
    work.write(".gitattributes", "*.md binary\n")
    work.write("README.md", "other\n")
    change = work.changed()["README.md"]
    assert not change.binary
    assert change.lines == 4


def test_files_that_git_was_told_not_to_look_at_are_looked_at(work):
    work.git("update-index", "--assume-unchanged", "README.md")
    work.git("update-index", "--skip-worktree", "src/app.py")
    work.snapshot()
    work.write("README.md", "changed\n")
    work.write("src/app.py", "changed\n")
    assert work.kinds() == {"README.md": "modified", "src/app.py": "modified"}


def test_a_commit_hides_nothing_and_shows_in_head(work):
    before = work.snapshot()
    work.write("src/app.py", "committed by the agent\n")
    work.git("commit", "-q", "-a", "-m", "sneaky")
    changes = work.changes()
    assert [change.path for change in changes.changed] == ["src/app.py"]
    assert changes.head != before.head


def test_a_folder_that_becomes_a_link(work, tmp_path):
    work.snapshot()
    shutil.rmtree(work.top / "docs")
    (work.top / "docs").symlink_to(tmp_path)
    assert work.kinds() == {"docs": "added", "docs/a.md": "deleted"}


def test_a_file_that_becomes_a_folder_and_one_that_becomes_a_fifo(work):
    work.snapshot()
    (work.top / "README.md").unlink()
    work.write("README.md/inner", "x\n")
    (work.top / "src/app.py").unlink()
    os.mkfifo(work.top / "src/app.py")
    kinds = work.kinds()
    assert kinds["README.md/inner"] == "added"
    assert kinds["README.md"] == "deleted"
    assert "src/app.py" in kinds


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(work):
    work.snapshot()
    work.write("closed", "x").chmod(0)
    work.write("open", "x")
    assert work.kinds() == {"closed": "modified", "open": "added"}


def test_submodules_are_looked_into(work, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    work.git("init", "-q", "-b", "main", cwd=other)
    (other / "lib.c").write_text("int x;\n")
    work.git("add", "-A", cwd=other)
    work.git("commit", "-q", "-m", "lib", cwd=other)
    for name in ("lib", "gone", "absent"):
        work.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), f"mods/{name}")
    work.git("commit", "-q", "-m", "submodules")
    work.git("submodule", "deinit", "-f", "mods/absent")
    work.snapshot()
    assert work.kinds() == {}
    work.write("mods/lib/lib.c", "int y;\n")
    work.write("mods/absent/hidden.txt", "x\n")
    shutil.rmtree(work.top / "mods/gone")
    kinds = work.kinds()
    assert kinds["mods/lib/lib.c"] == "modified"
    assert kinds["mods/absent/hidden.txt"] == "added"
    assert "mods/gone" in kinds
    assert b"a/mods/lib/lib.c" in work.patch()


def test_a_new_commit_in_a_submodule(work, tmp_path):
    nested = work.top / "nested"
    nested.mkdir()
    work.git("init", "-q", cwd=nested)
    for message in ("one", "two"):
        if message == "two":
            work.snapshot()
        (nested / "x").write_text(message)
        work.git("add", "-A", cwd=nested)
        work.git("commit", "-q", "-m", message, cwd=nested)
    assert work.kinds() == {"nested": "submodule", "nested/x": "modified"}


def test_a_linked_worktree(work, tmp_path):
    linked = tmp_path / "linked"
    work.git("worktree", "add", "-q", str(linked))
    work.snapshot(cwd=linked)
    (linked / "new").write_text("x\n")
    work.git("config", "x.y", "z")
    assert work.kinds() == {"new": "added", ".git/config": "inside .git"}


def test_the_repository_is_taken_away(work):
    work.snapshot()
    shutil.rmtree(work.top / ".git")
    assert work.kinds() == {".git": "inside .git"}


def test_before_the_first_commit(tmp_path):
    top = tmp_path / "x"
    top.mkdir()
    work = Workspace(top)
    shutil.rmtree(work.top / ".git")
    work.git("init", "-q")
    before = work.snapshot()
    assert before.head == ""
    work.write("new", "x\n")
    assert work.kinds() == {"new": "added"}


def test_sha256(tmp_path):
    work = Workspace(tmp_path, "--object-format=sha256")
    work.snapshot()
    work.write("new", "x\n")
    assert work.kinds() == {"new": "added"}


def test_line_endings_and_filters_of_the_user_change_nothing(work):
    work.git("config", "core.autocrlf", "true")
    work.git("config", "filter.up.clean", "tr a-z A-Z")
    work.write(".gitattributes", "*.up filter=up\n")
    work.write("text.up", "hello\n")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "filtered")
    work.write("README.md", (work.top / "README.md").read_bytes().replace(b"\n", b"\r\n"))
    work.snapshot()
    assert work.kinds() == {}
    (work.top / "text.up").touch()
    assert work.kinds() == {}
    work.write("text.up", "hello you\n")
    assert work.kinds() == {"text.up": "modified"}


def test_the_environments_git_variables_are_not_followed(work, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    work.git("init", "-q", cwd=other)
    work.environ |= {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / "index"), "GIT_WORK_TREE": "/"}
    assert work.snapshot().top == str(work.top)
    work.write("new", "x\n")
    assert work.kinds() == {"new": "added"}


def test_the_patch_applies_elsewhere(work, tmp_path):
    clone = tmp_path / "clone"
    work.git("clone", "-q", str(work.top), str(clone))
    work.snapshot()
    work.write("image.bin", bytes(range(256)) * 40)
    work.write("docs/a.md", "other\n")
    (work.top / "README.md").unlink()
    with open(os.fsencode(work.top) + b"/\xff", "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(b"x")
    work.changes()
    work.git("apply", "--binary", cwd=clone, input=work.patch())
    assert work.git("status", "--porcelain", "-z", cwd=clone) == work.git("status", "--porcelain", "-z")
    assert (clone / "image.bin").read_bytes() == bytes(range(256)) * 40


def test_answers_larger_than_a_page_arrive_whole(work):
    work.snapshot()
    for n in range(3000):
        work.write(f"many/{'x' * 200}{n}", "x\n")
    work.write("large", os.urandom(2_000_000).hex())
    assert len(work.changes().changed) == 3001
    assert len(work.patch()) > 4_000_000


def test_no_repository(tmp_path):
    work = Workspace(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(NotRepositoryError, match="not a git repository"):
        work.snapshot(cwd=elsewhere)
    with pytest.raises(NotRepositoryError, match=r"bare repository|work tree"):
        work.snapshot(cwd=work.top / ".git")


def test_what_was_noted_is_proved(work):
    work.snapshot()
    index = work.scratch / "0/index"
    index.write_bytes(index.read_bytes() + b"x")
    with pytest.raises(TamperedError):
        work.changes()
    work.snapshot()
    shutil.rmtree(work.scratch)
    with pytest.raises(TamperedError, match="gone"):
        work.changes()


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh", "mksh", "zsh --emulate sh"])
def test_in_every_shell(work, shell):
    shell = shell.split()
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]}")
    script = git_changes.script(delivery=True)

    def ask(*words):
        done = subprocess.run(
            [*shell, "-c", script, "sh", *words], cwd=work.top, env=work.environ, check=True, capture_output=True
        )
        assert done.stderr == b""
        return done.stdout

    facts = ask("snapshot", RUN)
    assert facts.startswith(b"ok ")
    seal = facts.split(b"\0")[1].decode()
    work.write("new\nname", "x\n")
    assert b"1\t0\tnew\nname\0" in ask("changes", RUN, seal)
    assert b"+x" in ask("patch", RUN, seal)
    delivered = ask("deliver", RUN, seal)
    assert b'"new\\nname"' in delivered
    assert (work.scratch / "delivery/pack").read_bytes().startswith(b"PACK")


@pytest.mark.needs_sshd
def test_on_another_host(work, tmp_path):
    if shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("no sshd")
    with Sshd(tmp_path / "sshd", environment={"HOME": str(work.home)}) as server:

        async def scenario():
            host = RemoteTransport(SshCarrier(server.alias, dict(os.environ), ("-F", str(server.config))))
            try:
                before = await git_changes.snapshot(host, str(work.top), RUN)
                with open(os.fsencode(work.top) + b"/\xff\n", "wb") as file:  # noqa: ASYNC230, PTH123 - a name that is no text
                    file.write(b"x\n")
                work.write("large", os.urandom(600_000).hex())
                return await git_changes.changes(host, before), await git_changes.patch(host, before)
            finally:
                await host.close()

        changes, patch = asyncio.run(scenario())
    assert [os.fsencode(change.path) for change in changes.changed] == [b"large", b"\xff\n"]
    assert len(patch) > 1_200_000
