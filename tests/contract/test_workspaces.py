"""Workspaces on every kind of host: `host` is each transport, through each shell. git and its repositories are real."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.launches import collect, launch, processes_of
from support.ways import ways

from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.host import LOCAL_HOST, Host
from codex_runner.domain.job import Job
from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.domain.workspace import WorkspaceSpec
from codex_runner.git.workspaces import GitWorkspaces
from codex_runner.transports.directory import runs_root
from codex_runner.transports.local import LocalTransport

ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    **{f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder, *arguments, **kwargs):
    done = subprocess.run(["git", "-C", folder, *arguments], env=ENVIRON, capture_output=True, check=True, **kwargs)
    return done.stdout.decode().strip()


def commit(folder, **files):
    """Write files (`_` in a name stands for a slash), commit them, and return the commit."""
    for name, text in files.items():
        path = Path(folder, name.replace("_", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")
    return git(folder, "rev-parse", "HEAD")


def write(made, name, text):
    Path(made.path, name).write_text(text)


@pytest.fixture
def repo(tmp_path):
    """A repository of some history, with tags of both kinds."""
    folder = tmp_path / "the repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, README="one\n", src_a="a\n")
    git(folder, "tag", "light")
    commit(folder, README="two\n", AGENTS="Be good.\n")
    git(folder, "tag", "--annotate", "v1", "--message", "one")
    commit(folder, src_b="b\n")
    return folder


@pytest.fixture
def state(host, tmp_path_factory):
    """The host's state folder."""
    return asyncio.run(_state(host))


async def _state(host):
    done = await host.execute('mkdir -p "$XDG_STATE_HOME/codex-runner" && cd "$XDG_STATE_HOME/codex-runner" && pwd -P')
    await host.close()
    return Path(done.output.decode().strip())


@pytest.fixture(autouse=True)
def nothing_is_left(state):
    """No half-made folder, no bundle, no file of git's own, whatever happened."""
    yield
    patterns = ("workspaces/.*", "mirrors/.*", "runs/*/upload", "runs/*/.upload*", "mirrors/*/objects/pack/tmp*")
    left = [path for pattern in patterns for path in state.glob(pattern)]
    for folder in ("workspaces", "mirrors", "runs"):
        shutil.rmtree(state / folder, ignore_errors=True)
    assert left == []


class Maker:
    """Makes workspaces on a host, and remembers the warnings and how many bytes were sent there."""

    def __init__(self, host):
        self.host, self.warnings, self.sent = host, {}, []
        self.git = GitWorkspaces(host, ENVIRON, runs_root(os.environ))
        self.named = LOCAL_HOST if isinstance(host, LocalTransport) else Host("there")
        self._upload, host.upload = host.upload, self._counted

    async def _counted(self, file, run_id):
        self.sent.append(file.stat().st_size)
        return await self._upload(file, run_id)

    async def make(self, repo, ref="HEAD", *, cwd=".", run_id=None):
        job = Job("test", "", cwd, host=self.named, workspace=WorkspaceSpec(str(repo), ref))
        run_id = run_id or new_run_id("test")
        return await self.git.make(job, run_id, lambda event: self.warnings.update({event.code: event.message}))

    def known(self, state):
        """The runs that the only mirror knows."""
        (mirror,) = (state / "mirrors").iterdir()
        return [line.rpartition("/")[2] for line in git(mirror, "for-each-ref", "refs/runs").splitlines()]


@pytest.fixture
def maker(host):
    return Maker(host)


@pytest.fixture
def far(maker):
    """A host to which something has to be sent."""
    assert not maker.named.is_here
    return maker


sent = pytest.mark.parametrize("reach", ways(["ssh-dash", "ssh-bash", "ssh-busybox"], ["ssh-dash"]), indirect=True)


def test_a_tree_of_its_own_at_the_commit(maker, run, repo, state):
    head = git(repo, "rev-parse", "HEAD")
    run_id = new_run_id("test")
    made = run(maker.make(repo, cwd="src", run_id=run_id))
    top = state / "workspaces" / run_id
    assert (made.path, made.cwd, made.commit) == (str(top), str(top / "src"), head)
    assert {path.name for path in top.iterdir()} == {".git", "README", "AGENTS", "src"}
    assert (top / "README").read_text() == "two\n"
    assert git(top, "status", "--porcelain", "--branch") == "## HEAD (no branch)"
    assert git(top, "log", "--format=%H") == git(repo, "log", "--format=%H")
    assert git(top, "describe") == "v1-1-g" + head[:7]
    assert git(top, "for-each-ref") == git(repo, "for-each-ref", "refs/tags")
    assert (top / "README").stat().st_mode & 0o777 == 0o644
    assert top.parent.stat().st_mode & 0o077 == 0
    assert maker.warnings == {}
    git(top, "fsck", "--strict")


