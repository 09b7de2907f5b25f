"""What other processes of the same user get to see of the runner: nothing. Root sees all, so this is not root."""

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import unprivileged
from support.runs import Project

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = [
    pytest.mark.needs_codex,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it"),
]

MODES = ["read-only", "workspace-write", "danger-full-access"]

# What a thief reads of one process, or of all of them: its environment, memory, open files, working directory.
LOOK = r"""
import glob, os, re, sys
for process in sys.argv[1:] or glob.glob("/proc/[0-9]*"):
    for name in ("environ", "mem", "auxv", "io", "fd", "cwd", "exe"):
        path = f"{process}/{name}"
        try:
            if name == "mem":
                for line in open(f"{process}/maps"):
                    start, end = (int(each, 16) for each in line.split()[0].split("-"))
                    if line.split()[1].startswith("rw") and end - start < 1 << 26:
                        with open(path, "rb", 0) as memory:
                            memory.seek(start)
                            print(path, set(re.findall(rb"(?:key-|hvs[.])[0-9a-f]{32}", memory.read(end - start))))
            elif name == "fd":
                print(path, [os.readlink(f"{path}/{each}") for each in os.listdir(path)])
            elif name in ("cwd", "exe"):
                print(path, os.readlink(path))
            elif name == "environ":
                print(path, re.findall(rb"[A-Z_]*=(?:key-|hvs[.])[0-9a-f]{32}", open(path, "rb").read()))
            else:
                print(path, open(path, "rb").read())
        except OSError:
            continue
"""


@pytest.fixture(scope="module")
def somebody():
    """The words that make a command line another user's."""
    words = unprivileged.prefix()
    if words is None:
        pytest.skip("neither an ordinary user nor one who may become one")
    return words


@pytest.fixture
def project(codex, service, somebody):
    """A project of a user who is not root. Its runner has a secret in its environment that codex never gets."""
    scratch = Path(tempfile.mkdtemp(prefix="codex-runner-test-", dir="/var/tmp"))
    (scratch / "state").mkdir()
    made = Project(scratch, scratch / "state", codex, service)
    made.prefix = somebody
    made.environ["VAULT_TOKEN"] = f"hvs.{secrets.token_hex(16)}"
    unprivileged.give(scratch, unprivileged.USER)
    yield made
    made.close()
    shutil.rmtree(scratch)


def look(somebody, *pids):
    """What another process of that user sees of these."""
    command = [*somebody, sys.executable, "-c", LOOK, *(f"/proc/{pid}" for pid in pids)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_run(project, somebody, mode):
    project.configure(prompt="SCN:long_command:2", sandbox=mode)
    secret = project.environ["VAULT_TOKEN"]
    running = project.start("run", "docs")
    running.until_command("sleep 2")
    # The same environment in a process that does nothing about it: what can be seen there is seen.
    other = subprocess.Popen([*somebody, "sleep", "60"], env=project.environ)
    try:
        running.until(lambda: secret.encode() in look(somebody, other.pid))
        assert look(somebody, running.process.pid) == b""
    finally:
        other.kill()
        other.wait()
    done = running.wait()
    project.check_reports(done, 0)
    project.check_nothing_is_left()


def test_an_agent_without_a_sandbox(project, service):
    """It has all that codex has, and nothing of what the runner has."""
    service.scenario("thief", script(shell(f"python3 - <<'END'\n{LOOK}\nEND", wait=15), message("all done")))
    project.configure(prompt="SCN:thief", sandbox="danger-full-access")
    done = project.run()
    assert done.code == 0, done.stderr
    seen = "".join(json.dumps(request.body) for request in service.requests)
    assert project.key in seen, "codex itself can be looked at, so the attempt works"
    # By its value, not by its name: a test beside this one may have processes of the same user.
    assert project.environ["VAULT_TOKEN"] not in seen
