"""Every command on every machine that lacks something: the code is one of the contract, and nothing is called a bug."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import unprivileged
from support.runs import JOB, RUNNER, Project

from codex_runner.domain.exit_code import ExitCode

pytestmark = pytest.mark.thorough

REPLY = """
echo '{"type":"thread.started","thread_id":"t-1"}'
echo '{"type":"turn.started"}'
echo '{"type":"item.completed","item":{"id":"i-1","type":"agent_message","text":"all done"}}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}'
"""

FAR = ("--host", "devbox", "--set", f'jobs.{JOB}.cwd="/tmp"')
VAULT = ("--workflow", "a/b/c", "--repo", "a/b", "--repository-id", "1")

COMMANDS = [
    *(["run", JOB], ["run", JOB, "--json"], ["run", JOB, "--dry-run"], ["run", JOB, *FAR], ["run", "nothing"]),
    *(["runs"], ["runs", "--json"], ["logs", "last"], ["logs", "-f", "last"], ["report", "last", "--junit", "-"]),
    *(["attach", "last"], ["cancel", "last"], ["prune", "--keep-last", "100"], ["doctor"], ["doctor", "--json"]),
    *(["audit", "last"], ["audit", "last", "--json"], ["doctor", "--host", "local"], ["doctor", JOB, "--governance"]),
    *(["outcomes"], ["outcomes", "--json", "--since", "30d"], ["config", "check"]),
    *(["jobs"], ["jobs", "--json"], ["config", "show", JOB], ["config", "schema"], ["config", "upgrade", "--dry-run"]),
    *(["hosts"], ["hosts", "--probe", "devbox"], ["init", "-c", "new.toml", "--force"]),
    *(["init", system, "--force"] for system in ("github", "gitlab", "jenkins", "azure", "forgejo", "cron", "systemd")),
    *(["token", "list"], ["token", "check", "a/b/c"], ["token", "put", "a/b/c", "--owner", "me", "--expires", "30d"]),
    *(["token", "rotate", "a/b/c"], ["token", "revoke", "a/b/c", "--yes"], ["token", "sweep"]),
    *(["token", "destroy", "a/b/c", "--yes"], ["vault", "setup", *VAULT], ["vault", "setup", *VAULT, "--apply"]),
    *(["--version"], ["--help"], ["run", "--help"], ["nonsense"]),
]

# What a shell does first, and what is different in the environment.
MACHINES = {
    "whole": ("", {}),
    "no HOME": ("", {"HOME": None}),
    "HOME is empty": ("", {"HOME": ""}),
    "HOME is not there": ("", {"HOME": "/nonexistent/home"}),
    "HOME is the root": ("", {"HOME": "/"}),
    "HOME is a file": ("", {"HOME": "/etc/passwd"}),
    "a relative state folder": ("", {"XDG_STATE_HOME": "state"}),
    "a state folder that cannot be written": ("", {"XDG_STATE_HOME": "/proc"}),
    "no stdin": ("exec <&-", {}),
    "no stdout": ("exec >&-", {}),
    "no stderr": ("exec 2>&-", {}),
    "a stdout that cannot be written": ("exec 1</dev/null", {}),
    "no streams": ("exec <&- >&- 2>&-", {}),
    "a full stdout": ("exec >/dev/full", {}),
    "full streams": ("exec >/dev/full 2>&1", {}),
    "a folder that is gone": ("mkdir gone; cd gone; rmdir ../gone", {}),
    "a folder that is closed": ("mkdir -p shut; cd shut; chmod 000 ../shut", {}),
    "a mask for all": ("umask 777", {}),
    "a mask for none": ("umask 000", {}),
    "no temporary folder": ("", {"TMPDIR": "/nonexistent"}),
    "no programs": ("PATH=/nonexistent; export PATH", {}),
    "no processes": ("ulimit -p 3 2>/dev/null || ulimit -u 3", {}),
    "few open files": ("ulimit -n 12", {}),
    "no room for files": ("ulimit -f 0", {}),
    "ASCII alone": ("", {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}),
    "a dumb terminal": ("", {"TERM": "dumb", "USER": None}),
    "Python without asserts": ("", {"PYTHONOPTIMIZE": "2"}),
}


@pytest.fixture(scope="module")
def there():
    words = unprivileged.prefix()
    if words is None:
        pytest.skip("neither an ordinary user nor one who may become one")
    scratch = Path(tempfile.mkdtemp(prefix="codex-runner-test-", dir="/var/tmp"))
    (scratch / "state").mkdir()
    scratch.chmod(0o755)
    made = Project(scratch, scratch / "state", "codex", None)
    made.fake_codex(REPLY)
    made.git_init()
    made.prefix = words
    unprivileged.give(scratch, unprivileged.USER)
    assert made.run().code == 0
    yield made
    made.close()
    shutil.rmtree(scratch)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_code_is_one_of_the_contract(there, machine):
    breaks, changes = MACHINES[machine]
    environ = {name: value for name, value in {**there.environ, **changes}.items() if value is not None}
    wrong = []
    for command in COMMANDS:
        # The shell's own TMPDIR is another matter.
        line = [*there.prefix, "env", "-i", *(f"{name}={value}" for name, value in environ.items()), "sh", "-c"]
        done = subprocess.run(
            [*line, f'{breaks}\nexec "$@"', "sh", RUNNER, *command],
            cwd=there.cwd,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        known = done.returncode in set(ExitCode) - {ExitCode.INTERNAL}
        if not known or "Traceback" in done.stderr or "this is a bug" in done.stderr or 'File "' in done.stderr:
            wrong.append((command, done.returncode, done.stderr[-600:]))
    assert wrong == []
