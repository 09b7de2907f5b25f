"""Whatever the account on the host is like: it works, or says clearly why not."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.launches import collect, launch, processes_of, wait_until
from support.runs import tree
from support.sshd import Sshd

from codex_runner.codex import key_preflight
from codex_runner.domain.errors import HostError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.host import Ended
from codex_runner.domain.secret import Secret

pytestmark = pytest.mark.needs_sshd


async def a_job(transport):
    job = launch("echo", 3, prompt=b"to and fro\n")
    await transport.start(job)
    stdout, stderr, last = await collect(transport, job.run_id)
    done = await transport.execute("echo out; echo err >&2; exit 4")
    await transport.discard(job.run_id)
    return stdout, stderr, last, done


def check(result):
    stdout, stderr, last, done = result
    assert (stdout, stderr) == (b"to and fro\n", b"to stderr\n")
    assert isinstance(last, Ended)
    assert last.exit.code == 3
    assert (done.exit_code, done.output) == (4, b"out\nerr\n")


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh"])
def test_any_login_shell_will_do(shell, server, on):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    sshd = server(options=[f'ForceCommand exec {shell} -c "$SSH_ORIGINAL_COMMAND"'])
    check(on(sshd, a_job))


@pytest.mark.parametrize(
    "noise",
    [
        "echo Welcome; echo Mind the gap >&2",
        "printf 'no newline'; printf 'none here' >&2",
        r"printf '\033[31mred\033[0m\000\377\n'",
        "head -c 100000 /dev/zero; echo; head -c 100000 /dev/zero >&2; echo >&2",
    ],
)
def test_what_start_up_files_print_is_passed_over(noise, server, on):
    check(on(server(options=[f'ForceCommand {noise}; eval "$SSH_ORIGINAL_COMMAND"']), a_job))


def test_a_shell_that_runs_nothing_is_told(server, on):
    sshd = server(options=["ForceCommand echo This account is not available.; exit 1"])
    with pytest.raises(HostError, match="exit code 1") as caught:
        on(sshd, a_job)
    assert "login shell" in caught.value.remedy


def test_a_remote_command_and_forwardings_of_the_user_do_not_matter(server, on, tmp_path):
    sshd = server()
    extra = (
        "  RemoteCommand tmux attach",
        "  RequestTTY force",
        "  LocalForward 1 127.0.0.1:1",
        "  ControlMaster auto",
    )
    check(on(sshd, a_job, config=sshd.client_config(tmp_path / "config", sshd.port, *extra)))


def test_a_client_that_goes_into_the_background_leaves_nothing(server, on, tmp_path):
    sshd = server()
    config = sshd.client_config(tmp_path / "config", sshd.port, "  ForkAfterAuthentication yes")
    try:
        check(on(sshd, a_job, config=config))
        wait_until(lambda: processes_of(str(config)) == [], 60)
    finally:
        for pid in processes_of(str(config)):
            os.kill(pid, signal.SIGKILL)


def test_a_server_that_shares_no_connection(server, on):
    check(on(server(options=["MaxSessions 1"]), a_job))


def test_through_a_jump_host(server, on, tmp_path):
    inner, jump = server("inner"), server("jump", alias="jump")
    config = inner.client_config(tmp_path / "config", inner.port, "  ProxyJump jump")
    config.write_text(config.read_text() + jump.client_config(tmp_path / "other", jump.port).read_text())
    check(on(inner, a_job, config=config))


def test_an_unknown_host_key_is_refused_with_its_fingerprint(server, on, tmp_path):
    sshd = server()
    (sshd.folder / "known_hosts").write_text("")
    config = sshd.client_config(tmp_path / "config", sshd.port)
    config.write_text(config.read_text().replace("StrictHostKeyChecking yes", "StrictHostKeyChecking ask"))
    with pytest.raises(HostError, match="SHA256:") as caught:
        on(sshd, a_job, config=config)
    assert caught.value.exit_code is ExitCode.HOST
    assert "accept-new" in caught.value.remedy


def test_a_changed_host_key_is_refused(server, on, tmp_path):
    sshd = server()
    other = (sshd.folder / "user_key.pub").read_text()
    (sshd.folder / "known_hosts").write_text(f"{sshd.alias} {other}")
    with pytest.raises(HostError, match="SHA256:") as caught:
        on(sshd, a_job)
    assert "ssh-keygen -R" in caught.value.remedy


def test_a_key_that_is_not_taken_and_a_name_that_is_none(server, on, tmp_path):
    sshd = server()
    (sshd.folder / "authorized_keys").write_text("")
    with pytest.raises(HostError, match="Permission denied"):
        on(sshd, a_job)
    config = tmp_path / "config"
    config.write_text(f"Host {sshd.alias}\n  HostName no-such-host.invalid\n")
    with pytest.raises(HostError, match="no-such-host"):
        on(sshd, a_job, config=config, reconnect=1)


def test_nobody_listens(on, tmp_path):
    sshd = Sshd(tmp_path / "sshd")  # never started
    with pytest.raises(HostError, match="refused"):
        on(sshd, a_job, reconnect=1)


def test_nothing_is_left_on_this_machine(server, on):
    folders = []

    async def look(transport):
        result = await a_job(transport)
        folders.append(transport.carrier._folder)
        return result

    check(on(server(), look))
    assert not Path(folders[0]).exists()


_CONNECTION_BREAKS = """
    path = f"-oControlPath={transport.carrier._folder}/s"
    subprocess.run(["ssh", "-F", sys.argv[1], path, "-O", "exit", "devbox"], check=True)
    transport.carrier._master.wait()