def test_nothing_that_happens_in_it_reaches_another_one(maker, run, repo):
    async def work():
        return await asyncio.gather(*(maker.make(repo) for _ in range(4)))

    first, *others = run(work())
    git(first.path, "config", "core.hooksPath", "/tmp/hooks")
    commit(first.path, README="mine\n")
    git(first.path, "branch", "mine")
    for other in others:
        assert git(other.path, "status", "--porcelain") == ""
        assert git(other.path, "branch", "--list", "mine") == ""
        assert "hookspath" not in git(other.path, "config", "--list").lower()
    assert git(repo, "branch", "--list", "mine") == ""


@pytest.mark.parametrize("ref", ["light", "v1", "HEAD~1", "main", "other", "0123abc"])
def test_any_commit_of_the_repository(ref, maker, run, repo):
    git(repo, "checkout", "--quiet", "-b", "other", "light")
    commit(repo, other="o\n")
    git(repo, "checkout", "--quiet", "main")
    if ref == "0123abc":
        with pytest.raises(ConfigurationError, match=r"workspace\.ref = '0123abc'"):
            run(maker.make(repo, ref))
        return
    made = run(maker.make(repo, ref))
    assert made.commit == git(repo, "rev-parse", f"{ref}^{{commit}}")
    assert git(made.path, "rev-parse", "HEAD") == made.commit
    expected = git(repo, "for-each-ref", f"--merged={made.commit}", "refs/tags")
    assert git(made.path, "for-each-ref") == expected, "tags of its history, and nothing else"


@sent
def test_only_what_is_new_is_sent(far, run, repo, state):
    commit(repo, big=os.urandom(500_000).hex())

    async def work():
        before = await far.make(repo)
        commit(repo, small="s\n")
        git(repo, "tag", "--annotate", "v2", "--message", "two")
        after = await far.make(repo)
        again = await far.make(repo)
        return before, after, again

    before, after, again = run(work())
    assert far.sent[0] > 400_000
    assert max(far.sent[1:]) < 2_000
    assert git(before.path, "rev-list", "--count", "HEAD") == "4"
    for made in (after, again):
        assert git(made.path, "rev-list", "--count", "HEAD") == "5"
        assert git(made.path, "describe") == "v2"
    assert far.known(state) == [Path(each.path).name for each in sorted((before, after, again), key=lambda e: e.path)]


def test_asking_again_gives_the_same_tree(maker, run, repo):
    """A connection may break behind any step; what was made already is not made anew."""
    run_id = new_run_id("test")

    async def work():
        first = await maker.make(repo, run_id=run_id)
        write(first, "README", "touched\n")
        at_once = await asyncio.gather(*(maker.make(repo, run_id=run_id) for _ in range(2)))
        return first, at_once

    first, at_once = run(work())
    assert at_once == [first] * 2
    assert Path(first.path, "README").read_text() == "touched\n"


def test_two_make_the_same_one_at_once(maker, run, repo):
    """One that the runner has given up, since its line is dead, and the one that it tries next."""
    run_id = new_run_id("test")

    async def work():
        return await asyncio.gather(*(maker.make(repo, run_id=run_id) for _ in range(2)), return_exceptions=True)

    made = [each for each in run(work()) if not isinstance(each, HostError)]
    assert made
    assert made == [made[0]] * len(made)
    assert git(made[0].path, "status", "--porcelain") == ""


def test_a_shallow_clone_travels_as_it_is(maker, run, repo, tmp_path, state):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repo}", str(shallow))
    made = run(maker.make(shallow))
    assert git(made.path, "rev-list", "--count", "HEAD") == "1"
    assert git(made.path, "rev-parse", "--is-shallow-repository") == "true"
    assert not list((state / "mirrors").glob("*")), "a mirror would be cut off for others"
    git(made.path, "fsck")


def test_a_partial_clone_is_filled_up(maker, run, repo, tmp_path):
    git(repo, "config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo}", str(partial))
    made = run(maker.make(partial))
    assert Path(made.path, "README").read_text() == "two\n"
    git(made.path, "fsck")


