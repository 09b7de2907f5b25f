"""Commands that are told to end while they are logged in to Vault."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from support.runs import JOB

pytestmark = [pytest.mark.needs_vault, pytest.mark.needs_codex]


class Pipeline:
    """A project whose job logs in to Vault with a password, over a wire that can hold requests back."""

    def __init__(self, place, line, project):
        self.place, self.line, self.project = place, line, project
        role = place.role_settings(password="p")
        place.server.request("POST", f"auth/userpass/users/{place.name}", role)
        project.environ["VAULT_PASSWORD"] = "p"

    def configure(self, **job):
        credential = {"path": self.place.path, "workflow": self.place.path, "kind": "api_key"}
        self.project.configure(credential=credential, **job)
        config = self.project.cwd / "codex-runner.toml"
        vault = f'address = "{self.line.address}"\nauth = {{ method = "userpass", username = "{self.place.name}" }}\n'
        config.write_text(f"{config.read_text()}\n[vault]\n{vault}")

    def end_while_it_reads(self, running_of, number):
        """Start a command, send it a signal while it reads the credential, and return its exit code."""
        reading = threading.Event()

        def hold(request):
            if b"/data/" in request:
                reading.set()
                time.sleep(0.5)
            return False

        self.line.swallow = hold
        running = running_of()
        assert reading.wait(120)
        running.signal(number)
        return running.wait().code

    @property
    def logins(self):
        """The accessors of this user's logins that are alive."""
        return self.place.logins


@pytest.fixture(scope="module")
def userpass(server):
    if "userpass/" not in server.request("GET", "sys/auth")["data"]:  # other modules share the server
        server.request("POST", "sys/auth/userpass", {"type": "userpass"})


@pytest.fixture
def pipeline(userpass, place, wire, project):
    with wire(place.server.port) as line:
        yield Pipeline(place, line, project)


@pytest.mark.one_case("last")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_doctor(pipeline, number, code):
    pipeline.configure()
    assert pipeline.end_while_it_reads(lambda: pipeline.project.start("doctor"), number) == code
    assert pipeline.logins == []


@pytest.mark.one_case
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_attach(pipeline, number, code):
    """It fetches the credential before it follows anything; the run stays as it was, to be attached to again."""
    project = pipeline.project
    pipeline.configure(prompt="SCN:slow:2")
    running = project.start("run", JOB)
    running.until(project.host_run)
    running.kill()
    (left,) = project.runs
    before = project.recorded
    assert pipeline.end_while_it_reads(lambda: project.start("attach", left.run_id), number) == code
    assert pipeline.logins == []
    assert project.recorded == before
    pipeline.line.swallow = lambda _: False
    project.check_reports(project.command("attach", left.run_id), 0)
    project.check_nothing_is_left()


@pytest.fixture
def rotated(pipeline):
    """A run whose runner is dead, and whose credential was rotated meanwhile."""
    project = pipeline.project
    pipeline.configure(prompt="SCN:slow:2")
    running = project.start("run", JOB)
    running.until(project.host_run)
    running.kill()
    pipeline.place.put()
    (left,) = project.runs
    return left


def test_attach_after_a_rotation_reads_the_version_that_the_run_has(pipeline, rotated):
    project = pipeline.project
    place = pipeline.place
    place.policy(
        f'path "codex/data/{place.path}" {{ capabilities = ["read"] }}\n'
        'path "auth/token/revoke-self" { capabilities = ["update"] }'
    )
    project.check_reports(project.command("attach", rotated.run_id), 0)
    assert pipeline.logins == []
    assert "by-shape" not in rotated.warnings


def test_attach_without_the_version_that_the_run_has(pipeline, rotated):
    """The role that `vault setup` makes may read the newest version alone."""
    project = pipeline.project
    before = project.recorded
    refused = project.command("attach", rotated.run_id)
    assert refused.code == 4
    assert f"has version 1 of codex/{pipeline.place.path}" in refused.stderr
    assert "--by-shape" in refused.stderr
    assert project.recorded == before
    project.check_reports(project.command("attach", rotated.run_id, "--by-shape"), 0)
    assert "CODEX_API_KEY" in rotated.warnings["by-shape"]
    assert (
        "by-shape" in (rotated.path / "summary.md").read_text()
        or "without CODEX_API_KEY" in (rotated.path / "summary.md").read_text()
    )
    assert pipeline.logins == []
