"""Commands that are told to end while they are logged in to Vault."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from support.runs import JOB

from codex_runner.domain.errors import SecretStoreError

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
        assert reading.wait(20)
        running.signal(number)
        return running.wait().code

    @property
    def logins(self):
        """The accessors of this user's logins that are alive."""
        alive = []
        for accessor in self.place.server.request("LIST", "auth/token/accessors")["data"]["keys"]:
            try:
                data = self.place.server.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            except SecretStoreError:
                continue  # it has ended since the list was made
            if self.place.name in data["display_name"]:
                alive.append(accessor)
        return alive


@pytest.fixture(scope="module")
def userpass(server):
    server.request("POST", "sys/auth/userpass", {"type": "userpass"})


@pytest.fixture
def pipeline(userpass, place, wire, project):
    with wire(place.server.port) as line:
        yield Pipeline(place, line, project)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_doctor(pipeline, number, code):
    pipeline.configure()
    assert pipeline.end_while_it_reads(lambda: pipeline.project.start("doctor"), number) == code
    assert pipeline.logins == []


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
