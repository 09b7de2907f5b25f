"""What stands in the environment of everything that the runner starts here: all that ssh needs, and no secret."""

import contextlib
import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import tomli_w
from support.far import FarProject, repository
from support.launches import wait_until
from support.runs import JOB

# It fetches through the proxy, if need be; `env` is the spy of these tests in its place.
GIT = re.compile(r"/git |^env ")

pytestmark = [
    pytest.mark.needs_codex,
    pytest.mark.needs_sshd,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc"),
]

# Each way in which the runner is handed a secret, with a value of its own.
HELD = {
    name: f"held-{secrets.token_hex(12)}"
    for name in (
        *(
            "VAULT_TOKEN",
            "BAO_TOKEN",
            "VAULT_SECRET_ID",
            "VAULT_PASSWORD",
            "VAULT_ID_TOKEN",
            "GITHUB_TOKEN",
            "GH_TOKEN",
        ),
        *("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "CODEX_API_KEY", "OTEL_EXPORTER_OTLP_HEADERS", "MY_SECRET_PLACE"),
        *("HOOK_KEY", "HOOK_ADDRESS", "CODEX_RUNNER_JOBS__DOCS__CODEX__ENV__NPM_TOKEN"),
    )
}
HELD["OTEL_EXPORTER_OTLP_HEADERS"] = f"x-key={HELD['OTEL_EXPORTER_OTLP_HEADERS']}"
PROXY = f"http://user:{secrets.token_hex(12)}@127.0.0.1:9"

# A ProxyCommand that works for one AWS profile alone, and tells all that it knows.
WAY = """
import json, os, select, socket, sys
with open(sys.argv[3], "a") as told:
    told.write(json.dumps(dict(os.environ)) + "\\n")
print(sorted(os.environ.items()), file=sys.stderr)
if os.environ.get("AWS_PROFILE") != "works":
    sys.exit("no profile")
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for ready in select.select([0, there], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else there.recv(65536)
        if not data:
            sys.exit()
        there.sendall(data) if ready == 0 else os.write(1, data)
"""


def _below(pid):
    """Every process that comes from this one. A look at all of /proc takes ten times as long, and sees less."""
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


class Children:
    """Looks at every process that comes from one, for as long as it is there: its command line and its environment."""

    def __init__(self, values):
        self.values, self.seen, self.roots = values, {}, set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.005):
            for pid in [pid for root in tuple(self.roots) for pid in _below(root)]:
                with contextlib.suppress(OSError):
                    line = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    environ = (Path("/proc") / str(pid) / "environ").read_bytes().decode(errors="replace")
                    if not line:  # it is being executed, or has ended: this environment may be its parent's
                        continue
                    told = {name for name, value in self.values.items() if value in environ or value in line}
                    self.seen.setdefault(line, set()).update(told)

    def of(self, pattern):
        """What the environments of those told whose command line matches; at least one is there."""
        told = [names for line, names in self.seen.items() if re.search(pattern, line)]
        assert told, sorted(self.seen)
        return set().union(*told)


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    (tmp_path / "scratch").mkdir()
    project = FarProject(tmp_path / "scratch", codex_home, codex, service)
    told = tmp_path / "told"
    (tmp_path / "way.py").write_text(WAY)
    way = f"{sys.executable} {tmp_path / 'way.py'} %h %p {told}"
    project.sshd.client_config(project.ssh_config, project.sshd.port, f"  ProxyCommand {way}")
    project.told = lambda: [json.loads(line) for line in told.read_text().splitlines()]
    project.environ |= {**HELD, "AWS_PROFILE": "works", "HTTPS_PROXY": PROXY}
    project.values = {**HELD, "HTTPS_PROXY": PROXY, "CODEX_ACCESS_TOKEN": project.environ["CODEX_ACCESS_TOKEN"]}
    yield project
    project.close()


def also(project, **tables):
    """Put these tables into the configuration; the hosts' are merged."""
    path = project.cwd / "codex-runner.toml"
    settings = tomllib.loads(path.read_text())
    for name, table in tables.items():
        settings[name] = table if name == "notify" else {**settings.get(name, {}), **table}
    path.write_text(tomli_w.dumps(settings))


def named(project):
    """Name some of what is held in the configuration: what the table knows only from there."""
    also(
        project,
        notify=[{"name": "hook", "url_variable": "HOOK_ADDRESS", "key_variable": "HOOK_KEY", "on": ["quota"]}],
        vault={"auth": {"method": "jwt", "role": "docs", "token_variable": "MY_SECRET_PLACE"}},
    )


