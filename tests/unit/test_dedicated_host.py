"""What `doctor --host` warns of: the script in each shell, and the command as people call it."""

import os
import shutil
import socket
import subprocess

import pytest
from support import commands

from codex_runner.shell.script import shell_script

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"], "mksh": ["mksh"],
          "zsh": ["zsh", "--emulate", "sh"]}  # fmt: skip


@pytest.fixture
def account(tmp_path_factory):
    """A home with everything that a dedicated host should not have. Its path is short, for sockets."""
    home = tmp_path_factory.mktemp("h")
    for folder in (".aws", ".kube", ".ssh", "clone/.git", "work/deep/.git", "tools", "odd\nname/.git", "plain"):
        (home / folder).mkdir(parents=True)
    for file in (".ssh/id_ed25519", ".ssh/id_ed25519.pub", ".netrc"):
        (home / file).touch()
    listening = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    os.chdir(home)  # a socket's path has at most 107 bytes
    listening.bind("agent")
    os.fchdir(here)
    os.close(here)
    yield home
    listening.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_finds_the_same(account, shell):
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{shell} is not installed")
    environ = {
        "HOME": str(account),
        "PATH": f"{os.environ['PATH']}::{account}/tools",
        "SSH_AUTH_SOCK": f"{account}/agent",
    }
    done = subprocess.run(
        [*SHELLS[shell], "-c", shell_script("codex_runner.app", "doctor_dedicated.sh")],
        env=environ, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    assert last == "done ."
    found = {tuple(line.replace(str(account), "~").split(" ", 1)) for line in lines}
    assert {
        ("credentials", "~/.aws"),
        ("credentials", "~/.kube"),
        ("credentials", "~/.netrc"),
        ("credentials", "~/.ssh/id_ed25519"),
        ("socket", "~/agent"),
        ("repository", "~/clone"),
        ("repository", "~/work/deep"),
        ("repository", "~/odd?name"),
        ("path", "."),
    } <= found
    assert ("credentials", "~/.ssh/id_ed25519.pub") not in found
    # Root may write each folder: then only the account is told.
    assert (("account", "root") if os.geteuid() == 0 else ("path", "~/tools")) in found


def test_the_command_warns_and_names_no_job(account, tmp_path):
    state = tmp_path / "state"
    (tmp_path / "codex-runner.toml").write_text(
        f'version = 1\n[jobs.docs]\nprompt = "p"\ncwd = "{account}/clone"\n', encoding="utf-8"
    )
    environ = {"HOME": str(account), "XDG_STATE_HOME": str(state), "SSH_AUTH_SOCK": f"{account}/agent"}
    said = commands.run("doctor", "--host", "local", "--json", cwd=tmp_path, environ=environ)
    assert said.code == 0, said.text
    found = {}
    for each in said.json["checks"]:
        assert each["subject"] == "codex-runner"
        found.setdefault(each["check"], []).append(each)
    assert {each["state"] for each in found["host-credentials"]} == {"warning"}
    assert any(f"{account}/.aws" in each["message"] for each in found["host-credentials"])
    assert all(each["remedy"] for each in found["host-sockets"])
    told = [each["message"] for each in found["host-repositories"]]
    assert not any("/clone " in message for message in told), "the job works there"
    assert any("/work/deep " in message for message in told)
    table = commands.run("doctor", "--host", "local", cwd=tmp_path, environ=environ)
    assert "host-credentials" in table.stdout
    refused = commands.run("doctor", "docs", "--host", "local", cwd=tmp_path, environ=environ)
    assert refused.code == 2
    assert commands.run("doctor", "--host", "-oProxyCommand=x", cwd=tmp_path, environ=environ).code == 2