def test_a_repository_of_the_other_hash(maker, run, tmp_path):
    folder = tmp_path / "sha256"
    git(tmp_path, "init", "--quiet", "--object-format=sha256", str(folder))
    commit(folder, a="a\n")
    git(folder, "tag", "--annotate", "v1", "--message", "one")
    made = run(maker.make(folder))
    assert len(made.commit) == 64
    assert git(made.path, "describe") == "v1"


def test_a_linked_worktree_and_a_folder_within(maker, run, repo, tmp_path):
    git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "light")
    made = run(maker.make(tmp_path / "linked" / "src", cwd="src"))
    assert Path(made.path, "README").read_text() == "one\n"
    assert made.cwd == f"{made.path}/src"


def test_what_stays_here_is_told(maker, run, repo):
    (repo / "README").write_text("dirty\n")
    (repo / "untracked").touch()
    made = run(maker.make(repo))
    assert "2 uncommitted changes" in maker.warnings["uncommitted"]
    assert Path(made.path, "README").read_text() == "two\n"
    maker.warnings.clear()
    run(maker.make(repo, "light"))
    assert maker.warnings == {}, "nobody expects them in another commit"


def test_what_is_not_checked_out_is_told(maker, run, repo):
    commit(repo, **{".gitmodules": "[submodule]\n", ".gitattributes": "*.bin filter=lfs\n", "x.bin": "version\n"})
    run(maker.make(repo))
    assert set(maker.warnings) == {"submodules", "lfs"}


@pytest.mark.parametrize(
    ("cwd", "words"), [("none", "none is not a folder"), ("README", "is not a folder"), ("out", "leads out")]
)
def test_a_folder_that_is_none_of_it(cwd, words, maker, run, repo):
    (repo / "out").symlink_to("/tmp")
    git(repo, "add", "out")
    git(repo, "commit", "--quiet", "--message", "link")
    with pytest.raises(ConfigurationError, match=words):
        run(maker.make(repo, cwd=cwd))


def test_a_folder_that_is_no_repository(maker, run, tmp_path):
    with pytest.raises(ConfigurationError, match=r"workspace\.repo = .*not a git repository"):
        run(maker.make(tmp_path))
    with pytest.raises(ConfigurationError, match=r"workspace\.repo = .*No such file"):
        run(maker.make(tmp_path / "none"))


def test_a_url_is_fetched_by_the_host(maker, run, repo, state):
    url = f"file://{repo}".replace(" ", "%20")

    async def work():
        first = await maker.make(url, "main")
        commit(repo, more="m\n")
        return first, await maker.make(url), await maker.make(url, "v1")

    first, second, third = run(work())
    assert maker.sent == []
    assert git(first.path, "describe").startswith("v1-1-g")
    assert second.commit == git(repo, "rev-parse", "HEAD")
    assert third.commit == git(repo, "rev-parse", "v1^{commit}")
    assert git(third.path, "for-each-ref") == git(repo, "for-each-ref", "refs/tags")
    assert len(maker.known(state)) == 3


def test_a_url_that_cannot_be_fetched(maker, run, repo, tmp_path):
    with pytest.raises(ConfigurationError, match="has no such ref"):
        run(maker.make(f"file://{repo}".replace(" ", "%20"), "none"))
    with pytest.raises(HostError, match="could not fetch") as caught:
        run(maker.make(f"file://{tmp_path}/none"))
    assert "access" in caught.value.remedy


def test_a_bare_repository_that_is_named(maker, run, repo, tmp_path):
    """git takes none for a repository that it finds by itself; this one the configuration names."""
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(tmp_path / "bare.git"))
    made = run(maker.make(tmp_path / "bare.git"))
    assert made.commit == git(repo, "rev-parse", "HEAD")
    assert git(made.path, "describe").startswith("v1")


def test_a_bare_repository_that_is_found_is_none(maker, run, repo, tmp_path):
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(tmp_path / "bare.git"))
    (tmp_path / "bare.git" / "docs").mkdir()
    with pytest.raises(ConfigurationError, match=r"safe\.bareRepository"):
        run(maker.make(tmp_path / "bare.git" / "docs"))


