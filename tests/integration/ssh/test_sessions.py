"""Sessions of the shared connection: each serves one request after the other, and none stays open for nobody."""

import asyncio
import dataclasses
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.launches import collect, launch, wait_until
from support.proxy import Proxy
from support.runs import processes_with

from codex_runner.config.values import SHELLS_OWN
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Ended
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport
from codex_runner.transports.request import bootstrap, execute_request, new_nonce, start_request, whole_script

pytestmark = pytest.mark.needs_sshd

SHELLS = ("dash", "bash", "busybox sh")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """How many sessions have been opened so far."""
    log, folder = tmp_path / "sessions", tmp_path / "counted"
    folder.mkdir()
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {shutil.which("ssh")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: log.read_text().count("ControlMaster=no")


async def echo(transport, text):
    return (await transport.execute(f"echo {text}")).output.decode().strip()


def test_a_job_and_what_is_asked_around_it_take_one_session(server, on, opened, tmp_path):
    async def work(transport):
        assert await echo(transport, "before") == "before"
        for attempt in (1, 2):
            job = launch("echo", 3, prompt=b"to and fro\n", run_id="one-session", attempt=attempt)
            await transport.start(job)
            stdout, stderr, last = await collect(transport, job.run_id, attempt)
            assert (stdout, stderr) == (b"to and fro\n", b"to stderr\n")
            assert isinstance(last, Ended)
        (tmp_path / "artifact").write_bytes(b"a" * 100_000)
        (tmp_path / "here").mkdir()
        assert "artifact" in (await transport.list_files(str(tmp_path), ["."])).files
        fetch = await transport.fetch_files(str(tmp_path), ["artifact"], tmp_path / "here", limit=10**6, total=10**6)
        assert fetch.files == ("artifact",)
        await transport.upload(tmp_path / "artifact", job.run_id)
        assert await echo(transport, "after") == "after"
        await transport.discard(job.run_id)

    on(server(), work)
    assert opened() == 1


def test_what_is_asked_at_once_has_a_session_each_and_these_serve_what_follows(server, on, opened):
    async def work(transport):
        for _ in range(3):
            words = ("one", "two", "three")
            assert await asyncio.gather(*(echo(transport, word) for word in words)) == list(words)

    on(server(), work)
    assert opened() == 3


def test_behind_a_refusal_or_an_answer_that_nobody_read_comes_a_new_session(server, on, opened, tmp_path):
    async def work(transport):
        with pytest.raises(ConfigurationError, match="is not a directory"):
            await transport.execute("true", cwd=str(tmp_path / "missing"))
        assert await echo(transport, "refused") == "refused"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await transport.execute("sleep 60")
        assert await echo(transport, "cancelled") == "cancelled"

    on(server(), work)
    assert opened() == 3


def test_a_session_that_died_while_nobody_used_it_is_no_outage(server, opened):
    sshd, told = server(), []

    def idle():
        return processes_with(str(sshd.config)).keys() & processes_with("ControlMaster=no").keys()

    async def work():
        transport = RemoteTransport(
            SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config))), tell=lambda *words: told.append(words)
        )
        try:
            assert await echo(transport, "first") == "first"
            (pid,) = idle()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(), 60)
            assert await echo(transport, "second") == "second"
        finally:
            await transport.close()

    asyncio.run(work())
    assert opened() == 2
    assert told == []


