"""A delivery with real git to real bare repositories: over a path, over SSH, and over smart HTTP with a token."""

import asyncio
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from support.delivery import ADA, BRANCH, WHEN, Night
from support.git_http import GitHttp
from support.sshd import Sshd

from codex_runner.delivery.push import Update, push
from codex_runner.delivery.record_ref import read_record, record_ref, write_record
from codex_runner.delivery.refusals import ConflictError, RecordRefusedError
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.tree import change_on, contents
from codex_runner.domain.delivery import DeliveryRecord, ForgeCredential
from codex_runner.domain.errors import (
    BranchMovedError,
    ConfigurationError,
    CredentialError,
    DeliveryError,
    ForgeUnreachableError,
)
from codex_runner.domain.secret import Secret

TOKEN = "forge-token-0123456789abcdef"


def credential(token=TOKEN):
    return ForgeCredential(Secret("FORGE_TOKEN", token))


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path / "night")


@pytest.fixture
def served(night):
    night.forge.git("config", "http.receivepack", "true")
    with GitHttp(night.root, token=TOKEN) as server:
        yield server


@pytest.fixture(params=["path", "ssh", "http"])
def remote(request, night, tmp_path):
    if request.param == "path":
        return night.remote()
    if request.param == "ssh":
        sshd = request.getfixturevalue("sshd")
        return Remote(f"ssh://{sshd.alias}{night.forge.path}", ssh=("ssh", "-F", str(sshd.config)))
    return over_http(request.getfixturevalue("served"))


def over_http(served, token=TOKEN):
    return Remote(f"{served.origin}/forge.git", credential(token))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    with Sshd(tmp_path_factory.mktemp("sshd") / "sshd", environment={"PATH": os.environ["PATH"]}) as server:
        yield server


def docs(night):
    night.agent(("docs/a.md", "what the agent wrote\n"), ("docs/new.md", "new\n"))
    return night.change()


# --- what arrives ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_sshd
def test_the_tree_arrives_as_one_commit_on_the_base(night, remote):
    change = docs(night)
    commit, pushed = night.delivered(change, remote)
    assert night.forge.refs()[BRANCH] == commit
    assert night.forge.tree(BRANCH) == change.tree
    assert night.forge.git("rev-parse", f"{BRANCH}^") == night.forge.refs()["refs/heads/main"]
    assert night.forge.git("log", "-1", "--format=%an|%ae|%cn|%at|%s", BRANCH) == (
        f"Ada|ada@example.com|Ada|{int(WHEN)}|A change"
    )
    assert not pushed.already
    night.forge.git("fsck", "--strict")
    assert night.left_over == []


def test_the_same_delivery_again_is_the_same_commit_and_moves_nothing(night):
    change = docs(night)
    first, _ = night.delivered(change)
    again, pushed = night.delivered(change)
    assert (again, pushed.already) == (first, True)
    assert list(night.forge.refs()) == [BRANCH, "refs/heads/main"]


def test_a_later_change_takes_the_place_of_the_branch(night):
    first, _ = night.delivered(docs(night))
    night.work.git("checkout", "-q", "--", ".")
    night.work.git("clean", "-qfd")
    night.agent(("docs/a.md", "the next night\n"))
    second, _ = night.delivered(night.change(), expected=first)
    assert night.forge.refs()[BRANCH] == second
    assert night.forge.git("rev-list", "--count", f"main..{BRANCH}") == "1"


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.thorough)])
def test_a_large_change_over_http(night, served, size):
    night.agent(("big.bin", os.urandom(size << 20)), *((f"docs/{n}.md", f"{n}\n") for n in range(600)))
    change = night.change()
    night.delivered(change, over_http(served))
    assert night.forge.tree(BRANCH) == change.tree


def test_a_sha256_repository(tmp_path):
    night = Night(tmp_path / "night", "--object-format=sha256")
    change = docs(night)
    night.delivered(change)
    assert night.forge.tree(BRANCH) == change.tree


