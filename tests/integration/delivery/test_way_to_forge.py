"""The way to the forge: its token, its outages, and addresses that are refused."""

import asyncio
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.delivery import BRANCH, credential, docs, over_http
from support.git_http import TOKEN, GitHttp

from codex_runner.delivery.remote import Remote
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    DeliveryError,
    ForgeUnreachableError,
)


def test_a_wrong_token_is_refused_and_not_shown(night, served):
    wrong = "wrong-token-0123456789abcdef"
    with pytest.raises(CredentialError) as caught:
        night.delivered(docs(night), over_http(served, night, wrong))
    assert wrong not in caught.value.message
    assert "refuses the delivery's credential" in caught.value.message


def test_a_repository_that_is_not_there(night, served):
    with pytest.raises(DeliveryError, match="is not there, or the credential may not see it"):
        night.delivered(docs(night), Remote(f"{served.origin}{night.root}/nothing.git", credential()))


def test_a_token_that_may_only_read(night, served):
    night.forge.git("config", "http.receivepack", "false")
    with pytest.raises(DeliveryError, match="does not let this credential in"):
        night.delivered(docs(night), over_http(served, night))


def test_an_unreachable_forge_is_tried_again_and_given_up(night, served):
    change = docs(night)
    served.faults = [("info/refs", "503"), ("info/refs", "503")]
    night.delivered(change, over_http(served, night))
    assert night.forge.tree(BRANCH) == change.tree
    with pytest.raises(ForgeUnreachableError, match="cannot be reached"):
        night.delivered(change, Remote("http://127.0.0.1:9/forge.git", credential()), patience=0.1)


def test_an_answer_that_is_lost_after_the_push_costs_nothing(night, served):
    change = docs(night)
    served.faults = [("forge.git/git-receive-pack", "lost")]
    commit, pushed = night.delivered(change, over_http(served, night))
    assert pushed.already
    assert night.forge.refs()[BRANCH] == commit


def test_the_token_goes_to_no_other_server(night, served):
    with GitHttp() as other:
        served.redirect = other.origin
        with pytest.raises(DeliveryError, match="redirects to another address"):
            night.delivered(docs(night), over_http(served, night))
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
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        night.forge.hook("pre-receive", "sleep 0.5")
        night.delivered(change, over_http(served, night))
    finally:
        stop.set()
        watcher.join()
    assert seen == []
    assert any(header for _, header in served.asked)
    for path in night.root.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id",
        "--upload-pack=id",
        "https://user:hunter22@forge.example/x.git",
        "https://token@forge.example/x.git",
        "https://forge.example/x.git?private_token=hunter22",
        "https://forge.example/x.git#hunter22",
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


def test_an_old_git_is_refused(own, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\necho git version 2.30.2\n")
    (folder / "git").chmod(0o755)
    change = docs(own)
    own.work.environ["PATH"] = f"{folder}:/usr/bin:/bin"
    with pytest.raises(ConfigurationError, match=r"git 2\.30\.2 is too old"):
        own.delivered(change)


@pytest.mark.parametrize("token", ["", "two\nlines", "x" * 20_000])
def test_a_token_that_is_none_is_refused(night, served, token):
    with pytest.raises(CredentialError, match="is no token"):
        night.delivered(docs(night), over_http(served, night, token))


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
