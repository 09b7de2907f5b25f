"""What can still be kept from an agent without a sandbox, as docs/security.md offers it: a proxy, and another user."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
from support import unprivileged
from support.runs import Project, wait_for
from support.sshd import Sshd, free_port

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script
from codex_runner.redaction.redactor import forms

pytestmark = [
    pytest.mark.needs_codex,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs to become two users"),
]

DOCS = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

# Of each process that it may look into: environment and memory; then the files that it is told of.
STEAL = r"""
import glob, re, sys
KEY = rb"(?:key-|planted-|hvs[.])[0-9a-f]{32}"
for process in glob.glob("/proc/[0-9]*"):
    try:
        print(process, re.findall(KEY, open(process + "/environ", "rb").read()))
        for line in open(process + "/maps"):
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - start < 1 << 26:
                with open(process + "/mem", "rb", 0) as memory:
                    memory.seek(start)
                    print(process, set(re.findall(KEY, memory.read(end - start))))
    except OSError as error:
        print(process, error)
for path in sys.argv[1:]:
    try:
        print(path, open(path).read())
    except OSError as error:
        print(path, error)
"""


@pytest.fixture
def folder():
    """A folder that any user reaches, and of which codex does not say that it is a temporary one."""
    made = Path(tempfile.mkdtemp(prefix="codex-runner-test-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def project(codex, service, folder):
    """A project of an ordinary user's, with something in its home that is nobody else's business."""
    words = unprivileged.prefix()
    if words is None:
        pytest.skip("nobody else can be had here")
    (scratch := folder / "user").mkdir()
    (scratch / "state").mkdir()
    made = Project(scratch, scratch / "state", codex, service)
    made.prefix = words
    made.environ["VAULT_TOKEN"] = f"hvs.{secrets.token_hex(16)}"
    vault_token = made.home / ".vault-token"
    vault_token.write_text(f"planted-{secrets.token_hex(16)}")
    vault_token.chmod(0o600)
    unprivileged.give(scratch, unprivileged.USER)
    yield made
    made.close()


def steal(project, service, *paths, options=()):
    """Let the agent look; return all that the model was sent."""
    words = " ".join(f"'{path}'" for path in paths)
    service.scenario("thief", script(shell(f"python3 - {words} <<'END'\n{STEAL}\nEND", wait=20), message("all done")))
    done = project.run(*options)
    assert done.code == 0, done.stderr
    return "".join(json.dumps(request.body) for request in service.requests)


def has(text, secret):
    return any(form.decode() in text for form in forms(secret))


@pytest.fixture
def proxy(folder, service):
    """The documented proxy before the scripted service: its port, and the file that holds the key."""
    if NGINX is None:
        pytest.skip("no nginx")
    (key,) = service_keys = {f"key-{secrets.token_hex(16)}"}
    service.accept(service_keys)
    port = free_port()
    site = re.search(r"```nginx\n(.*?)```", DOCS, re.DOTALL)[1]
    for documented, here in (
        ("127.0.0.1:8180", f"127.0.0.1:{port}"),
        ("https://api.openai.com", service.url),
        ("THE-KEY", key),
    ):
        assert documented in site
        site = site.replace(documented, here)
    scratch = folder / "nginx"
    scratch.mkdir()
    (scratch / "codex.conf").write_text(site)
    (scratch / "codex.conf").chmod(0o600)
    paths = " ".join(
        f"{name}_temp_path {scratch}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; pid {scratch}/pid; error_log {scratch}/error.log; user nobody nogroup; worker_processes 1;"
    http = f"access_log off; {paths} include {scratch}/codex.conf;"
    (scratch / "nginx.conf").write_text(f"{main} events {{ }} http {{ {http} }}\n")
    process = subprocess.Popen([NGINX, "-c", str(scratch / "nginx.conf"), "-e", str(scratch / "error.log")])
    try:
        wait_for(lambda: listens(port))
        yield port, scratch / "codex.conf", key
    finally:
        process.terminate()
        process.wait()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_proxy_holds_the_key(project, service, proxy):
    port, file, key = proxy
    del project.environ["CODEX_RUNNER_CODEX__ENV__SCRIPTED_MODEL_KEY"]
    blocks = re.search(r"<!-- begin proxy -->(.*?)<!-- end proxy -->", DOCS, re.DOTALL)[1]
    job = tomllib.loads(re.search(r"```toml\n(.*?)```", blocks, re.DOTALL)[1])["jobs"]["release-notes"]
    assert "i_understand" not in job
    job["codex"]["config"]["model_providers"]["gate"]["base_url"] = f"http://127.0.0.1:{port}/v1"
    project.codex = {"path": project.codex["path"], "config": job["codex"]["config"]}
    project.configure(prompt="SCN:thief", sandbox=job["sandbox"], i_understand=False)
    seen = steal(project, service, file, f"/proc/{os.getpid()}/environ")
    assert {request.bearer for request in service.responses} == {key}
    assert has(seen, str(file)), "it was looked for"
    assert not has(seen, key)
    assert not has(seen, project.environ["VAULT_TOKEN"])


@pytest.fixture
def agents_home(folder):
    home = folder / "agent"
    (home / "work").mkdir(parents=True)
    unprivileged.give(home, unprivileged.AGENT)
    home.chmod(0o700)
    return home


@pytest.fixture
def alias(project, folder, agents_home):
    """An alias that leads to another user of this machine, with a key that is our user's alone."""
    environment = {"HOME": str(agents_home), "PATH": os.environ["PATH"]}
    prefix = unprivileged.world(agents_home)
    with Sshd(folder / "sshd", alias="codex-agent", environment=environment, prefix=prefix) as sshd:
        ssh = project.home / ".ssh"
        ssh.mkdir(mode=0o700)
        for name in ("user_key", "known_hosts"):
            shutil.copy(sshd.folder / name, ssh / name)
        text = sshd.client_config(ssh / "config", sshd.port, "  User codex-agent").read_text()
        (ssh / "config").write_text(text.replace(str(sshd.folder), str(ssh)))
        unprivileged.give(ssh, unprivileged.USER)
        yield sshd.alias


def test_another_user_by_an_alias(project, service, alias, agents_home):
    ssh = project.home / ".ssh"
    project.configure(prompt="SCN:thief", sandbox="danger-full-access", host=alias, cwd=str(agents_home / "work"))
    planted = project.home / ".vault-token"
    files = (planted, ssh / "user_key", *project.cwd.glob("codex-runner-out/*/*"))
    seen = steal(project, service, *files, options=["--set", f"ssh_config={ssh / 'config'}"])
    assert has(seen, project.key), "codex runs as that user: what it has in its environment is not kept from the agent"
    assert not has(seen, planted.read_text())
    assert not has(seen, project.environ["VAULT_TOKEN"])
    assert "PRIVATE KEY" not in seen
    assert list(agents_home.glob(".local/state/codex-runner/runs/[!.]*")) == []