# --- a base that has moved -------------------------------------------------------------------------------------------


def test_a_base_that_has_moved_elsewhere_gets_the_change_on_top(night):
    change = docs(night)
    moved = night.later(("README.md", "by another\n"), ("docs/other.md", "by another\n"))
    night.delivered(change)
    assert night.forge.git("rev-parse", f"{BRANCH}^") == moved
    assert night.forge.git("show", f"{BRANCH}:README.md") == "by another"
    assert set(night.forge.git("diff", "--name-only", f"main..{BRANCH}").splitlines()) == {"docs/a.md", "docs/new.md"}


def test_both_sides_of_one_file_are_merged(night):
    text = "".join(f"line {n}\n" for n in range(30))
    night.later(("long.txt", text))
    night.work.git("pull", "-q", str(night.forge.path), "main")
    night.agent(("long.txt", text.replace("line 3\n", "line 3 of the agent\n")))
    (night.work.top / "long.txt").chmod(0o755)
    change = night.change()
    night.later(("long.txt", text.replace("line 25\n", "line 25 of another\n")))
    night.delivered(change)
    merged = night.forge.git("show", f"{BRANCH}:long.txt")
    assert "line 3 of the agent" in merged
    assert "line 25 of another" in merged
    assert night.forge.git("ls-tree", BRANCH, "long.txt").startswith("100755")


@pytest.mark.parametrize(
    ("theirs", "files"),
    [
        ((("docs/a.md", "by another\n"),), ("docs/a.md",)),
        ((("docs/a.md", None),), ("docs/a.md",)),
        ((("docs/new.md", "by another\n"),), ("docs/new.md",)),
        ((("docs/new.md/inside.txt", "by another\n"),), ("docs/new.md/inside.txt",)),
    ],
)
def test_a_conflict_names_its_files_and_pushes_nothing(night, theirs, files):
    change = docs(night)
    night.later(*theirs)
    with pytest.raises(ConflictError) as caught:
        night.delivered(change)
    assert caught.value.files == files
    assert caught.value.exit_code == 13
    assert files[0] in caught.value.message
    assert BRANCH not in night.forge.refs()
    assert night.left_over == []


def test_a_change_that_the_base_holds_already_is_no_change(night):
    change = docs(night)
    tip = night.later(("docs/a.md", "what the agent wrote\n"), ("docs/new.md", "new\n"))

    async def made():
        async with night.opened(night.remote(), like=change.base) as repository:
            assert await repository.fetch_base("main", change.base) == tip
            await repository.take(change)
            return await change_on(repository, change, tip)

    there = asyncio.run(made())
    assert (there.base, there.tree, there.paths) == (tip, night.forge.tree("main"), ())


def test_a_commit_that_the_forge_does_not_have_is_refused(night):
    night.work.write("local.txt", "not pushed\n")
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "only here")
    change = docs(night)
    with pytest.raises(DeliveryError, match="does not have it"):
        night.delivered(change)


def test_a_forge_that_gives_branches_alone_is_asked_for_their_history(night):
    night.forge.git("config", "uploadpack.allowAnySHA1InWant", "false")
    night.forge.git("config", "protocol.version", "0")
    change = docs(night)
    night.later(("README.md", "by another\n"))
    night.delivered(change)
    assert night.forge.git("show", f"{BRANCH}:docs/new.md") == "new"


