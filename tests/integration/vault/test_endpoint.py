"""What VAULT_* say, and what is wrong with it."""

from __future__ import annotations

import pytest

from codex_runner.domain.credential import (
    TokenAuth,
)
from codex_runner.domain.errors import ConfigurationError, CredentialError

pytestmark = pytest.mark.needs_vault


def test_vault_and_bao_variables_say_where_vault_is(place, try_to_borrow):
    token = place.token()["client_token"]
    settings = place.settings(TokenAuth(), address=None)
    for prefix in ("VAULT", "BAO"):
        environment = {f"{prefix}_ADDR": place.server.address, f"{prefix}_TOKEN": token}
        assert try_to_borrow(place, settings, environment).error is None


def test_a_namespace_is_asked_in(place, place_on, try_to_borrow):
    token = place.token()["client_token"]
    environment = {"VAULT_TOKEN": token, "VAULT_NAMESPACE": "no-such-team"}
    outcome = try_to_borrow(place, place.settings(TokenAuth()), environment)
    assert isinstance(outcome.error, CredentialError)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "VAULT_ADDR"),
        ({"VAULT_ADDR": "vault.example.com:8200"}, "vault.example.com"),
        ({"VAULT_ADDR": "unix:///run/vault.sock"}, "unix"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_SKIP_VERIFY": "true"}, "VAULT_SKIP_VERIFY"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_CACERT": "/gone/ca.pem"}, "/gone/ca.pem"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_CLIENT_TIMEOUT": "soon"}, "VAULT_CLIENT_TIMEOUT"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_MAX_RETRIES": "-1"}, "VAULT_MAX_RETRIES"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_CLIENT_CERT": "/gone/cert.pem"}, "/gone/cert.pem"),
    ],
)
def test_a_wrong_environment_is_a_configuration_error_that_names_it(place, try_to_borrow, environment, says):
    outcome = try_to_borrow(place, place.settings(TokenAuth(), address=None), {"VAULT_TOKEN": "x"} | environment)
    assert isinstance(outcome.error, ConfigurationError)
    assert says in outcome.text


def test_a_password_in_the_address_is_not_shown(place, try_to_borrow):
    settings = place.settings(TokenAuth(), address="https://ada:hunter2@vault.example.com")
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x"})
    assert isinstance(outcome.error, ConfigurationError)
    assert "hunter2" not in outcome.text
