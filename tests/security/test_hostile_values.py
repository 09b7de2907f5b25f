"""Whatever a value holds, it arrives as itself: at the command that a host executes, here and behind a real sshd.

What is refused in place of that, and what the command line does with the rest: tests/security/test_hostile_names.py.
"""

import asyncio
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from support.hostile import values
from support.launches import collect, launch
from support.sshd import Sshd

from codex_runner.config.values import SHELLS_OWN
from codex_runner.domain.errors import ConfigurationError
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.remote.transport import RemoteTransport
from codex_runner.transports.request import execute_request, new_nonce, script, whole_script

SHOW = """\
import json, os, sys
pairs = {os.fsdecode(name): os.fsdecode(value) for name, value in os.environb.items()}
told = {"argv": sys.argv[1:], "cwd": os.getcwd(), "environ": pairs, "stdin": os.fsdecode(sys.stdin.buffer.read())}
print(json.dumps(told))
"""


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """A folder for all of it, with a server whose account works below it. Nothing may ever make `canary` there."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "home").mkdir()
    with Sshd(folder / "sshd", environment={"HOME": folder / "home", "XDG_STATE_HOME": folder / "state"}) as server:
        yield folder, server


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.needs_sshd)])
def on(request, account):
    """Do something with a transport to this kind of host."""
    folder, server = account
    environ = {**os.environ, "HOME": str(folder / "home"), "XDG_STATE_HOME": str(folder / "state")}

    def do(work):
        async def closing():
            ssh = RemoteTransport(SshCarrier(server.alias, environ, ("-F", str(server.config))))
            transport = LocalTransport(environ) if request.param == "local" else ssh
            try:
                async with asyncio.timeout(60):
                    return await work(transport)
            finally:
                await transport.close()

        told = asyncio.run(closing())
        assert list(folder.rglob("canary*")) == [], "something was executed"
        return told

    return do


@pytest.fixture
def hostile(account):
    """Values, and variables: one for each value, and one for each name that the scripts themselves use."""
    folder, _ = account
    texts = values(str(folder / "canary"))
    text = whole_script()
    named = [*re.findall(r"\b([A-Za-z]\w*)=", text), *" ".join(re.findall(r"\bread -r ([\w ]+)", text)).split()]
    ours = set(named) - SHELLS_OWN - {"HOME", "PATH", "XDG_STATE_HOME"}
    assert {"body", "cwd", "home", "line", "run", "script"} <= ours
    variables = {name: f"touch {folder}/canary-{name}" for name in sorted(ours)}
    return texts, {**variables, **{f"V{number}": text for number, text in enumerate(texts)}}


@pytest.fixture
def folder_of_work(account):
    folder, _ = account
    place = folder / f"$(touch {folder.name}-canary) '\"`\n-rf \\n ~"
    place.mkdir(exist_ok=True)
    return str(place)


def test_a_start_hands_every_value_to_codex_as_it_is(on, hostile, folder_of_work):
    texts, variables = hostile
    prompt = "\0".join(texts).encode("utf-8", "surrogateescape")
    wanted = launch(cwd=folder_of_work, environment=variables, prompt=prompt)
    wanted = dataclasses.replace(wanted, command=(sys.executable, "-c", SHOW, *texts))

    async def work(transport):
        await transport.start(wanted)
        said = await collect(transport, wanted.run_id)
        await transport.discard(wanted.run_id)
        return said

    stdout, stderr, last = on(work)
    assert (stderr, last.exit.code) == (b"", 0)
    told = json.loads(stdout)
    assert told["argv"] == list(texts)
    assert told["cwd"] == folder_of_work
    assert told["stdin"].encode("utf-8", "surrogateescape") == prompt
    assert {name: told["environ"].get(name) for name in variables} == variables
    assert told["environ"]["CODEX_HOME"].endswith(f"/{wanted.run_id}/home")


def test_a_command_gets_every_value_as_it_is(on, hostile, folder_of_work):
    texts, variables = hostile
    words = (sys.executable, SHOW, *texts)
    said = on(
        lambda transport: transport.execute(
            'python=$1 show=$2; shift 2; exec "$python" -c "$show" "$@"',
            cwd=folder_of_work,
            arguments=words,
            environment={name: value for name, value in variables.items() if name not in {"python", "show"}},
            timeout=30,
        )
    )
    assert said.exit_code == 0, said.output
    told = json.loads(said.output)
    assert told["argv"] == list(texts)
    assert told["cwd"] == folder_of_work
    assert {name: told["environ"].get(name) for name in variables} == variables


@pytest.mark.parametrize("shell", ["dash", "bash", "bash --posix", "busybox sh"])
def test_whatever_shell_a_host_has_the_variables_are_the_same(account, hostile, shell):
    """The script by itself, as a host's `sh` reads it. stdin stays open, since its end would end the command."""
    folder, _ = account
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} here")
    _, variables = hostile
    more = {name: f"$(touch {folder}/canary-{name})" for name in ("ENV", "BASH_ENV", "PS4", "PROMPT_COMMAND", "REPLY")}
    nonce = new_nonce()
    with subprocess.Popen(
        [*shell.split(), "-c", 'eval "$script"'], **PIPES, env={**os.environ, "script": script()}
    ) as far:
        asked = far.stdout.readline().decode().split()[-1]
        text = f'exec {sys.executable} -c "$1"'
        far.stdin.write(execute_request(text, "/", 30, (SHOW,), {**variables, **more}, nonce, challenge=asked))
        far.stdin.flush()
        answer = next(line.decode() for line in far.stdout if line.startswith(nonce.encode()))
        said = far.stdout.read(int(answer.split()[-1]))
    assert answer.startswith(f"{nonce} done 0 "), said
    told = json.loads(said)["environ"]
    assert {name: told.get(name) for name in variables | more} == variables | more
    assert list(folder.rglob("canary*")) == [], "something was executed"


@pytest.mark.parametrize("script", ["-n", "-x", "+x", "--version"])
def test_a_command_is_never_an_option_of_the_shell(on, script):
    """`sh -c -n` would read no command at all, and be a check that holds."""
    said = on(lambda transport: transport.execute(script, timeout=30))
    assert said.exit_code == 127, said.output


def test_a_folder_that_is_not_there_is_named_whole(on, account):
    folder, _ = account
    missing = f"{folder}/$(touch {folder}/canary)\n::error::x"

    async def work(transport):
        wanted = dataclasses.replace(launch(cwd=missing), command=("/bin/true",))
        with pytest.raises(ConfigurationError) as caught:
            await transport.start(wanted)
        return caught.value

    error = on(work)
    assert error.message == f"cwd: {missing} is not a directory that can be entered.".replace("\n", " ")