def test_the_contents_of_a_change_on_a_moved_base(night):
    """What an API needs that takes files instead of a pack."""
    change = docs(night)
    night.later(("README.md", "by another\n"), ("docs/a.md", "first line of docs/a.md\nsecond line\nthird line\n"))

    async def read():
        async with night.opened(night.remote(), like=change.base) as repository:
            tip = await repository.fetch_base("main", change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            return made, [each async for each in contents(repository, made)]

    made, found = asyncio.run(read())
    assert made.base == night.forge.refs()["refs/heads/main"]
    assert found == [
        ("docs/a.md", "100644", b"what the agent wrote\n"),
        ("docs/new.md", "100644", b"new\n"),
    ]


# --- what the forge refuses ------------------------------------------------------------------------------------------


def test_a_branch_that_a_person_has_moved_is_left_alone(night):
    first, _ = night.delivered(docs(night))
    theirs = night.later(("docs/a.md", "a person's\n"), ref="codex/docs")
    night.work.write("docs/a.md", "the next night\n")
    with pytest.raises(BranchMovedError) as caught:
        night.delivered(night.change(), expected=first)
    assert theirs[:12] in caught.value.message
    assert night.forge.refs()[BRANCH] == theirs


def test_a_branch_that_must_not_exist_is_left_alone(night):
    change = docs(night)
    night.forge.git("update-ref", BRANCH, "refs/heads/main")
    with pytest.raises(BranchMovedError, match="was not there when"):
        night.delivered(change)
    assert night.forge.refs()[BRANCH] == night.forge.refs()["refs/heads/main"]


@pytest.mark.parametrize("request_", ["info/refs?service=git-receive-pack", "forge.git/git-receive-pack"])
def test_a_lease_that_is_lost_during_the_push_is_lost(night, served, request_):
    """Another runner pushes after this one has looked, and before its push arrives."""
    change = docs(night)
    main = night.forge.refs()["refs/heads/main"]
    served.faults = [(request_, lambda: night.forge.git("update-ref", BRANCH, main))]
    with pytest.raises(BranchMovedError) as caught:
        night.delivered(change, over_http(served))
    assert main[:12] in caught.value.message
    assert night.forge.refs()[BRANCH] == main


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (
            "echo 'GitLab: You are not allowed to push code to protected branches on this project.' >&2; exit 1",
            "protected",
        ),
        ("echo 'error: GH006: Protected branch update failed for refs/heads/codex/docs.' >&2; exit 1", "protected"),
        ("echo 'title must name a ticket' >&2; exit 1", "title must name a ticket"),
        ("echo 'refusing to allow a GitHub App to create or update workflow' >&2; exit 1", "may not change workflows"),
    ],
)
@pytest.mark.parametrize("kind", ["pre-receive", "update"])
def test_a_hook_that_declines_is_told_in_its_own_words(night, hook, words, kind):
    change = docs(night)
    night.forge.hook(kind, hook)
    with pytest.raises(DeliveryError) as caught:
        night.delivered(change)
    assert words in caught.value.message
    assert caught.value.remedy
    assert BRANCH not in night.forge.refs()


def test_what_a_forge_says_is_cleaned_and_bounded(night):
    change = docs(night)
    night.forge.hook(
        "pre-receive",
        f"printf '\\033[31m##[error]%s\\033[0m\\n' {TOKEN} >&2; yes 'a very long complaint' | head -n 9999 >&2; exit 1",
    )
    remote = Remote(str(night.forge.path), credential())
    with pytest.raises(DeliveryError) as caught:
        night.delivered(change, remote)
    assert TOKEN not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "##[" not in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize(("there", "wanted"), [("codex", "codex/docs"), ("codex/docs/x", "codex/docs")])
def test_a_branch_in_the_way_is_named(night, there, wanted):
    change = docs(night)
    night.forge.git("update-ref", f"refs/heads/{there}", "refs/heads/main")
    with pytest.raises(DeliveryError, match=f"{wanted} cannot exist beside {there}"):
        night.delivered(change)


def test_a_base_that_is_not_there_is_refused(night):
    with pytest.raises(DeliveryError, match="has no branch 'develop'"):
        night.delivered(docs(night), base="develop")


def test_the_default_branch_is_asked_for(night, served):
    async def ask(remote):
        async with night.opened(remote) as repository:
            return await repository.default_branch()

    assert asyncio.run(ask(night.remote())) == "main"
    assert asyncio.run(ask(over_http(served))) == "main"


