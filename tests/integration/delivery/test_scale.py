"""Many files, and large ones: they arrive as recorded, within a minute and the forge's limits, whichever way."""

import asyncio
import os

import pytest
from support.forge import PAT
from support.shore import BRANCH, Shore

from codex_runner.delivery import github_commits
from codex_runner.demo.forge_github import refuse
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import BranchMovedError, DeliveryError

WAYS = {
    "signed": (ForgeKind.GITHUB, None),
    "pushed": (ForgeKind.GITHUB, PAT),
    "gitlab": (ForgeKind.GITLAB, None),
    "plain": (ForgeKind.GIT, None),
}
RUN = {"run.sh": b"#!/bin/sh\n"}
MODES = {"run.sh": "100755"}
MANY = {
    "text": lambda: ({f"docs/{number}.md": b"%d\n" % number for number in range(300)}, {}),
    "text and a mode": lambda: ({f"docs/{number}.md": b"%d\n" % number for number in range(300)} | RUN, MODES),
    "binary": lambda: ({f"{number}.png": b"\x89PNG\0" + os.urandom(1000) for number in range(300)}, {}),
    "binary and a mode": lambda: ({f"{number}.png": b"\x89PNG\0%d" % number for number in range(300)} | RUN, MODES),
    "names that are no utf-8": lambda: ({f"caf\udce9-{number}": b"%d\n" % number for number in range(300)}, {}),
}
LARGE = {
    "5 MB": lambda: ({f"{number}.txt": os.urandom(1 << 18).hex().encode() for number in range(10)}, {}),
    "50 MB": lambda: ({f"{number}.txt": os.urandom(1 << 19).hex().encode() for number in range(50)}, {}),
    "50 MB in one file": lambda: ({"one.txt": os.urandom(25 << 20).hex().encode()}, {}),
    "50 MB of a binary and a mode": lambda: ({"one.bin": os.urandom(50 << 20)} | RUN, MODES),
}


def deliver(forge, folder, way, files, modes):
    """Deliver, and return the seconds that the limits took. The forge has only what the delivery sends."""
    shore = Shore(forge, folder, *WAYS[way])
    change = shore.change(files, modes)
    forge.repository.git("prune", "--expire=now")
    forge.project.settings.now = shore.time.now
    begin = shore.time.moment
    done = shore.deliver(change)
    took = shore.time.moment - begin
    assert done.state == "delivered"
    assert done.tree == change.tree == forge.repository.commit(done.commit).tree
    assert forge.repository.tip(BRANCH) == done.commit
    forge.repository.git("fsck", "--connectivity-only", "--no-dangling", BRANCH)
    assert done.signed is {"signed": True, "plain": None}.get(way, False)
    shore.check_one()
    refs = forge.repository.git("for-each-ref", "--format=%(refname)", "refs/codex-runner").splitlines()
    assert len(refs) == 1  # the record, and no objects
    return took


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MANY)
def test_three_hundred_files_take_less_than_a_minute(forge, tmp_path, name, way):
    assert deliver(forge, tmp_path, way, *MANY[name]()) < 60


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "5 MB" else pytest.mark.thorough) for name in LARGE]
)
def test_large_changes(forge, tmp_path, name, way):
    assert deliver(forge, tmp_path, way, *LARGE[name]()) < 60


def test_a_forge_that_refuses_refs_of_ones_own_gets_blobs_at_its_pace(forge, tmp_path):
    hook = forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncase $1 in refs/codex-runner/*) exit 1;; esac\n")
    hook.chmod(0o755)
    shore = Shore(forge, tmp_path)
    forge.project.settings.now = shore.time.now
    done = shore.deliver(shore.change({f"{number}.png": b"\0%d" % number for number in range(90)} | RUN, MODES))
    assert (done.state, done.signed) == ("delivered", True)
    assert shore.time.moment - 1000 < 180


def test_what_a_killed_upload_has_left_is_used_again_and_removed(forge, tmp_path):
    shore = Shore(forge, tmp_path)
    ref = "refs/codex-runner/acme%2Fapp%2Fdocs/main+objects"
    forge.repository.git("update-ref", ref, forge.repository.tip("main"))
    files, modes = MANY["binary and a mode"]()
    assert shore.deliver(shore.change(files, modes)).signed is True
    assert ref not in forge.repository.git("for-each-ref")
    # A night with a small change uploads nothing, and removes it all the same.
    forge.repository.git("update-ref", ref, forge.repository.tip("main"))
    assert shore.deliver(shore.change({"a.md": b"a\n"})).way == "mutation"
    assert ref not in forge.repository.git("for-each-ref")


def test_objects_that_a_forge_does_not_let_go_undo_no_delivery(forge, tmp_path):
    """The delivery failed each night, and said that the forge refuses the record."""
    hook = forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase $3 in *[!0]*) ;; *) echo "no deletions" >&2; exit 1 ;; esac\n')
    hook.chmod(0o755)
    shore = Shore(forge, tmp_path)
    files, modes = MANY["binary and a mode"]()
    done = shore.deliver(shore.change(files, modes))
    assert (done.state, done.signed) == ("delivered", True)
    assert "main+objects may be left" in " ".join(done.warnings)
    assert "no deletions" in " ".join(done.warnings)


def test_a_file_that_github_does_not_take_is_told_with_a_way_out(forge, tmp_path, monkeypatch):
    monkeypatch.setattr(github_commits, "_BLOB_BYTES", 1000)
    monkeypatch.setattr(github_commits, "_TREES_BYTES", 1000)
    hook = forge.repository.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    said = "error: File big.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB"
    hook.write_text(f'#!/bin/sh\ngrep -q . && {{ echo "{said}" >&2; exit 1; }}\n')
    hook.chmod(0o755)
    shore = Shore(forge, tmp_path)
    with pytest.raises(DeliveryError, match=r"a file of the change is too large: .*big\.bin is 120") as caught:
        shore.deliver(shore.change({"big.bin": b"\0" * 2000} | RUN, MODES))
    assert "Git LFS" in caught.value.remedy
    assert (shore.branches, shore.pulls) == ([], [])
    assert forge.repository.git("for-each-ref", "refs/codex-runner") == ""


def test_two_uploads_at_once_end_with_one_branch_and_no_objects(forge, tmp_path, monkeypatch):
    monkeypatch.setattr(github_commits, "_TREES_BYTES", 0)
    shore = Shore(forge, tmp_path)
    changes = [shore.change({"a.md": b"%d\n" % number} | RUN, MODES) for number in range(3)]

    async def both():
        tries = (shore.land(change, f"run-{number}") for number, change in enumerate(changes[:2]))
        return await asyncio.gather(*tries, return_exceptions=True)

    for result in asyncio.run(both()):
        assert not isinstance(result, BaseException) or isinstance(result, BranchMovedError)
    assert shore.deliver(changes[2], "run-3").signed is True
    shore.check_one()
    assert shore.shown("a.md") == "2"
    assert "+objects" not in forge.repository.git("for-each-ref")


@pytest.mark.parametrize("status", [404, 422])
def test_objects_that_the_api_does_not_see_are_sent_as_blobs(forge, tmp_path, status):
    make, refused = forge._github._make_commit, []

    def blind(request, token):
        if not refused:
            refused.append(request)
            raise refuse(status, "Tree SHA does not exist")
        return make(request, token)

    forge._github._make_commit = blind
    shore = Shore(forge, tmp_path)
    files = {f"{number}.png": b"\0%d" % number for number in range(30)} | RUN
    assert shore.deliver(shore.change(files, MODES)).signed is True
    assert refused