def test_a_repository_in_the_place_of_a_submodule_is_put_back_too(maker, run, repo, tmp_path):
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{git(repo, 'rev-parse', 'HEAD')},mods/lib")
    git(repo, "commit", "--quiet", "--message", "a submodule")
    run_id = new_run_id("test")

    async def work():
        made = await maker.make(repo, run_id=run_id)
        inner = Path(made.path, "mods", "lib")
        git(inner, "init", "--quiet")
        (inner / "x").touch()
        git(inner, "config", "core.fsmonitor", f"touch {tmp_path}/sprung; false")
        await maker.git.reset(made, run_id)
        return inner

    assert list(run(work()).iterdir()) == []
    assert not (tmp_path / "sprung").exists()


def test_put_back_to_where_it_began(maker, run, repo):
    commit(repo, **{".gitignore": "ignored\n"})
    run_id = new_run_id("test")

    async def work():
        made = await maker.make(repo, run_id=run_id)
        top = Path(made.path)
        (top / "README").unlink()
        (top / "src" / "a").write_text("changed\n")
        (top / "src" / "b").chmod(0o755)
        (top / "ignored").touch()
        commit(top, AGENTS="Be bad.\n")
        git(top, "checkout", "--quiet", "-b", "mine")
        (top / "new" / "inner").mkdir(parents=True)
        git(top / "new" / "inner", "init", "--quiet")
        (top / ".git" / "index.lock").touch()
        await maker.git.reset(made, run_id)
        return made

    made = run(work())
    assert git(made.path, "status", "--porcelain", "--ignored", "--branch") == "## HEAD (no branch)"
    assert git(made.path, "rev-parse", "HEAD") == made.commit
    assert Path(made.path, "AGENTS").read_text() == "Be good.\n"


def test_what_cannot_be_put_back_is_told(maker, run, repo):
    run_id = new_run_id("test")

    async def work():
        made = await maker.make(repo, run_id=run_id)
        shutil.rmtree(Path(made.path, ".git"))
        with pytest.raises(HostError, match="could not reset the workspace"):
            await maker.git.reset(made, run_id)

    run(work())


@pytest.mark.parametrize("keep", [False, True])
def test_it_goes_with_its_run_or_stays(keep, maker, run, repo, state):
    run_id = new_run_id("test")

    async def work():
        made = await maker.make(repo, run_id=run_id)
        (state / "workspaces" / f".{run_id}.half").mkdir()
        if keep:
            (state / "workspaces" / f".{run_id}.half").rmdir()
        await maker.host.start(launch("reply", run_id=run_id, cwd=made.cwd))
        await collect(maker.host, run_id)
        await maker.host.discard(run_id, keep_workspace=keep)
        return made

    made = run(work())
    assert Path(made.path).exists() == keep
    assert not (state / "runs" / run_id).exists()


def test_it_does_not_go_while_the_agent_works_in_it(maker, run, repo):
    run_id = new_run_id("test")

    async def work():
        made = await maker.make(repo, run_id=run_id)
        await maker.host.start(launch("hangs", run_id=run_id, cwd=made.cwd))
        with pytest.raises(HostError, match="still going"):
            await maker.host.discard(run_id)
        assert git(made.path, "status", "--porcelain") == ""
        await maker.host.stop(run_id, 1, StopReason.CANCELLED)
        await collect(maker.host, run_id)
        await maker.host.discard(run_id)

    run(work())
    assert processes_of(run_id) == []


def test_what_nobody_collects_goes_in_time(maker, run, repo, state):
    """Kept ones, half-made ones, mirrors that nobody uses: not what is young, nor what something needs."""

    async def work():
        old, kept, young = [await maker.make(repo) for _ in range(3)]
        for made in (kept, young):
            await maker.host.discard(Path(made.path).name, keep_workspace=True)
        half = state / "workspaces" / ".half.made"
        half.mkdir()
        mirrors = {name: state / "mirrors" / name for name in ("needed.git", "idle.git", "busy.git")}
        for mirror in mirrors.values():
            (mirror / "objects").mkdir(parents=True)
        write(young, ".git/objects/info/alternates", f"{mirrors['needed.git']}/objects\n")
        for path in (Path(old.path), state / "runs" / Path(old.path).name, Path(kept.path), half):
            os.utime(path, (time.time() - 4000,) * 2)
        for name in ("needed.git", "idle.git"):
            os.utime(mirrors[name], (time.time() - 31 * 86400,) * 2)
        last = launch("reply", retention=3600)
        await maker.host.start(last)
        await collect(maker.host, last.run_id)
        going = (state / "runs" / Path(old.path).name, Path(old.path), Path(kept.path), half, mirrors["idle.git"])
        for _ in range(1200):  # the supervisor of an earlier run may be at it, too
            if not any(path.exists() for path in going):
                break
            await asyncio.sleep(0.05)
        return [path for path in (*going, *mirrors.values()) if path.exists()], young

    left, young = run(work())
    assert {path.name for path in left} == {"needed.git", "busy.git"}
    assert Path(young.path).exists()