def test_push_options_arrive(night, served):
    change = docs(night)
    told = night.root / "options"
    night.forge.git("config", "receive.advertisePushOptions", "true")
    night.forge.hook(
        "post-receive", f'echo "$GIT_PUSH_OPTION_0|$GIT_PUSH_OPTION_1" >{told}; echo "View: https://x/1" >&2'
    )
    _, pushed = night.delivered(change, over_http(served), options=("merge_request.create", "merge_request.title=A b"))
    assert told.read_text() == "merge_request.create|merge_request.title=A b\n"
    assert "View: https://x/1" in pushed.said


def test_a_forge_without_push_options_says_so(night):
    with pytest.raises(DeliveryError, match="takes no push options"):
        night.delivered(docs(night), options=("merge_request.create",))
    with pytest.raises(DeliveryError, match="line break"):
        night.delivered(docs(night), options=("merge_request.title=a\nb",))


# --- the way to the forge --------------------------------------------------------------------------------------------


def test_a_wrong_token_is_refused_and_not_shown(night, served):
    wrong = "wrong-token-0123456789abcdef"
    with pytest.raises(CredentialError) as caught:
        night.delivered(docs(night), over_http(served, wrong))
    assert wrong not in caught.value.message
    assert "refuses the delivery's credential" in caught.value.message


def test_a_repository_that_is_not_there(night, served):
    with pytest.raises(DeliveryError, match="is not there, or the credential may not see it"):
        night.delivered(docs(night), Remote(f"{served.origin}/nothing.git", credential()))


def test_a_token_that_may_only_read(night, served):
    night.forge.git("config", "http.receivepack", "false")
    with pytest.raises(DeliveryError, match="does not let this credential in"):
        night.delivered(docs(night), over_http(served))


def test_an_unreachable_forge_is_tried_again_and_given_up(night, served):
    change = docs(night)
    served.faults = [("info/refs", "503"), ("info/refs", "503")]
    night.delivered(change, over_http(served))
    assert night.forge.tree(BRANCH) == change.tree
    with pytest.raises(ForgeUnreachableError, match="cannot be reached"):
        night.delivered(change, Remote("http://127.0.0.1:9/forge.git", credential()), patience=0.1)


def test_an_answer_that_is_lost_after_the_push_costs_nothing(night, served):
    change = docs(night)
    served.faults = [("forge.git/git-receive-pack", "lost")]
    commit, pushed = night.delivered(change, over_http(served))
    assert pushed.already
    assert night.forge.refs()[BRANCH] == commit


def test_the_token_goes_to_no_other_server(night, served):
    with GitHttp(night.root, token=TOKEN) as other:
        served.redirect = other.origin
        with pytest.raises(DeliveryError, match="redirects to another address"):
            night.delivered(docs(night), over_http(served))
        assert not any(header for _, header in other.asked)


def test_the_token_is_in_no_argument_variable_or_file(night, served):
    """A watcher reads every process of this machine while git waits for the forge."""
    change = docs(night)
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        data = (folder / name).read_bytes()
                    except OSError:
                        continue
                    if TOKEN.encode() in data and int(folder.name) != os.getpid():
                        seen.append((name, data))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        slow = "sleep 0.5"
        night.forge.hook("pre-receive", slow)
        night.delivered(change, over_http(served))
    finally:
        stop.set()
        watcher.join()
    assert seen == []
    assert any(header for _, header in served.asked)
    for path in night.root.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


# --- one branch, whatever happens ------------------------------------------------------------------------------------


def test_two_at_once_end_with_one_branch(night, tmp_path):
    change = docs(night)
    night.work.write("docs/a.md", "another run's\n")
    other = night.change()

    async def both():
        return await asyncio.gather(night.deliver(change), night.deliver(other), return_exceptions=True)

    results = asyncio.run(both())
    won = [each for each in results if not isinstance(each, BaseException)]
    lost = [each for each in results if isinstance(each, BaseException)]
    assert len(won) == 1
    assert isinstance(lost[0], BranchMovedError)
    assert night.forge.refs()[BRANCH] == won[0][0]