def spied(project):
    """Put a git first in the PATH that tells its environment; return what reads what it told."""
    told, spy = project.scratch / "git-told", project.scratch / "bin" / "git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nenv >>"{told}"\nexec {shutil.which("git")} "$@"\n')
    spy.chmod(0o755)
    project.environ["PATH"] = f"{spy.parent}:{project.environ['PATH']}"
    return told.read_text


def start(project, watch, *arguments):
    running = project.start(*arguments)
    watch.roots.add(running.process.pid)
    return running


def test_a_run_and_what_goes_on_with_it(far):
    """The run, its cancel from another process, an attach: ssh, the shell that watches it, git, a ProxyCommand."""
    repository(far.cwd)
    far.configure(prompt="SCN:long_command:60", sandbox="workspace-write", cwd=".", workspace={})
    named(far)
    of_git = spied(far)
    with Children(far.values) as watch:
        running = start(far, watch, "run", JOB)
        running.until(far.host_run)
        running.kill()
        (run,) = far.runs
        going = start(far, watch, "attach", run.run_id)
        going.until(lambda: b'"attached":true' in far.recorded.replace(b" ", b""))
        assert start(far, watch, "cancel", run.run_id).wait().code == 0
        far.check_reports(going.wait(), 143)
        assert start(far, watch, "hosts", "--probe", far.sshd.alias).wait().code == 0
        start(far, watch, "doctor").wait()
    assert watch.of(r"^ssh ") == set()
    assert watch.of(r"^sh -c .*read -r line") == set()
    assert [name for name, value in far.values.items() if value in of_git()] == [
        "HTTPS_PROXY"
    ]  # it fetches, if need be
    assert watch.of(r"way\.py") == set()
    told = {line: names - {"HTTPS_PROXY"} if GIT.search(line) else names for line, names in watch.seen.items()}
    assert {line: names for line, names in told.items() if names and "codex-runner" not in line} == {}
    for environ in far.told():
        assert environ["AWS_PROFILE"] == "works"
        assert [name for name, value in far.values.items() if value in json.dumps(environ)] == []
    assert all(value.encode() not in far.said for value in far.values.values())


@pytest.mark.thorough
def test_a_name_is_given_back_to_one_host(far):
    """What it prints of that is masked all the same."""
    named(far)
    also(far, hosts={far.sshd.alias: {"environment": ["VAULT_TOKEN", "MY_SECRET_PLACE"]}})
    far.environ["AWS_PROFILE"] = "another"
    done = far.command("run", JOB)
    assert done.code == 6, done.stderr
    for environ in far.told():
        assert environ["VAULT_TOKEN"] == HELD["VAULT_TOKEN"]
        assert environ["MY_SECRET_PLACE"] == HELD["MY_SECRET_PLACE"]
        assert "GITHUB_TOKEN" not in environ
    assert all(value not in done.stderr for value in far.values.values())
    left = [path.read_text() for path in far.last.path.iterdir() if path.is_file()]
    assert all(value not in text for value in far.values.values() for text in left)


def hears(path):
    """Whether a server listens on the socket by now."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


def test_an_agent_of_keys_is_asked(far):
    """There is no key in a file: ssh has it from the socket that SSH_AUTH_SOCK names."""
    if not shutil.which("ssh-agent"):
        pytest.skip("no ssh-agent")
    text = far.ssh_config.read_text()
    far.ssh_config.write_text(re.sub(r"\n  Identit.*", "", text))
    place = far.scratch / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        far.environ["SSH_AUTH_SOCK"] = str(place)
        wait_until(lambda: hears(place), 60)  # the socket is there before anything listens on it
        assert agent.poll() is None
        subprocess.run(["ssh-add", "-q", far.sshd.folder / "user_key"], env=far.environ, check=True)
        far.check_reports(far.command("run", JOB), 0)
    finally:
        agent.kill()
        agent.wait()


def test_nothing_that_a_run_here_starts_has_what_the_runner_has(project):
    """But for the checks, which get what speaks of no credential: git, the shells that watch, the schema's judge."""
    project.git_init()
    project.environ |= {name: value for name, value in HELD.items() if "NPM" not in name}
    schema = {"type": "object"}
    (project.cwd / "schema.json").write_text(json.dumps(schema))
    project.configure(prompt="SCN:long_command:1", sandbox="workspace-write", workspace={}, output_schema="schema.json")
    values = {name: value for name, value in HELD.items() if name in project.environ} | {"key": project.key}
    of_git = spied(project)
    with Children(values) as watch:
        running = start(project, watch, "run", JOB)
        running.wait()
    assert watch.of(r"^sh -c read -r _") == set()
    assert [name for name in HELD if name in values and values[name] in of_git()] == []  # codex runs git too
    # Between its fork and its exec a child is the runner still.
    held = set().union(*(names for line, names in watch.seen.items() if "/bin/codex-runner " not in line)) - {"key"}
    assert held == set(), watch.seen
