"""`codex-runner hosts`: aliases as OpenSSH has them, and what is found out about each."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from support import commands

from codex_runner.domain.errors import ConfigurationError
from codex_runner.transports.carriers.ssh.aliases import aliases
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.probe import probe
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = pytest.mark.needs_sshd


def test_aliases_are_the_concrete_names(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "one.conf").write_text('host = "quoted" plain # a comment\n  User x\n')
    (tmp_path / "more" / "two.conf").write_text("Host=equals\nHost *.example.com !not web-? \n")
    config = tmp_path / "config"
    config.write_text(
        f"# Host commented\nInclude {tmp_path}/more/*.conf {tmp_path}/none\nMatch host x\n  User y\n"
        "HOST devbox build\n  HostName 10.0.0.1\nHost devbox\nHost *\n  User z\n"
    )
    assert aliases(config) == ["quoted", "plain", "equals", "devbox", "build"]


def test_a_loop_of_includes_ends_and_a_missing_file_is_told(tmp_path):
    config = tmp_path / "config"
    config.write_text(f"Host a\nInclude {config}\n")
    assert aliases(config) == ["a"]
    with pytest.raises(ConfigurationError, match="no such file"):
        aliases(tmp_path / "none")


def codex(folder, version="0.169.0"):
    folder.mkdir(parents=True)
    (folder / "codex").write_text(f"#!/bin/sh\necho codex-cli {version}\n")
    (folder / "codex").chmod(0o755)
    return folder / "codex"


def asked(sshd, **kwargs):
    carrier = SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config)))
    return asyncio.run(probe(RemoteTransport(carrier, reconnect=0.0), **kwargs))


def test_a_host_that_has_everything(server, tmp_path):
    path = codex(tmp_path / "bin")
    facts = asked(server(environment={"PATH": f"{path.parent}:{os.environ['PATH']}"}))
    assert (facts.reachable, facts.error, facts.advice) == (True, "", ())
    assert (facts.codex, facts.codex_version) == (str(path), "0.169.0")
    assert facts.system == " ".join(os.uname()[i] for i in (0, 4))
    assert facts.git
    assert facts.disk > 0
    assert facts.skew == 0
    assert 0 < facts.seconds < 30


def test_codex_that_only_a_login_shell_finds(server, tmp_path):
    path = codex(tmp_path / "nvm" / "bin")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".profile").write_text(f"echo welcome\nPATH={path.parent}:$PATH\n")
    facts = asked(server(environment={"PATH": "/usr/bin:/bin", "SHELL": "/bin/bash"}))
    assert (facts.codex, facts.codex_version, facts.codex_in_login_shell) == (str(path), "0.169.0", True)
    assert f'codex = "{path}"' in facts.advice[0]


def test_codex_where_the_configuration_says(server, tmp_path):
    path = codex(tmp_path / "elsewhere")
    sshd = server(environment={"PATH": "/usr/bin:/bin"})
    assert asked(sshd, codex=str(path)).codex == str(path)
    assert asked(sshd, codex="/no/such").codex is None


def test_the_command(server, tmp_path):
    sshd = server(environment={"PATH": "/usr/bin:/bin"})
    sshd.config.write_text(sshd.config.read_text() + "Host away\n  HostName 127.0.0.1\n  Port 1\nHost *\n  User root\n")
    (tmp_path / "codex-runner.toml").write_text(f'version = 1\nssh_config = "{sshd.config}"\n')
    code = "import typer; from codex_runner.cli.hosts import hosts; typer.run(hosts)"

    def ask(*args):
        return subprocess.run(
            [sys.executable, "-c", code, *args], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    listed = ask()
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        ["devbox", "127.0.0.1"],
        ["away", "127.0.0.1"],
    ]
    probed = ask("--probe", "--json")
    assert probed.returncode == 6
    found = {each["alias"]: each for each in json.loads(probed.stdout)["hosts"]}
    assert found["devbox"]["reachable"]
    assert not found["away"]["reachable"]
    assert "refused" in found["away"]["error"]
    assert ask("devbox", "--probe").returncode == 0


def hosts_of(folder, text, *arguments):
    """What the command says of an OpenSSH configuration."""
    (folder / "ssh_config").write_bytes(text.encode())
    (folder / "codex-runner.toml").write_text(f'version = 1\nssh_config = "{folder}/ssh_config"\n')
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return commands.run("hosts", *arguments, cwd=folder, environ={"HOME": str(home)})


def test_names_are_split_as_ssh_splits_them(tmp_path):
    """`a#b` was listed as `a`: a comment begins where a word would."""
    said = hosts_of(tmp_path, "Host a#b c #d e\nHost \"f\" 'g' h=i # j\n", "--json")
    assert [each["alias"] for each in said.json["hosts"]] == ["a#b", "c", "f", "g", "h=i"]


def test_a_configuration_without_aliases_is_told(tmp_path):
    said = hosts_of(tmp_path, "Host *\n  User ada\n")
    assert said.code == 0
    assert "names no alias" in said.stderr


def test_a_file_with_a_byte_order_mark_is_told(tmp_path):
    """Nothing was listed of it, and nothing said."""
    said = hosts_of(tmp_path, "\ufeffHost a\n  HostName 10.0.0.1\n")
    assert said.code == 3
    assert "byte order mark" in said.stderr


def test_a_configuration_that_ssh_refuses_ends_it_at_once(tmp_path):
    """With a dozen aliases, one of them was waited for without an end."""
    said = hosts_of(tmp_path, "".join(f"Host h{number}\n" for number in range(12)) + "  UseKeychain yes\n")
    assert said.code == 3
    assert said.stderr.count("ssh cannot read its configuration") == 1


def test_one_alias_that_ssh_refuses_ends_it_too(tmp_path):
    text = "".join(f"Host h{number}\n" for number in range(12)) + "Match originalhost h7\n  Port none\n"
    assert hosts_of(tmp_path, text).code == 3


def test_thousands_of_aliases_are_listed_and_the_first_looked_at(tmp_path):
    """Each is a process of ssh's, which reads the whole configuration: it took minutes."""
    text = "".join(f"Host h{number}\n  HostName 10.0.0.1\n" for number in range(1000))
    said = hosts_of(tmp_path, text, "--json")
    found = said.json["hosts"]
    assert len(found) == 1000
    assert found[0]["hostname"] == "10.0.0.1"
    assert found[-1] == {"alias": "h999", "hostname": "", "user": "", "port": "", "via": ""}
    assert "1000 aliases" in said.stderr
    named = hosts_of(tmp_path, text, "h999", "--json")
    assert named.json["hosts"][0]["hostname"] == "10.0.0.1"


def test_no_ssh_is_told(tmp_path):
    """It was a bug of the runner's, exit code 70."""
    (tmp_path / "bin").mkdir()
    said = commands.run("hosts", "a", cwd=tmp_path, environ={"HOME": "/", "PATH": str(tmp_path / "bin")})
    assert said.code == 3
    assert "ssh is not in PATH on this machine" in said.stderr
