"""Credentials from a variable, a file, or the CI system's identity: what is taken, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket

import pytest

from codex_runner.credentials import local
from codex_runner.domain.credential import CredentialSource, CredentialSpec
from codex_runner.domain.errors import CredentialError
from codex_runner.engine.credential_rules import EXPIRY, CredentialUse
from codex_runner.text.dates import parse_date

NOW = parse_date("2026-03-01T12:00:00Z")
OCCASION = CredentialUse(workflow="acme/app/docs", timeout=600.0, now=NOW, complete=False)
ENV = CredentialSpec(source=CredentialSource.ENV)


def jwt(**claims):
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("at-in-file\n")
    return path


def file_spec(path):
    return CredentialSpec(source=CredentialSource.FILE, file=str(path))


def test_a_variable():
    told = []
    borrowed = local.take(ENV, OCCASION, environment={"CODEX_ACCESS_TOKEN": " at-1\n"}, on_event=told.append)
    assert borrowed.credential.secret.reveal() == "at-1"
    assert borrowed.credential.facts.place == "$CODEX_ACCESS_TOKEN"
    assert borrowed.events == tuple(told)
    stripped, taken, *_, warned = told
    assert stripped.code == "secret-white-space"
    assert (taken.kind, taken.facts["place"]) == ("credential.taken", "$CODEX_ACCESS_TOKEN")
    assert "Keep it in Vault instead" in warned.message
    assert "at-1" not in repr(borrowed)


def test_a_variable_of_another_name():
    spec = dataclasses.replace(ENV, variable="MY_TOKEN")
    assert local.take(spec, OCCASION, environment={"MY_TOKEN": "x"}).credential.secret.name == "CODEX_ACCESS_TOKEN"
    with pytest.raises(CredentialError, match="MY_TOKEN"):
        local.take(spec, OCCASION, environment={"CODEX_ACCESS_TOKEN": "x"})


@pytest.mark.parametrize("value", ["", "  ", "two words", "a\nb", "caf\u00e9", "a\0b"])
def test_what_is_no_token(value):
    with pytest.raises(CredentialError) as raised:
        local.take(ENV, OCCASION, environment={"CODEX_ACCESS_TOKEN": value})
    assert not value.strip() or value not in str(raised.value)


def test_a_private_file(file):
    assert local.take(file_spec(file), OCCASION, environment={}).credential.secret.reveal() == "at-in-file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_file_that_others_may_touch_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(CredentialError, match=f"{mode:04o}") as raised:
        local.take(file_spec(file), OCCASION, environment={})
    assert "chmod 600" in raised.value.remedy


def test_a_link_is_judged_by_the_file_that_it_leads_to(file):
    link = file.with_name("link")
    link.symlink_to(file)
    assert local.take(file_spec(link), OCCASION, environment={}).credential.secret.reveal() == "at-in-file"
    file.chmod(0o644)
    with pytest.raises(CredentialError):
        local.take(file_spec(link), OCCASION, environment={})


def test_a_pipe_does_not_hang_and_a_folder_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(CredentialError, match="regular"):
        local.take(file_spec(tmp_path / "pipe"), OCCASION, environment={})
    with pytest.raises(CredentialError, match="directory|regular"):  # noqa: RUF043 - either
        local.take(file_spec(tmp_path), OCCASION, environment={})
    with pytest.raises(CredentialError, match="No such file"):
        local.take(file_spec(tmp_path / "gone"), OCCASION, environment={})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(CredentialError):
            local.take(file_spec(tmp_path / "s"), OCCASION, environment={})


def test_dates_of_the_settings_are_judged():
    expired = dataclasses.replace(ENV, expires_at="2026-02-01T00:00:00Z")
    with pytest.raises(CredentialError, match="credential-expiry"):
        local.take(expired, OCCASION, environment={"CODEX_ACCESS_TOKEN": "at-1"})
    old = dataclasses.replace(ENV, issued_at="2026-01-01T00:00:00Z", max_age=86400.0)
    with pytest.raises(CredentialError, match="credential-age"):
        local.take(old, OCCASION, environment={"CODEX_ACCESS_TOKEN": "at-1"})


def test_dates_of_a_jwt_are_judged():
    fresh = jwt(iat=NOW - 60, exp=NOW + 30 * 86400)
    facts = local.take(ENV, OCCASION, environment={"CODEX_ACCESS_TOKEN": fresh}).credential.facts
    assert facts.expires_at == "2026-03-31T12:00:00Z"
    with pytest.raises(CredentialError, match="credential-lifetime"):
        local.take(ENV, OCCASION, environment={"CODEX_ACCESS_TOKEN": jwt(exp=NOW + 60)})


def test_workload_identity_is_checked_and_handed_on(tmp_path):
    path = tmp_path / "identity"
    path.write_text(jwt(exp=NOW + 60))
    given = {local.FEDERATION_RULE: "rule-1", local.IDENTITY_TOKEN_FILE: str(path), "OTHER": "x"}
    identity = local.check_workload_identity(given, now=NOW)
    assert dict(identity.environment) == {local.FEDERATION_RULE: "rule-1", local.IDENTITY_TOKEN_FILE: str(path)}
    assert identity.events[0].passed


@pytest.mark.parametrize(
    ("changes", "content", "says"),
    [
        ({local.FEDERATION_RULE: ""}, jwt(exp=NOW + 60), "needs OPENAI_FEDERATION_RULE_ID"),
        ({local.IDENTITY_TOKEN_FILE: ""}, jwt(exp=NOW + 60), "needs OPENAI_IDENTITY_TOKEN_FILE"),
        ({local.IDENTITY_TOKEN_FILE: "identity"}, jwt(exp=NOW + 60), "absolute"),
        ({local.IDENTITY_TOKEN_FILE: "/gone/identity"}, jwt(exp=NOW + 60), "No such file"),
        ({}, jwt(exp=NOW - 60), "expired 1m ago"),
        ({}, jwt(sub="x"), "no JWT"),
        ({}, "opaque", "no JWT"),
    ],
)
def test_a_flawed_workload_identity_says_what_is_wrong(tmp_path, changes, content, says):
    path = tmp_path / "identity"
    path.write_text(content)
    given = {local.FEDERATION_RULE: "rule-1", local.IDENTITY_TOKEN_FILE: str(path)} | changes
    with pytest.raises(CredentialError, match=says):
        local.check_workload_identity(given, now=NOW)


@pytest.mark.parametrize("date", [1_900_000_000_000, float("nan"), float("inf"), -1, True, "soon"])
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_a_date_in_the_token_itself_that_is_none(date, claim):
    """Milliseconds are what people write; none of these is a bug of ours, and none is a token without an expiry."""
    with pytest.raises(CredentialError, match="credential-dates"):
        local.take(ENV, OCCASION, environment={"CODEX_ACCESS_TOKEN": jwt(**{claim: date})})


@pytest.mark.parametrize("date", [1_900_000_000_000, float("nan"), "soon"])
def test_a_date_in_the_identity_token_that_is_none(tmp_path, date):
    (tmp_path / "token").write_text(jwt(exp=date))
    environment = {local.FEDERATION_RULE: "r", local.IDENTITY_TOKEN_FILE: str(tmp_path / "token")}
    with pytest.raises(CredentialError, match="no date in seconds"):
        local.check_workload_identity(environment, now=NOW)


@pytest.mark.parametrize("allowed", [False, True])
def test_an_expiry_that_is_not_known_is_not_judged(allowed):
    spec = dataclasses.replace(ENV, allow_unexpiring=allowed)
    borrowed = local.take(spec, OCCASION, environment={"CODEX_ACCESS_TOKEN": "at-1"})
    guards = {event.name: event for event in borrowed.events if event.kind == "guard"}
    warnings = [event.code for event in borrowed.events if event.kind == "warning"]
    assert (guards[EXPIRY].outcome, guards[EXPIRY].passed, guards[EXPIRY].failed) == ("not judged", False, False)
    assert (EXPIRY in warnings) is not allowed  # it is told, unless the job says that it may be so