@sent
def test_a_mirror_keeps_what_is_needed_and_no_more(far, run, repo, state):
    """The refs of old runs go, but for those whose workspace is there; then git may throw away what was theirs."""

    async def work():
        first = await far.make(repo, "light")
        gone = []
        for number in range(22):
            made = await far.make(repo, run_id=f"2026{number:04}T000000Z-test-0a1b2c3d")
            gone.append(Path(made.path).name)
            await far.host.discard(gone[-1])
        return first, gone

    first, gone = run(work())
    known = far.known(state)
    assert set(known) == {*gone[-20:], Path(first.path).name} or set(known) == {*gone[-19:], Path(first.path).name}
    (mirror,) = (state / "mirrors").iterdir()
    git(mirror, "gc", "--quiet", "--prune=now")
    git(first.path, "fsck", "--strict")


@sent
def test_what_a_mirror_has_lost_is_sent_again(far, run, repo, state):
    """Between the question what it has and the use of it."""
    haves = far.git._ask

    async def losing(*arguments):
        answer = await haves(*arguments)
        if arguments[0] == "haves":
            (mirror,) = (state / "mirrors").iterdir()
            shutil.rmtree(mirror)
        return answer

    async def work():
        await far.make(repo)
        commit(repo, more="m\n")
        far.git._ask = losing
        return await far.make(repo)

    made = run(work())
    git(made.path, "fsck", "--strict")
    assert len(far.sent) == 3
    assert far.warnings == {}


@sent
def test_a_mirror_that_is_broken_is_done_without(far, run, repo, state):
    async def work():
        await far.make(repo)
        (mirror,) = (state / "mirrors").iterdir()
        for pack in (mirror / "objects" / "pack").iterdir():
            pack.chmod(0o600)
            pack.write_bytes(b"broken")
        commit(repo, more="m\n")
        return await far.make(repo)

    made = run(work())
    git(made.path, "fsck", "--strict")
    assert "cannot be used" in far.warnings["mirror"]


def test_settings_of_the_hosts_user_start_nothing(maker, run, repo, state, tmp_path):
    """Hooks, a file system monitor, templates: of the host's own git configuration."""
    asyncio.run(_configure(maker.host, tmp_path))
    try:
        made = run(maker.make(repo))
    finally:
        asyncio.run(_configure(maker.host, None))
    assert not (tmp_path / "ran").exists()
    assert not Path(made.path, ".git", "hooks").exists()


async def _configure(host, folder):
    script = 'rm -f "$HOME/.gitconfig"'
    if folder is not None:
        script = """
            mkdir "$1/hooks" "$1/template" "$1/template/hooks"
            printf '#!/bin/sh\\ntouch "%s/ran"\\n' "$1" >"$1/hooks/post-checkout"
            chmod +x "$1/hooks/post-checkout"
            cp "$1/hooks/post-checkout" "$1/template/hooks/"
            git config --global core.hooksPath "$1/hooks"
            git config --global core.fsmonitor "$1/hooks/post-checkout"
            git config --global init.templateDir "$1/template"
        """
    done = await host.execute(script, arguments=[str(folder)])
    assert done.exit_code == 0, done.output
    await host.close()


def test_a_host_without_git(maker, run, repo, tmp_path):
    async def work():
        found = await maker.host.execute("command -v git")
        folder = tmp_path / "bin"
        folder.mkdir()
        ask = maker.host.ask

        async def without(script, **kwargs):
            needed = "cat cd chmod cut dd env find grep head ln mkdir mktemp mv rm sed sh sort tail touch tr wc"
            hide = f'for each in {needed}; do ln -sf "$(command -v $each)" {folder}/ 2>/dev/null; done; PATH={folder}\n'
            return await ask(hide + script, **kwargs)

        maker.host.ask = without
        with pytest.raises(ConfigurationError, match="git is not installed"):
            await maker.make(repo)
        return found

    assert run(work()).exit_code == 0
