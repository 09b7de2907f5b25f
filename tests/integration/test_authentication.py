"""An authentication service that refuses a token, and one that is down or out of reach: a run tells them apart."""

import socket
import threading

import pytest
from support.sshd import free_port

pytestmark = pytest.mark.needs_codex


@pytest.fixture
def holder(project, service):
    """The project, with an access token, and retries as the test says."""
    token = f"at-{project.key}"
    setup = service.with_access_token(token)
    project.key = token
    service.accept({token})
    project.environ = {name: each for name, each in project.environ.items() if not name.startswith("CODEX_RUNNER_")}
    project.environ["CODEX_ACCESS_TOKEN"] = token
    project.codex["config"] = setup.config

    def configure(url=setup.environment["CODEX_AUTHAPI_BASE_URL"], attempts=1):
        project.configure(
            codex={"env": {"CODEX_AUTHAPI_BASE_URL": url}},
            credential={"source": "env", "allow_unexpiring": True},
            retry={"attempts": attempts},
        )
        return project

    return configure


def failed(project, code):
    """Run the job, which never begins; its guard is red, and nothing was spent."""
    run = project.check_reports(project.run(), code)
    assert not run.guard("credential-preflight")["passed"]
    assert run.of_kind("attempt.started") == []
    project.check_nothing_is_left()
    return run.run_json


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_one(holder, service, project, either_codex, status):
    project.codex["path"] = str(either_codex)
    service.break_endpoint("whoami", status)
    document = failed(holder(), 4)
    assert "was refused" in document["reason"]
    assert str(status) in document["reason"]
    assert "Store a fresh token" in document["remedy"]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_service_that_is_down_has_refused_nothing(holder, service, status):
    service.break_endpoint("whoami", status)
    document = failed(holder(), 7)
    assert "out of reach" in document["reason"]
    assert str(status) in document["reason"]
    assert "Store" not in document["remedy"]


@pytest.mark.parametrize("status", [400, 404])
def test_what_is_neither_is_unknown_and_told_whole(holder, service, status):
    service.break_endpoint("whoami", status)
    document = failed(holder(), 4)
    assert "unknown" in document["reason"]
    assert f"status {status}" in document["reason"]
    assert "Store a fresh" not in document["remedy"]


def test_a_service_that_answers_something_else_is_unknown(holder, service, monkeypatch):
    monkeypatch.setattr(service, "endpoint", lambda _: (200, ["a portal that wants a login"]))
    assert "unknown" in failed(holder(), 4)["reason"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/authapi", "https://127.0.0.1:{}/authapi", "http://no.invalid"])
def test_nobody_there(holder, url):
    assert "out of reach" in failed(holder(url.format(free_port())), 7)["reason"]


def test_garbage_is_no_connection(holder):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"\0garbage\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert "out of reach" in failed(holder(f"http://127.0.0.1:{server.getsockname()[1]}"), 7)["reason"]


def test_a_service_that_comes_back_is_asked_again(holder, service):
    """By the job's own policy; the guard that failed first is no part of the verdict."""
    service.break_endpoint("whoami", 429)
    project = holder(attempts=3)
    running = project.start("run", "docs")
    running.until(lambda: b"out of reach" in project.recorded)
    service.break_endpoint("whoami", None)
    run = project.check_reports(running.wait(), 0)
    assert run.guard("credential-preflight")["passed"]
    assert "out of reach" in run.warnings["retry"]
    project.check_nothing_is_left()


def test_the_last_try_is_the_verdict(holder):
    document = failed(holder(f"http://127.0.0.1:{free_port()}", attempts=2), 7)
    assert [warning["code"] for warning in document["warnings"] if "retry" in warning["code"]] == ["retry", "no-retry"]


def test_a_refusal_is_not_asked_again(holder, service):
    service.break_endpoint("whoami", 401)
    assert {warning["code"] for warning in failed(holder(attempts=3), 4)["warnings"]} == {"credential-source"}