STEPS = ("fetch_base", "take", "commit", "attempt")


@pytest.mark.parametrize("count", range(1, 13))
def test_a_delivery_that_is_cut_between_any_two_steps_is_made_again(night, count, monkeypatch):
    """It is cancelled at its nth git command, as by a signal. The next one ends with one branch."""
    change = docs(night)

    async def cut():
        async with night.opened(night.remote(), like=change.base) as repository:
            attempt, left = repository.attempt, count

            async def counted(*arguments, **more):
                nonlocal left
                left -= 1
                if not left:
                    raise asyncio.CancelledError
                return await attempt(*arguments, **more)

            repository.attempt = counted
            tip = await repository.fetch_base("main", change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            commit = await repository.commit(made.tree, tip, "A change\n", author=ADA, committer=ADA, when=WHEN)
            await push(repository, [Update(BRANCH, "", commit)])

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cut())
    commit, _ = night.delivered(change)
    assert night.forge.refs()[BRANCH] == commit
    assert set(night.forge.refs()) == {BRANCH, "refs/heads/main"}
    assert night.left_over == []


# --- the record of a plain git remote --------------------------------------------------------------------------------

RECORD = DeliveryRecord("release notes/ä", "git", "20260102T030405Z-docs-0a1b2c3d", "a" * 40, "b" * 40, "c" * 40)