def test_a_close_that_is_cancelled_leaves_no_process_and_no_file_here(server, tmp_path):
    sshd = server()

    def folder_of(socket):
        return Path(socket).parent

    def commands(config):
        return [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes_with(config)]

    async def work():
        with Proxy(sshd.port) as proxy:
            config = str(sshd.client_config(tmp_path / "proxied", proxy.port))
            transport = RemoteTransport(SshCarrier(sshd.alias, dict(os.environ), ("-F", config)))
            await asyncio.gather(*(echo(transport, "all at once") for _ in range(2)))
            (socket,) = set(re.findall(r"ControlPath=([^\0]+)", "".join(commands(config))))
            proxy.swallows = True  # the host's side is not heard to end
            closing = asyncio.ensure_future(transport.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
            return commands(config), folder_of(socket).exists()

    assert asyncio.run(work()) == ([], False)


def test_the_hosts_side_is_gone_before_the_transport_is(server, on, tmp_path):
    slow = server(options=['ForceCommand sh -c "$SSH_ORIGINAL_COMMAND"; sleep 0.3'])  # a busy host ends it so late
    seen = []

    async def work(transport):
        await asyncio.gather(*(echo(transport, word) for word in ("one", "two")))
        seen.append(processes_with(str(tmp_path / "state")))

    on(slow, work)
    assert seen != [{}]
    assert processes_with(str(tmp_path / "state")) == {}


@pytest.fixture(params=SHELLS)
def front(request, tmp_path):
    """Start a host's side without a connection, in a shell; `quiet` is for how long it waits for a request."""
    started = []

    def start(quiet=20, environ=None):
        command, text = bootstrap()
        assert text.count(b"QUIET=20 ") == 1
        changed = text.replace(b"QUIET=20 ", b"QUIET=%d " % quiet)
        command = command.replace(str(len(text)), str(len(changed))).removeprefix("exec ")
        process = subprocess.Popen(
            ["sh", "-c", command.replace("sh -c", f"exec {request.param} -c", 1)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**(environ or {}), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        process.stdin.write(changed)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def ask(process, script, *arguments):
    nonce = new_nonce()
    process.stdin.write(execute_request(script, "", 20, arguments, {}, nonce, "ask"))
    process.stdin.flush()
    word, status, size, complaint = answer(process, nonce).split()
    assert (word, complaint) == ("done", "0")
    return int(status), process.stdout.read(int(size))


def answer(process, nonce):
    """Return the next line that answers this request: the host prints challenges between them."""
    line = process.stdout.readline().decode()
    while line and not line.startswith(f"{nonce} "):
        line = process.stdout.readline().decode()
    return line.partition(" ")[2].rstrip("\n")


def test_no_byte_of_a_request_is_taken_by_the_one_before(front):
    """Whatever listens while a request is served must have gone when the next one comes."""
    process = front()
    for number in range(40):
        assert ask(process, 'printf "%s\\n" "$1"; exit 7', f"number {number}") == (7, b"number %d\n" % number)
    process.stdin.close()
    assert process.wait(120) == 0


def test_the_secrets_of_a_request_are_gone_with_it(front):
    """Nothing of them is in the memory of what waits for the next one."""
    process = front()
    nonce = new_nonce()
    process.stdin.write(execute_request("true", "/", 20, (), {"SECRET": "swordfish"}, nonce, "ask"))
    process.stdin.flush()
    assert answer(process, nonce) == "done 0 0 0"
    seen = memory(process.pid)
    assert b"codex-runner/1" in seen
    assert b"swordfish" not in seen


def memory(pid):
    """All that a process of ours can write to, as it is now."""
    areas = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                begin, end = (int(word, 16) for word in span.split("-"))
                file.seek(begin)
                areas.append(file.read(end - begin))
    return b"".join(areas)


def test_a_session_that_nobody_uses_ends_by_itself(front):
    """Behind a black hole no end of its input would ever come."""
    process = front(quiet=1)
    assert ask(process, "echo hi") == (0, b"hi\n")
    assert process.wait(120) != 0


def test_a_session_that_is_used_does_not_end(front):
    process = front(quiet=1)
    assert ask(process, "sleep 2.5; echo hi") == (0, b"hi\n")
    assert ask(process, "sleep 2.5; echo ho") == (0, b"ho\n")


def test_names_of_ours_in_the_hosts_environment_change_nothing_and_go_no_further(front, tmp_path):
    """Nor do lines that look like them, within a value of several lines."""
    text = whole_script()
    ours = {*re.findall(r"\b([A-Za-z_]\w*)=", text), *re.findall(r"^(\w+)\(\)", text, re.MULTILINE)}
    assert {"QUIET", "NL", "born", "follow", "script"} <= ours
    foreign = dict.fromkeys(ours - SHELLS_OWN - {"HOME", "PATH", "XDG_STATE_HOME"}, "foreign")
    process = front(quiet=5, environ={**foreign, "SEVERAL": "\n".join(f"{name}=foreign" for name in ours)})
    job = dataclasses.replace(launch(cwd=tmp_path, environment={"OURS": "one"}), command=("/usr/bin/env",))
    process.stdin.flush()
    nonce, challenge = new_nonce(), process.stdout.readline().decode().split()[-1]
    process.stdin.write(start_request(job, nonce, "start", challenge))
    process.stdin.flush()
    assert answer(process, nonce) == "new"
    assert answer(process, nonce) == "begin"
    frame = next(line.decode() for line in process.stderr if b" exit " in line)
    size = int(re.search(r"bytes (\d+)", frame)[1])
    seen = process.stdout.read(size)
    assert b"OURS=one\n" in seen
    assert b"foreign" not in seen
    process.stdin.write(b"bye\n")
    assert ask(process, "echo hi") == (0, b"hi\n")
    assert process.wait(60) != 0
