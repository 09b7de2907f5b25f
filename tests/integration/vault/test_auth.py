"""Logins with an identity token or a secret id, against the real server: what each gives, how each refusal reads."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time

import pytest

from codex_runner.demo.issuer import github_claims
from codex_runner.demo.vault import find_binary
from codex_runner.domain.credential import (
    AppRoleAuth,
    JwtAuth,
)
from codex_runner.domain.errors import CredentialError, SecretStoreError

pytestmark = pytest.mark.needs_vault


def test_github_actions_identity_reads_the_token(place, issuer, try_to_borrow, secret_token, given_back):
    outcome = try_to_borrow(place, place.settings(), issuer.environment(place.jwt_role()))
    facts = outcome.borrowed.credential.facts
    assert outcome.borrowed.credential.secret.reveal() == secret_token
    assert str(outcome.borrowed.credential.secret) == "***CODEX_ACCESS_TOKEN***"
    assert (facts.workflow, facts.owner, facts.version, facts.place) == (place.path, "ada", 1, f"codex/{place.path}")
    assert (facts.auth_method, facts.auth_role, facts.lease_seconds) == ("jwt", place.name, 300.0)
    assert facts.request_id
    assert all(guard.passed for guard in outcome.guards.values())
    assert "credential-lifetime" in outcome.guards
    assert given_back(place, outcome)


def test_a_jwt_in_a_file_and_in_a_variable(place, issuer, try_to_borrow, tmp_path, given_back):
    token = issuer.sign(place.jwt_role())
    file = tmp_path / "jwt"
    file.write_text(token.reveal() + "\n")
    for auth, environment in [
        (JwtAuth(role=place.name, token_file=str(file)), {}),
        (JwtAuth(role=place.name, token_variable="MY_JWT"), {"MY_JWT": token.reveal()}),
        (JwtAuth(role=place.name), {"GITLAB_CI": "true", "VAULT_ID_TOKEN": token.reveal()}),
    ]:
        assert given_back(place, try_to_borrow(place, place.settings(auth), environment))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workflow_ref": "acme/app/.github/workflows/other.yml@refs/heads/main"}, "workflow_ref"),
        ({"repository": "acme/app-evil"}, "repository"),
        ({"repository": None}, "repository"),
        ({"aud": "https://vault.example.com"}, "audience"),
        ({"exp": 1_700_000_000}, "expired"),
    ],
)
def test_a_refused_jwt_is_told_at_once_with_its_claims_and_without_itself(place, issuer, try_to_borrow, changes, says):
    place.jwt_role()
    claims = github_claims("acme/app", ".github/workflows/docs.yml", **changes)
    token = issuer.sign(claims)
    outcome = try_to_borrow(place, place.settings(JwtAuth(place.name, token_variable="J")), {"J": token.reveal()})
    assert isinstance(outcome.error, CredentialError)
    assert outcome.retries == []
    assert f"log in with jwt as '{place.name}' at auth/jwt" in outcome.error.message
    assert says in outcome.error.message
    assert "event_name='schedule'" in outcome.error.message
    assert "bound_claims" in outcome.error.remedy
    for part in token.reveal().split("."):
        assert part not in outcome.text


def test_a_role_that_is_not_there(place, issuer, try_to_borrow):
    token = issuer.sign(place.jwt_role())
    outcome = try_to_borrow(place, place.settings(JwtAuth("nobody", token_variable="J")), {"J": token.reveal()})
    assert isinstance(outcome.error, CredentialError)
    assert "'nobody'" in outcome.error.message


def test_what_is_no_jwt_is_called_so(place, issuer, try_to_borrow):
    place.jwt_role()
    outcome = try_to_borrow(place, place.settings(JwtAuth(place.name, token_variable="J")), {"J": "opaque-value"})
    assert "not a JWT" in outcome.error.message
    assert "opaque-value" not in outcome.text


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"GITHUB_ACTIONS": "true"}, "id-token: write"),
        ({"GITLAB_CI": "true"}, "id_tokens"),
        ({}, "vault.auth.token_file"),
    ],
)
def test_no_identity_token_names_what_this_ci_system_needs(place, try_to_borrow, environment, says):
    outcome = try_to_borrow(place, place.settings(), environment)
    assert isinstance(outcome.error, CredentialError)
    assert says in outcome.error.remedy


def test_a_named_variable_or_file_that_is_missing(place, try_to_borrow, tmp_path):
    outcome = try_to_borrow(place, place.settings(JwtAuth(place.name, token_variable="GONE")))
    assert "GONE" in outcome.error.message
    outcome = try_to_borrow(place, place.settings(JwtAuth(place.name, token_file=str(tmp_path / "gone"))))
    assert "No such file" in outcome.error.message
    (tmp_path / "empty").write_text(" \n")
    outcome = try_to_borrow(place, place.settings(JwtAuth(place.name, token_file=str(tmp_path / "empty"))))
    assert "empty" in outcome.error.message


def test_githubs_endpoint_is_tried_again_when_it_fails_and_believed_when_it_refuses(place, issuer, try_to_borrow):
    environment = issuer.environment(place.jwt_role())
    issuer.failures.extend([503, 429])
    outcome = try_to_borrow(place, place.settings(), environment)
    assert outcome.error is None
    assert len(outcome.retries) == 2
    assert "HTTP 503" in outcome.retries[0]
    wrong = environment | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong-request-token"}
    outcome = try_to_borrow(place, place.settings(), wrong)
    assert isinstance(outcome.error, CredentialError)
    assert "HTTP 401" in outcome.error.message
    assert "wrong-request-token" not in outcome.text
    issuer.failures.extend([*[500] * 50])
    outcome = try_to_borrow(place, place.settings(retry_deadline=0.5), environment)
    issuer.failures.clear()
    assert isinstance(outcome.error, SecretStoreError)
    assert outcome.seconds < 30


@pytest.fixture(scope="session")
def approle(server):
    server.request("POST", "sys/auth/approle", {"type": "approle"})


@pytest.fixture
def role(place, approle):
    place.server.request("POST", f"auth/approle/role/{place.name}", place.role_settings(secret_id_num_uses=1))
    place.role_id = place.server.request("GET", f"auth/approle/role/{place.name}/role-id")["data"]["role_id"]
    return AppRoleAuth(role=place.name, role_id=place.role_id, single_use=True)


def new_secret_id(place, **body):
    return place.server.request("POST", f"auth/approle/role/{place.name}/secret-id", body)["data"]["secret_id"]


def wrapped_secret_id(place, role=None, ttl="60s"):
    answer = wrap(place, f"auth/approle/role/{role or place.name}/secret-id", ttl)
    return answer["wrap_info"]["token"]


def wrap(place, path, ttl="60s"):
    bao = [str(find_binary()), "write", "-force", f"-wrap-ttl={ttl}", "-format=json", path]
    environment = {"BAO_ADDR": place.server.address, "BAO_TOKEN": place.server.root_token.reveal(), "HOME": "/nowhere"}
    return json.loads(subprocess.run(bao, env=environment, capture_output=True, check=True, timeout=120).stdout)


def test_a_plain_secret_id_works_once(place, role, try_to_borrow, given_back):
    secret_id = new_secret_id(place)
    outcome = try_to_borrow(place, place.settings(role), {"VAULT_SECRET_ID": secret_id})
    assert given_back(place, outcome)
    outcome = try_to_borrow(place, place.settings(role), {"VAULT_SECRET_ID": secret_id})
    assert isinstance(outcome.error, CredentialError)
    assert "invalid role or secret ID" in outcome.error.message
    assert f"auth/approle/role/{place.name}/secret-id" in outcome.error.remedy
    assert secret_id not in outcome.text


def test_a_secret_id_from_a_file_and_a_role_id_from_a_variable(place, role, try_to_borrow, tmp_path, given_back):
    file = tmp_path / "secret-id"
    file.write_text(new_secret_id(place))
    auth = dataclasses.replace(role, role_id=None, secret_id_file=str(file))
    assert given_back(place, try_to_borrow(place, place.settings(auth), {"VAULT_ROLE_ID": place.role_id}))
    outcome = try_to_borrow(place, place.settings(auth))
    assert "VAULT_ROLE_ID" in outcome.error.message


def test_a_wrapped_secret_id_is_unwrapped_once(place, role, try_to_borrow, given_back):
    auth = dataclasses.replace(role, wrapped=True)
    wrapping = wrapped_secret_id(place)
    assert given_back(place, try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": wrapping}))
    outcome = try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": wrapping})
    assert isinstance(outcome.error, CredentialError)
    assert "possible theft" in outcome.error.remedy
    assert wrapping not in outcome.text


def test_an_expired_and_a_made_up_wrapping_token_are_a_possible_theft(place, role, try_to_borrow):
    auth = dataclasses.replace(role, wrapped=True)
    expired = wrapped_secret_id(place, ttl="1s")
    time.sleep(1.2)
    for wrapping in (expired, "s.made-up"):
        outcome = try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": wrapping})
        assert isinstance(outcome.error, CredentialError)
        assert "used, expired or wrong" in outcome.error.remedy
        assert outcome.retries == []


def test_a_wrapping_token_made_elsewhere_is_not_even_unwrapped(place, role, try_to_borrow):
    other = f"{place.name}-other"
    place.server.request("POST", f"auth/approle/role/{other}", place.role_settings())
    auth = dataclasses.replace(role, wrapped=True)
    wrapping = wrapped_secret_id(place, role=other)
    outcome = try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": wrapping})
    assert isinstance(outcome.error, CredentialError)
    assert f"auth/approle/role/{other}/secret-id" in outcome.error.message
    assert "theft" in outcome.error.remedy
    lookup = place.server.request("POST", "sys/wrapping/lookup", {"token": wrapping})
    assert lookup["data"]["creation_path"].endswith(f"/{other}/secret-id")  # still whole: nobody unwrapped it


@pytest.mark.parametrize(("url", "wrapped"), [(b"/sys/wrapping/unwrap", True), (b"/approle/login", False)])
def test_what_works_once_is_never_tried_twice(place, role, try_to_borrow, wire, url, wrapped):
    asked = []

    def lose_the_answer(request):
        asked.extend([url] if url in request else [])
        return url in request

    secret_id = wrapped_secret_id(place) if wrapped else new_secret_id(place)
    auth = dataclasses.replace(role, wrapped=wrapped)
    with wire(place.server.port) as line:
        line.swallow = lose_the_answer
        outcome = try_to_borrow(place, place.settings(auth, address=line.address), {"VAULT_SECRET_ID": secret_id})
    assert isinstance(outcome.error, SecretStoreError)
    assert "may be used up by now" in outcome.error.remedy
    assert asked == [url]
    assert outcome.retries == []
    assert "vault-lost-login" in outcome.warnings


def test_a_secret_id_bound_to_another_address(place, role, try_to_borrow):
    elsewhere = new_secret_id(place, cidr_list=["192.0.2.0/24"])
    outcome = try_to_borrow(place, place.settings(role), {"VAULT_SECRET_ID": elsewhere})
    assert isinstance(outcome.error, CredentialError)
    assert "CIDR" in outcome.error.remedy
