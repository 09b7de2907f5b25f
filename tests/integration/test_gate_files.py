"""What a run begins with, by the real git: odd names, odd repositories, and settings that would run a program."""

import asyncio

import pytest
from support.tree import RUN, Workspace

from codex_runner.domain.delivery_spec import GateSpec
from codex_runner.domain.job import Job
from codex_runner.engine.gate_files import begin_with
from codex_runner.git import base as git_base
from codex_runner.git.base import UnknownBaseError, base_of, files_of
from codex_runner.transports.local import LocalTransport


@pytest.fixture
def work(tmp_path):
    return Workspace(tmp_path)


def files(work, *below, cwd=None):
    async def both():
        host, folder = LocalTransport(work.environ), str(cwd or work.top)
        return await files_of(host, folder, (await base_of(host, folder)).commit, below)

    return asyncio.run(both())


def begins(work, *globs, cwd=None):
    job = Job(name="docs", prompt="do it", cwd=str(cwd or work.top), gate=GateSpec(globs))
    return asyncio.run(begin_with(job, job.gate, RUN, LocalTransport(work.environ), str)).green


def test_the_files_are_those_of_the_commit(work):
    assert sorted(files(work)) == [".gitignore", "README.md", "docs/a.md", "src/app.py"]
    assert sorted(files(work, "src", "docs", cwd=work.top / "docs")) == ["docs/a.md", "src/app.py"]
    assert files(work, "nowhere", ":(top)src", "*") == {}
    work.write("src/app.py", "changed\n")
    work.git("add", "-A")
    before = begins(work, "src/**")
    assert before == begins(work, "src/**")
    work.git("commit", "-qm", "later")
    assert begins(work, "src/**").files != before.files
    work.git("reset", "-q", "--hard", "HEAD^")
    assert begins(work, "src/**") == before


def test_any_name_is_a_name(work):
    odd = ["src/a\nb", "src/caf\udce9", "src/'\"`$(touch x)", "src/-rf", "src/ ", "src/end", "src/[a-z]*", "src/\\n"]
    work.git("config", "core.quotePath", "true")
    for name in odd:
        work.write(name, "text\n")
    work.git("add", "-A")
    work.git("commit", "-qm", "odd")
    assert set(odd) < set(files(work, "src"))
    before = begins(work, "src/**")
    work.write("src/caf\udce9", "more\n")
    work.git("commit", "-qam", "odd")
    assert begins(work, "src/**").files != before.files
    assert begins(work, "docs/**").files == begins(work, "docs/**").files


def test_a_list_of_many_pages_is_whole(work, monkeypatch):
    whole = files(work)
    monkeypatch.setattr(git_base, "_PAGE", 7)
    assert files(work) == whole
    monkeypatch.setattr(git_base, "_MOST", 20)
    with pytest.raises(UnknownBaseError, match="too long"):
        files(work)


def test_what_has_no_commit_to_begin_with(work, tmp_path):
    unborn, nothing = tmp_path / "unborn", tmp_path / "nothing"
    nothing.mkdir()
    work.git("init", "-q", str(unborn))
    work.git("remote", "add", "origin", "https://me:pass-w0rd@example.com/a", cwd=unborn)
    for folder in (unborn, nothing, tmp_path / "gone"):
        with pytest.raises(UnknownBaseError) as caught:
            begins(work, "src/**", cwd=folder)
        assert "pass-w0rd" not in caught.value.message
    with pytest.raises(UnknownBaseError, match="matches no file"):
        begins(work, "scr/**")


def test_a_tree_that_is_missing_is_no_end_of_the_list(work):
    tree = work.git("rev-parse", "HEAD:src").decode().strip()
    (work.top / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(UnknownBaseError, match="cannot list the files"):
        files(work)
    # A partial clone would ask its remote for it.
    work.git("config", "remote.origin.promisor", "true")
    work.git("config", "remote.origin.url", f"ext::sh -c touch% {work.home}/canary")
    with pytest.raises(UnknownBaseError):
        files(work)
    assert not (work.home / "canary").exists()


def test_no_setting_runs_a_program_or_hides_a_file(work):
    canary = work.home / "canary"
    work.write("src/more.py", "more\n")
    work.git("add", "-A")
    work.git("commit", "-qm", "more")
    before, there = begins(work, "src/**", cwd=work.top / "src"), files(work)
    run = f"touch {canary}"
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "diff.external", "filter.x.clean"):
        work.git("config", key, run)
    for key, value in {
        "core.hooksPath": str(work.home),
        "diff.relative": "true",
        "diff.orderFile": "/dev/null",
        "core.ignoreCase": "true",
        "core.excludesFile": "/dev/null",
        "submodule.recurse": "true",
        "alias.ls-tree": f"!{run}",
        "alias.rev-parse": f"!{run}",
    }.items():
        work.git("config", key, value)
    (work.top / ".git" / "info" / "attributes").write_text("* filter=x diff=x export-ignore\n")
    hook = work.home / "post-index-change"
    hook.write_text(f"#!/bin/sh\n{run}\n")
    hook.chmod(0o755)
    work.git("update-index", "--skip-worktree", "src/app.py")
    # Another commit in this one's place.
    work.git("replace", "HEAD", "HEAD^")
    (work.top / ".git" / "info" / "sparse-checkout").write_text("/docs/\n")
    canary.unlink(missing_ok=True)
    assert files(work) == there
    assert begins(work, "src/**", cwd=work.top / "src") == before
    assert not canary.exists()


def test_the_caller_s_own_variables_of_git_lead_nowhere_else(work, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    elsewhere = Workspace(other)
    elsewhere.write("src/app.py", "another repository\n")
    elsewhere.git("commit", "-qam", "other")
    before = begins(work, "src/**")
    work.environ |= {
        "GIT_DIR": str(elsewhere.top / ".git"),
        "GIT_WORK_TREE": str(elsewhere.top),
        "GIT_OBJECT_DIRECTORY": str(elsewhere.top / ".git" / "objects"),
        "GIT_GLOB_PATHSPECS": "1",
        "GIT_NAMESPACE": "x",
    }
    assert begins(work, "src/**") == before


def test_a_submodule_that_moves_is_a_change(work):
    commits = [work.git("rev-parse", "HEAD").decode().strip(), "1" * 40]
    found = []
    for commit in commits:
        work.git("update-index", "--add", "--cacheinfo", f"160000,{commit},src/sub")
        work.git("commit", "-qm", "moved")
        found.append(begins(work, "src/**").files)
    assert found[0] != found[1]
