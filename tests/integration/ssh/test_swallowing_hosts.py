"""Hosts that take what they are sent and run nothing of it, or mix what comes back: told at once, by their cause."""

import os
import shutil
from pathlib import Path

import pytest
from support.launches import collect, launch

from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.host import Ended
from codex_runner.domain.secret import Secret
from codex_runner.transports.remote import greeting
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = pytest.mark.needs_sshd


async def a_job(transport):
    job = launch("echo", 3, prompt=b"to and fro\n")
    await transport.start(job)
    stdout, stderr, last = await collect(transport, job.run_id)
    done = await transport.ask("echo out; echo err >&2; exit 4")
    await transport.discard(job.run_id)
    return stdout, stderr, last, done


def check(result):
    stdout, stderr, last, done = result
    assert (stdout, stderr) == (b"to and fro\n", b"to stderr\n")
    assert isinstance(last, Ended)
    assert (done.exit_code, done.output, done.complaint) == (4, b"out\n", b"err\n")


def test_a_host_that_sends_back_what_it_is_sent(server, on):
    """It was taken for an answer, and ended with exit code 70."""
    with pytest.raises(HostError, match="echoes its input") as caught:
        on(server(options=["ForceCommand cat"]), a_job, reconnect=600)
    assert "ForceCommand" in caught.value.remedy


@pytest.mark.parametrize("swallow", ["cat >/dev/null", "while read -r line; do echo menu: $line is no choice; done"])
def test_a_host_that_swallows_is_given_up_after_one_patience(swallow, server, on, monkeypatch):
    """It was asked again and again, a minute each time."""
    monkeypatch.setattr(greeting, "PATIENCE", 1.0)
    with pytest.raises(HostError, match=r"has printed nothing|echoes its input") as caught:
        on(server(options=[f"ForceCommand {swallow}"]), a_job, reconnect=600)
    assert "login shell" in caught.value.remedy


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_shell_that_takes_the_request_for_commands_gets_no_secret(shell, server, on, tmp_path, monkeypatch):
    """`exec bash` in a start-up file: the lines of a request were run, with the secrets as words of a command."""
    monkeypatch.setattr(greeting, "PATIENCE", 1.0)
    seen = tmp_path / "seen"
    sshd = server(options=[f"ForceCommand tee {seen} | {shell}"])

    async def work(transport):
        await transport.ask("true", environment={"TOKEN": Secret("TOKEN", "at-never-seen")})

    with pytest.raises(HostError) as caught:
        on(sshd, work)
    assert len(caught.value.message) < 1000
    assert b"at-never-seen" not in seen.read_bytes()


def test_a_host_that_joins_its_streams(server, on):
    """Frames of the follower came out as codex's own output."""
    with pytest.raises(HostError, match="joins stderr and stdout") as caught:
        on(server(options=['ForceCommand exec 2>&1; eval "$SSH_ORIGINAL_COMMAND"']), a_job)
    assert "start-up files" in caught.value.remedy


def test_a_host_that_throws_its_stderr_away(server, on, monkeypatch):
    """The end of the run stands there, so it was never seen."""
    monkeypatch.setattr(greeting, "_ERRORS_PATIENCE", 1.0)
    with pytest.raises(HostError, match="sends stderr elsewhere"):
        on(server(options=['ForceCommand exec 2>/dev/null; eval "$SSH_ORIGINAL_COMMAND"']), a_job)


@pytest.mark.parametrize("extra", ["StdinNull yes", "SessionType none", "ForkAfterAuthentication yes"])
def test_settings_of_the_user_that_would_keep_a_session_from_being_one(extra, server, on, tmp_path):
    sshd = server()
    check(on(sshd, a_job, config=sshd.client_config(tmp_path / "config", sshd.port, f"  {extra}")))


def test_an_old_ssh_that_knows_none_of_the_newer_settings(server, on, tmp_path, monkeypatch):
    """As OpenSSH before 8.7 says it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(
        "#!/bin/sh\nfor each; do case $each in -oForkAfter*|-oStdinNull*|-oSessionType*)\n"
        "echo 'command-line: line 0: Bad configuration option: '"
        '"$(printf %s "${each#-o}" | sed "s/=.*//" | tr A-Z a-z)" >&2; exit 255;; esac; done\n'
        f'exec {shutil.which("ssh")} "$@"\n'
    )
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    check(on(server(), a_job))


def test_no_ssh_at_all_is_told_at_once(on, tmp_path, monkeypatch):
    """It was looked for as a host is, for half a minute, and the host was blamed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    async def work(transport: RemoteTransport):
        transport.begin()
        await a_job(transport)

    class Nowhere:
        alias, config = "devbox", Path("/dev/null")

    with pytest.raises(ConfigurationError, match="ssh is not in PATH"):
        on(Nowhere, work, reconnect=600)
