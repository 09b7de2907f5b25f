import asyncio

import pytest

from codex_runner.codex.key_preflight import check_key
from codex_runner.demo.model import ModelService
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.job import Job
from codex_runner.domain.secret import Secret
from codex_runner.transports.local import LocalTransport

KEY = Secret("CODEX_API_KEY", "sk-right-0123456789")


@pytest.fixture
def ask():
    told, job = [], Job("docs", "x", "/")

    def ask(url, key=KEY):
        return asyncio.run(check_key(url, key, told.append, job, LocalTransport({"HOME": "/"}))), told

    ask.told = told
    return ask


def test_a_key_that_the_service_takes_is_proven(ask):
    with ModelService(bearers={KEY.reveal()}) as service:
        done, told = ask(f"{service.url}/v1/models")
        assert service.requests[0].bearer == KEY.reveal()
    assert done == {"method": "preflight-url", "asked_from": "the runner", "answer": "200"}
    assert [(event.name, event.passed) for event in told] == [("credential-preflight", True)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_ends_the_run_before_it_starts(ask, status):
    with ModelService() as service:
        service.break_endpoint("models", status)
        with pytest.raises(CredentialError, match=str(status)) as refused:
            ask(f"{service.url}/v1/models")
    assert KEY.reveal() not in str(refused.value)
    (guard,) = ask.told
    assert isinstance(guard, Guarded)
    assert not guard.passed


def test_an_answer_that_says_nothing_of_the_key_is_a_warning(ask):
    with ModelService() as service:
        service.break_endpoint("models", 503)
        _, told = ask(f"{service.url}/v1/models")
    guard, warning = told
    assert (guard.outcome, isinstance(warning, Warned)) == ("not judged", True)
    assert "not refused" in warning.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "http://[bad/"])
def test_no_answer_is_a_warning(ask, url):
    done, told = ask(url)
    assert done["answer"] == "none"
    guard, warning = told
    assert (guard.outcome, isinstance(warning, Warned)) == ("not judged", True)
