"""One look at codex: what it is, and whether the service takes its token, whatever answers."""

import asyncio
import os
import sys

import pytest

from codex_runner.codex import preflight
from codex_runner.codex.question import question
from codex_runner.domain.credential import CredentialKind, CredentialSpec, Granted
from codex_runner.domain.errors import CredentialError, ModelServiceError
from codex_runner.domain.job import CodexSettings, Job
from codex_runner.domain.secret import Secret
from codex_runner.transports.local import LocalTransport

TOKEN = Secret("TOKEN", "at-preflight-0123456789")

# A codex that says what it is told to say of the login, and which of its commands saw the token.
FAKE = r"""#!/bin/sh
[ -z "$CODEX_ACCESS_TOKEN" ] || echo "$1" >>"${0%/*}/saw"
case $1 in
--version) echo codex-cli 0.163.0 ;;
features) echo "unbounded_connection_retries stable true" ;;
login) cat "$CODEX_HOME/config.toml" >"${0%/*}/config"; cat "${0%/*}/says"; . "${0%/*}/does" ;;
esac
"""


@pytest.fixture
def ask(tmp_path):
    codex = tmp_path / "codex"
    codex.write_text(FAKE)
    codex.chmod(0o700)

    def ask(says: str, does: str = "exit 0", *, kind=CredentialKind.ACCESS_TOKEN):
        (tmp_path / "says").write_text(says)
        (tmp_path / "does").write_text(does)
        settings = CodexSettings(path=str(codex), config={"chatgpt_base_url": "http://127.0.0.1:1/"})
        job = Job(name="hi", prompt="hi", cwd=str(tmp_path), codex=settings)
        granted = Granted(kind=kind, environment={"CODEX_ACCESS_TOKEN": TOKEN})
        told = []

        async def asked():
            here = LocalTransport(os.environ)
            install, _ = await preflight.look(here, job, question(job, kind))
            assert install.version == "0.163.0"
            assert "unbounded_connection_retries" in install.features
            return await preflight.check_login(job, here, install, granted, told.append)

        return asyncio.run(asked()), told

    return ask


def test_a_token_that_is_taken(ask, tmp_path):
    done, [guard] = ask("WARNING: a home below /tmp\nLogged in using personal access token.\n")
    assert done == {"method": "login-status", "answer": "Logged in using personal access token"}
    assert guard.passed
    assert "chatgpt_base_url" in (tmp_path / "config").read_text()


def test_only_the_question_about_the_token_gets_it(ask, tmp_path):
    ask("Logged in\n")
    assert (tmp_path / "saw").read_text().split() == ["login"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("Error checking login status: 401\nStack backtrace:\n0: x\n", "Error checking login status: 401"),
        ("login 0\nlogin 0\n", "login 0"),
        ("", "nothing"),
    ],
)
def test_a_token_that_is_refused(ask, says, words):
    with pytest.raises(CredentialError, match=words):
        ask(says, "exit 1")


def test_a_service_that_never_answers(ask, monkeypatch):
    monkeypatch.setattr(preflight, "_PATIENCE", 3.0)
    with pytest.raises(ModelServiceError, match="no answer within 3s"):
        ask("", f"exec {sys.executable} -c 'import time; time.sleep(600)'")


def test_a_key_is_not_asked_about(ask, tmp_path):
    assert ask("", kind=CredentialKind.API_KEY) == ({"method": "presence"}, [])
    assert not (tmp_path / "saw").exists()


@pytest.mark.needs_codex
@pytest.mark.parametrize(
    ("origin", "identity"),
    [
        ("https://chatgpt.example", {"account": "ci@example.com", "account_id": "account-123", "plan": "enterprise"}),
        ("what codex does not take", {}),
    ],
)
def test_whose_the_token_is(either_codex, service, tmp_path, monkeypatch, origin, identity):
    """codex asks the service itself, and does not take every answer of it; the token is as good either way."""
    endpoint = service.endpoint

    def answer(path):
        status, body = endpoint(path)
        for account in body.get("accounts", []):
            account["workspace_backend_origin"] = origin
        return status, body

    monkeypatch.setattr(service, "endpoint", answer)
    service.accept({TOKEN.reveal()})
    setup = service.with_access_token(TOKEN.reveal())
    job = Job(
        name="hi",
        prompt="hi",
        cwd=str(tmp_path),
        codex=CodexSettings(path=str(either_codex), config=setup.config),
        credential=CredentialSpec(identify=True),
    )
    granted = Granted(kind=CredentialKind.ACCESS_TOKEN, environment=setup.environment)

    async def asked():
        here = LocalTransport(os.environ)
        install, _ = await preflight.look(here, job, question(job, granted.kind))
        return await preflight.check_login(job, here, install, granted, lambda _: None)

    answer = "Logged in using personal access token"
    assert asyncio.run(asked()) == {"method": "login-status", "answer": answer, "identity": identity}
