"""A key is proven from the host that executes: with its curl, to which the key is shown on stdin alone."""

import os
import shutil
from pathlib import Path

import pytest

from codex_runner.codex.key_preflight import check_key
from codex_runner.demo.model import ModelService
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.host import Host
from codex_runner.domain.job import Job
from codex_runner.domain.secret import Secret

pytestmark = pytest.mark.needs_sshd

KEY = Secret("CODEX_API_KEY", "sk-right-0123456789")


@pytest.fixture
def ask(on):
    def ask(sshd, url, key=KEY):
        told = []
        job = Job("docs", "x", "/", host=Host(sshd.alias))
        return on(sshd, lambda transport: check_key(url, key, told.append, job, transport)), told

    return ask


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_host_asks(server, ask):
    sshd = server()
    with ModelService(bearers={KEY.reveal()}) as service:
        done, told = ask(sshd, f"{service.url}/v1/models")
        assert [request.bearer for request in service.requests] == [KEY.reveal()]
        assert done == {"method": "preflight-url", "asked_from": sshd.alias, "answer": "200"}
        assert [type(event) for event in told] == [Guarded]
        service.break_endpoint("models", 401)
        with pytest.raises(CredentialError, match="401"):
            ask(sshd, f"{service.url}/v1/models")
    done, told = ask(sshd, "http://127.0.0.1:1/")
    assert (done["answer"], [type(event) for event in told]) == ("none", [Guarded, Warned])


def test_curl_sees_the_key_on_stdin_alone(server, ask, tmp_path):
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(f"#!/bin/sh\ncat >{tmp_path}/stdin\n{{ echo $*; env; }} >{tmp_path}/shown\necho status 204\n")
    curl.chmod(0o755)
    done, _ = ask(server(environment={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}), "http://example.com/")
    assert done["answer"] == "204"
    assert (tmp_path / "stdin").read_text() == f'header = "Authorization: Bearer {KEY.reveal()}"\n'
    assert KEY.reveal() not in (tmp_path / "shown").read_text()


def test_a_host_without_curl_is_asked_for_by_the_runner(server, ask, tmp_path):
    (tmp_path / "bin").mkdir()
    for path in Path("/usr/bin").iterdir():
        if not path.name.startswith("curl"):
            (tmp_path / "bin" / path.name).symlink_to(path)
    with ModelService(bearers={KEY.reveal()}) as service:
        done, told = ask(server(environment={"PATH": str(tmp_path / "bin")}), f"{service.url}/v1/models")
    assert (done["asked_from"], done["answer"]) == ("the runner", "200")
    assert "has no curl" in told[0].message


def test_a_key_that_no_header_can_hold_is_refused(server, ask):
    with pytest.raises(CredentialError, match="HTTP header cannot hold"):
        ask(server(), "http://example.com/", Secret("CODEX_API_KEY", 'a"b'))