def with_record(night, remote, change, *, expected=("", ""), record=RECORD):
    async def deliver():
        async with night.opened(remote, like=change.base) as repository:
            tip = await repository.fetch_base("main", change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            commit = await repository.commit(made.tree, tip, "A change\n", author=ADA, committer=ADA, when=WHEN)
            noted = await write_record(repository, record, person=ADA, when=WHEN)
            ref = record_ref(record.workflow, record.target)
            await push(repository, [Update(BRANCH, expected[0], commit), Update(ref, expected[1], noted)])
            return commit, await read_record(repository, record.workflow, record.target)

    return asyncio.run(deliver())


@pytest.mark.needs_sshd
def test_the_record_travels_with_the_branch(night, remote):
    commit, (record, noted) = with_record(night, remote, docs(night))
    assert record == RECORD
    ref = "refs/codex-runner/release%20notes%2F%C3%A4/git"
    assert night.forge.refs() == {ref: noted, BRANCH: commit, "refs/heads/main": night.forge.refs()["refs/heads/main"]}


def test_branch_and_record_move_together_or_not_at_all(night):
    change = docs(night)
    with pytest.raises(BranchMovedError):
        with_record(night, night.remote(), change, expected=("", "d" * 40))
    assert list(night.forge.refs()) == ["refs/heads/main"]


def test_a_forge_that_refuses_the_record_alone_says_so(night):
    change = docs(night)
    night.forge.hook("update", 'case $1 in refs/codex-runner/*) echo "no such refs here" >&2; exit 1 ;; esac')
    with pytest.raises(RecordRefusedError, match="no such refs here"):
        with_record(night, night.remote(), change)
    assert list(night.forge.refs()) == ["refs/heads/main"]


def test_a_record_that_is_damaged_is_none(night):
    night.forge.git("update-ref", record_ref("docs", "git"), "refs/heads/main")

    async def read(workflow):
        async with night.opened(night.remote()) as repository:
            return await read_record(repository, workflow, "git")

    assert asyncio.run(read("docs")) == (None, night.forge.refs()["refs/heads/main"])
    assert asyncio.run(read("other")) == (None, "")


# --- a damaged pack --------------------------------------------------------------------------------------------------


def test_a_pack_with_a_flipped_bit_is_refused(night):
    change = docs(night)
    data = bytearray(change.pack.read_bytes())
    data[len(data) // 2] ^= 1
    change.pack.write_bytes(data)
    with pytest.raises(DeliveryError, match="pack of the run's changes is damaged"):
        night.delivered(change)
    assert BRANCH not in night.forge.refs()


def test_a_pack_of_another_change_is_refused(night):
    change = docs(night)
    night.work.write("docs/a.md", "another\n")
    other = night.change()
    shutil.copy(other.pack, change.pack)
    with pytest.raises(DeliveryError, match="does not hold the tree"):
        night.delivered(change)


def test_a_tree_with_more_than_was_judged_is_refused(night):
    """The host's objects said that the base has a file which it does not have."""
    change = docs(night)
    night.work.write("docs/smuggled.md", "not judged\n")
    other = night.change()
    smuggled = type(change)(change.base, other.tree, change.paths, change.modes, other.pack)
    with pytest.raises(DeliveryError, match="not the one that the run has recorded"):
        night.delivered(smuggled)


# --- Git LFS ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_objects_of_lfs_arrive(night):
    night.work.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for key, value in {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f"}.items():
        night.work.git("config", f"filter.lfs.{key}", value)
    night.work.git("add", "-A")
    night.work.git("commit", "-q", "-m", "lfs")
    night.publish()
    night.agent(("new.bin", b"new" * 1000))
    change = night.change()
    night.delivered(change, Remote(f"file://{night.forge.path}"))
    (oid,) = change.lfs
    assert (night.forge.path / "lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes() == b"new" * 1000


def test_without_git_lfs_its_objects_are_not_delivered(night):
    change = docs(night)
    with_lfs = type(change)(change.base, change.tree, change.paths, change.modes, change.pack, ("a" * 64,))
    night.work.environ["PATH"] = str(only_git(night.root))
    with pytest.raises(DeliveryError, match="git-lfs is not installed"):
        night.delivered(with_lfs)
    assert BRANCH not in night.forge.refs()


def only_git(root):
    """A PATH with git and a shell, and no git-lfs."""
    folder = root / "bin"
    folder.mkdir()
    for name in ("git", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


# --- what the agent wrote is not obeyed ------------------------------------------------------------------------------


def traps(night, marker):
    """Everything by which a repository makes git run a program. Each writes its name into a file."""
    top = night.work.top
    script = top / "trap.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >>{marker}\ncat\n')
    script.chmod(0o755)
    for hook in (
        "pre-push",
        "pre-commit",
        "post-index-change",
        "reference-transaction",
        "post-checkout",
        "pre-auto-gc",
    ):
        path = top / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {hook} >>{marker}\n")
        path.chmod(0o755)
    settings = {
        "core.fsmonitor": str(script),
        "core.hooksPath": str(top / ".git/hooks"),
        "core.sshCommand": str(script),
        "core.gitProxy": str(script),
        "core.attributesFile": str(top / ".gitattributes"),
        "filter.trap.clean": str(script),
        "filter.trap.smudge": str(script),
        "filter.trap.process": str(script),
        "diff.external": str(script),
        "diff.trap.textconv": str(script),
        "diff.trap.command": str(script),
        "merge.trap.driver": f"{script} %A",
        "credential.helper": f"!{script}",
        "gpg.program": str(script),
        "commit.gpgSign": "true",
        "push.gpgSign": "if-asked",
        "uploadpack.packObjectsHook": str(script),
        "remote.origin.url": f"ext::{script}",
        "remote.origin.uploadpack": str(script),
        "remote.origin.receivepack": str(script),
        f"url.ext::{script}.insteadOf": str(night.forge.path),
        "core.alternateRefsCommand": str(script),
        "http.proxy": "http://127.0.0.1:9",
    }
    with (top / ".git/config").open("a") as file:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            kind, _, sub = section.partition(".")
            file.write(f'[{kind} "{sub}"]\n' if sub else f"[{kind}]\n")
            file.write(f'\t{name} = "{value}"\n')
    night.work.write(".gitattributes", "* filter=trap diff=trap merge=trap text eol=crlf ident\n")
    (top / ".git/info").mkdir(exist_ok=True)
    night.work.write(".git/info/attributes", "* filter=trap diff=trap merge=trap\n")
    return settings


def test_nothing_that_the_agent_wrote_is_executed_or_obeyed(night, served):
    text = "".join(f"line {n}\n" for n in range(30))
    night.later(("long.txt", text))
    night.work.git("pull", "-q", str(night.forge.path), "main")
    marker = night.root / "executed"
    night.agent(("long.txt", text.replace("line 3\n", "line 3 $Id$\n")))
    traps(night, marker)
    (night.work.home / ".gitconfig").write_text(f"[core]\n\thooksPath = {night.work.top}/.git/hooks\n")
    change = night.change()
    night.later(("long.txt", text.replace("line 25\n", "line 25 of another\n")))
    for way in (night.remote(), over_http(served)):
        commit, _ = night.delivered(change, way)
    assert not marker.exists(), marker.read_text()
    assert "line 3 $Id$\n" in night.forge.git("show", f"{commit}:long.txt")
    assert "\r" not in night.forge.git("show", f"{commit}:long.txt")


def test_the_environment_of_git_is_the_runners_own(night, tmp_path):
    """Variables that a user or a hook has set for git count for nothing."""
    marker = tmp_path / "executed"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\necho $0 >>{marker}\nexit 1\n")
    script.chmod(0o755)
    change = docs(night)
    night.work.environ |= {
        "GIT_DIR": str(night.work.top / ".git"),
        "GIT_INDEX_FILE": "/dev/null",
        "GIT_SSH_COMMAND": str(script),
        "GIT_EXTERNAL_DIFF": str(script),
        "GIT_ASKPASS": str(script),
        "SSH_ASKPASS": str(script),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(tmp_path),
        "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=/bin/false'",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_NAMESPACE": "elsewhere",
    }
    commit, _ = night.delivered(change)
    assert night.forge.refs()[BRANCH] == commit
    assert not marker.exists()


# --- what cannot be asked for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id",
        "--upload-pack=id",
        "https://user:hunter22@forge.example/x.git",
        "https://token@forge.example/x.git",
        "git://forge.example/x.git",
        "https:///x.git",
        "https://forge.example:port/x.git",
        "relative/path",
        "ssh://git@forge.example/x\n.git",
    ],
)
def test_an_address_that_is_refused(url):
    with pytest.raises(ConfigurationError) as caught:
        Remote(url)
    assert "hunter22" not in caught.value.message
    assert not re.search(r"token@", caught.value.message)


def test_an_old_git_is_refused(night, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\necho git version 2.30.2\n")
    (folder / "git").chmod(0o755)
    change = docs(night)
    night.work.environ["PATH"] = f"{folder}:/usr/bin:/bin"
    with pytest.raises(ConfigurationError, match=r"git 2\.30\.2 is too old"):
        night.delivered(change)


@pytest.mark.parametrize("token", ["", "two\nlines", "x" * 20_000])
def test_a_token_that_is_none_is_refused(night, served, token):
    with pytest.raises(CredentialError, match="is no token"):
        night.delivered(docs(night), over_http(served, token))


def test_git_is_killed_with_its_children_when_the_delivery_is_cancelled(night):
    change = docs(night)
    told = night.root / "pid"
    night.forge.hook("pre-receive", f"echo $$ >{told}; exec sleep 600")

    async def cancelled():
        task = asyncio.ensure_future(night.deliver(change))
        while not (told.exists() and told.read_text().strip()):  # noqa: ASYNC110 - the hook is another process
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())
    pid = int(told.read_text())
    for _ in range(400):
        if subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False).stdout[:1] in (
            b"",
            b"Z",
        ):
            break
    else:
        pytest.fail("the hook is still there")
