"""The first command of each page works today, as it stands there, for a person who has a clone of codex-runner."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import tomli_w
from support.checkout import ROOT, clone_of_this
from support.newcomer import Newcomer, blocks
from support.places import build_folder
from support.tools import tool

from codex_runner.demo.model import ModelService

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
KEY = "sk-newcomer-0123456789abcdef0123456789"


def commands(document):
    """The commands of a page, in order. The README's first two are the demo's and the tests' own."""
    text = (ROOT / document).read_text()
    if document == "README.md":
        text = text.partition("## A first job of your own")[2]
    shells = [text for language, text in blocks(text) if language in {"sh", "console"}]
    lines = "".join(shells).replace("\\\n", "").splitlines()
    return [line.partition(" #")[0].removeprefix("$ ").strip() for line in lines if line.strip()]


FIRST = {document: found[0] for document in DOCUMENTS if (found := commands(document))}
INSTALLS = {"pipx install .", "pipx install ../codex-runner"}
INSTALLING = {document for document, command in FIRST.items() if command in INSTALLS}
# At once, with an empty home and without a configuration.
AT_ONCE = (
    *("docs/cli.md", "docs/configuration.md", "docs/metrics.md", "docs/recipes.md", "docs/ssh.md", "docs/vault.md"),
)
# In a repository with the page's job, in this order: later ones look at the runs of earlier ones.
WITH_A_JOB = ("docs/getting-started.md", "docs/exit-codes.md", "docs/delivery.md", "docs/reports.md", "docs/audit.md")
# They ask for another program, or for another user of the machine.
OF_OTHERS = {
    "docs/events.md": "jq ",
    "docs/image.md": "docker run ",
    "docs/releasing.md": "ci/release ",
    "docs/security.md": "sudo useradd ",
}


def test_every_page_with_a_command_is_tried_here():
    tried = INSTALLING | {*AT_ONCE, *WITH_A_JOB, *OF_OTHERS}
    assert set(FIRST) == tried, "put a new page into the list above that tells how its first command is tried"
    assert all(FIRST[document].startswith(command) for document, command in OF_OTHERS.items())


def test_no_page_begins_with_a_package_that_no_index_has():
    pipelines = ("github-actions", "gitlab-ci", "jenkins", "azure-pipelines", "forgejo", "cron", "systemd")
    assert {"README.md", "docs/installation.md", *(f"docs/{page}.md" for page in pipelines)} == INSTALLING
    for document in DOCUMENTS:
        assert [
            each
            for each in commands(document)
            if re.search(r"\b(?:pipx?|tool) install (?:.* )?codex-runner(?:\s|$)", each)
        ] == []


@pytest.fixture
def github():
    """The one answer of GitHub's API that `vault setup` asks for. Yields its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"id": 4711, "full_name": "acme/app"}).encode()
            self.send_response(200 if self.path == "/repos/acme/app" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("document", AT_ONCE)
def test_it_works_at_once(document, github, tmp_path):
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GITHUB_API_URL": github,
    }
    done = subprocess.run(
        ["sh", "-c", FIRST[document]], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
@pytest.mark.needs_codex
def test_it_works_in_a_repository_with_the_pages_job():
    folder = Path(tempfile.mkdtemp(prefix="newcomer-", dir=build_folder()))
    with ModelService("release_notes", bearers={KEY}) as service:
        newcomer = Newcomer(folder, service, KEY)
        newcomer.environ["CODEX_API_KEY"] = KEY
        job = {
            "prompt": "Write RELEASE_NOTES.md.",
            "sandbox": "workspace-write",
            "credential": {"kind": "api_key", "source": "env"},
        }
        delivery = {"target": "git", "repository": str(newcomer.origin)}
        jobs = {"changelog": job, "release-notes": job, "refused": {**job, "delivery": delivery}}
        settings = {"version": 1, **newcomer.account, "jobs": jobs}
        (newcomer.clone / "codex-runner.toml").write_text(tomli_w.dumps(settings))
        newcomer.shell("git add --all && git commit --quiet -m Configure && git push --quiet")
        for document in WITH_A_JOB:
            if document == "docs/delivery.md":  # for a delivery that failed
                hook = newcomer.origin / "hooks" / "pre-receive"
                hook.write_text("#!/bin/sh\nexit 1\n")
                hook.chmod(0o755)
                newcomer.shell("git checkout --quiet . && git clean --quiet --force RELEASE_NOTES.md")
                newcomer.shell("codex-runner run refused || [ $? -eq 13 ]")
            newcomer.shell(FIRST[document])
    shutil.rmtree(folder)


class Desk:
    """A person's machine with a clone of codex-runner, beside one of their own repository, and with pipx and uv."""

    def __init__(self, folder):
        self.home, self.ours, self.theirs = folder / "home", folder / "codex-runner", folder / "app"
        for each in (self.home, self.ours, self.theirs):
            each.mkdir()
        clone_of_this(self.ours)
        programs = [tool(name, build_folder()) for name in ("pipx", "uv")]
        if None in programs:
            pytest.skip("pipx and uv cannot be installed")
        self.bin = self.home / ".local" / "bin"
        paths = [self.bin, *(program.parent for program in programs), "/usr/local/bin", "/usr/bin", "/bin"]
        passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        self.environ = passed | {
            "PATH": ":".join(map(str, paths)),
            "HOME": str(self.home),
            "PIPX_DEFAULT_PYTHON": sys.executable,
            "UV_PYTHON": sys.executable,
        }

    def do(self, command, folder):
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def installed(self):
        """Whether a shell finds codex-runner now, and it runs."""
        return self.do("codex-runner --version", self.theirs).startswith("codex-runner ")


@pytest.mark.thorough
@pytest.mark.parametrize("command", sorted(INSTALLS))
def test_an_installation_from_a_clone_works(tmp_path, command):
    desk = Desk(tmp_path)
    desk.do(command, desk.theirs if "../" in command else desk.ours)
    assert desk.installed()
    assert "Wrote codex-runner.toml" in desk.do("codex-runner init", desk.theirs)


@pytest.mark.thorough
def test_every_command_of_the_page_of_installations_works(tmp_path):
    """pipx and uv put the program into the same place: each begins without the other's."""
    desk = Desk(tmp_path)
    for command in commands("docs/installation.md"):
        if command.startswith("uv tool install "):
            (desk.bin / "codex-runner").unlink()
        said = desk.do(command, desk.ours)
        if command.startswith("uvx "):
            assert said.startswith("codex-runner ")
        elif command.startswith(("pipx install ", "uv tool install ")):
            assert desk.installed()
        if command.startswith("uv tool install "):
            desk.do("uv tool uninstall codex-runner", desk.ours)
    venv = desk.home / "codex-runner-venv"
    assert desk.do(f"{venv}/bin/codex-runner --version", desk.theirs).startswith("codex-runner ")
    beside = {binary.parents[5].name for binary in desk.home.rglob("codex_cli_bin/bin/codex")}
    assert "codex-runner" in beside, "`pipx inject` puts codex into the environment of codex-runner"
