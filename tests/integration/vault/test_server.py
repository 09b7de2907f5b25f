"""The embedded server: it keeps its secrets to itself and leaves nothing, even when its owner is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codex_runner.demo.vault import VaultServer
from codex_runner.domain.errors import SecretStoreError

pytestmark = pytest.mark.needs_vault


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return not Path("/proc/self/stat").exists()
        return False


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_answers_its_root_and_is_gone_afterwards():
    with VaultServer() as server:
        assert server.request("GET", "sys/health")["sealed"] is False
        assert is_running(server.pid)
        with pytest.raises(SecretStoreError, match="404"):
            server.request("GET", "nowhere/at/all")
        folder = server.folder
    assert not folder.exists()
    assert not is_running(server.pid)


def test_no_file_and_no_argument_holds_its_root_token(tmp_path):
    with VaultServer(tmp_path) as server:
        wait_until(lambda: "Root Token: " in server.log_file.read_text())
        token = server.root_token.reveal().encode()
        if Path("/proc/self/cmdline").exists():
            assert token not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"audit.jsonl", "server.log"} <= {path.name for path in kept}
    assert [path for path in kept if token in path.read_bytes()] == []
    assert "Root Token: ****" in server.log_file.read_text()


def test_a_paused_server_can_be_closed():
    with VaultServer() as server:
        server.pause()
    assert not is_running(server.pid)


def test_a_server_that_has_ended_by_itself_leaves_nothing_that_would_kill_its_pid():
    with VaultServer() as server:
        group = os.getpgid(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: group_is_empty(group))


def group_is_empty(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()
    return stat[0] == "Z" and not any(
        path.read_text().rpartition(")")[2].split()[2] == str(group)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.parent.name != str(group) and path.exists()
    )


def test_it_ends_when_its_owner_is_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from codex_runner.demo.vault import VaultServer\n"
        "with VaultServer(Path(sys.argv[1])) as s: print(s.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    with owner:
        pid = int(owner.stdout.readline())
        assert is_running(pid)
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