"""


@pytest.mark.parametrize("before", ["", _CONNECTION_BREAKS], ids=["connected", "disconnected"])
def test_nothing_is_left_of_a_runner_that_was_killed(before, server, tmp_path):
    """Nor where its connection had gone before it."""
    sshd = server()
    code = (
        "import asyncio, os, signal, subprocess, sys\n"
        "from codex_runner.transports.carriers.ssh.connection import SshCarrier\n"
        "from codex_runner.transports.remote.transport import RemoteTransport\n"
        "async def work():\n"
        "    transport = RemoteTransport(SshCarrier('devbox', dict(os.environ), ('-F', sys.argv[1])))\n"
        "    await transport.execute('true')\n"
        "    print(transport.carrier._folder, flush=True)\n"
        f"{before}\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(work())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sshd.config)], capture_output=True, text=True, check=False, timeout=30
    )
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("cr-")
    wait_until(lambda: not folder.exists(), 60)
    wait_until(lambda: processes_of(str(sshd.config)) == [], 60)


SECRET = "s3cret-in-flight\nits \\n second line"
# Each notes how it was called, then does what it is for.
SPY = '#!/bin/dash\nprintf "%s\\n" "$0 $*" >>"{log}"\nexec {program} "$@"\n'
SPIED = ("printf", "echo", "print", "tr", "awk", "sed", "cat", "env", "head", "setsid", "perl", "python3", "curl")


@pytest.mark.parametrize("shell", ["mksh", "bash", "dash", "zsh"])
def test_a_secret_is_no_argument_of_any_program_and_in_no_file(shell, server, on, tmp_path):
    """Not every shell has a printf of its own; and the account's environment may want a trace of every command."""
    if not (shutil.which(shell) and shutil.which("dash")):
        pytest.skip(f"{shell} or dash is not installed")
    folder, log = tmp_path / "bin", tmp_path / "called"
    folder.mkdir()
    (folder / "sh").symlink_to(shutil.which(shell))
    for name in filter(shutil.which, SPIED):
        (folder / name).write_text(SPY.format(log=log, program=shutil.which(name)))
        (folder / name).chmod(0o755)
    sshd = server(environment={"PATH": f"{folder}:/usr/bin:/bin", "SHELLOPTS": "xtrace"})
    told, key = {"TOKEN": Secret("TOKEN", SECRET)}, Secret("KEY", "key-in-flight")

    async def work(transport):
        job = launch("environment", environment=told)
        await transport.start(job)
        stdout, _, last = await collect(transport, job.run_id)
        done = await transport.ask("python3 -c 'import os; print(len(os.environ[\"TOKEN\"]))'", environment=told)
        await key_preflight._ask_on_host("http://127.0.0.1:9/", key, "there", transport)
        held = [path for path, data in tree(tmp_path).items() if b"in-flight" in data and path.name != "stdout"]
        await transport.discard(job.run_id)
        return stdout, last, done, held

    stdout, last, done, held = on(sshd, work)
    assert isinstance(last, Ended)
    assert f"TOKEN={SECRET!r}\n".encode() in stdout
    assert (done.exit_code, int(done.output)) == (0, len(SECRET)), done
    assert held == []
    called = log.read_text()
    assert "awk" in called, "the spies are called"
    assert "in-flight" not in called
