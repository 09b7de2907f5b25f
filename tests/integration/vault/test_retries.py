"""A Vault that is sealed, throttled, frozen, gone, or back again: what is tried again, how long, and what is said."""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import threading
import time

import pytest

from codex_runner.domain.credential import TokenAuth, UserpassAuth
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.vault.client import VaultClient
from codex_runner.vault.lease import borrow

pytestmark = pytest.mark.needs_vault


@pytest.fixture
def own_place(own_server, place_on):
    return place_on(own_server)


@pytest.fixture
def login(own_place):
    """A login by password on a server of its own: no network beside it."""
    own_place.server.request("POST", "sys/auth/userpass", {"type": "userpass"})
    user = own_place.role_settings(password="p", token_ttl=60)
    own_place.server.request("POST", f"auth/userpass/users/{own_place.name}", user)
    return {"VAULT_PASSWORD": "p"}


def userpass(place, **changes):
    return place.settings(UserpassAuth(place.name), **changes)


def later(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_a_closed_port_is_tried_until_the_deadline(place, try_to_borrow):
    settings = place.settings(TokenAuth(), address="http://127.0.0.1:1", retry_deadline=4.0)
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x"})
    assert isinstance(outcome.error, SecretStoreError)
    assert "Connection refused" in outcome.error.message
    assert "http://127.0.0.1:1" in outcome.error.message
    (line,) = outcome.retries  # however often it was tried
    assert "again in" in line
    assert "tried" in outcome.error.message
    assert outcome.seconds < 60


def test_vault_max_retries_bounds_the_tries(place, try_to_borrow):
    settings = place.settings(TokenAuth(), address="http://127.0.0.1:1")
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x", "VAULT_MAX_RETRIES": "0"})
    assert isinstance(outcome.error, SecretStoreError)
    assert outcome.retries == []


def test_a_name_that_does_not_exist_is_told_at_once(place, try_to_borrow):
    settings = place.settings(TokenAuth(), address="http://vault.invalid:8200", retry_deadline=20.0)
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x"})
    assert isinstance(outcome.error, SecretStoreError)
    assert outcome.seconds < 60


def test_down_and_back(own_place, login, try_to_borrow, wire, given_back):
    with wire(own_place.server.port) as line:
        line.close()
        opening = later(1.0, line.open)
        outcome = try_to_borrow(own_place, userpass(own_place, address=line.address), login)
        opening.join()
        assert given_back(own_place, outcome)
    assert outcome.retries


def test_sealed_is_waited_for_a_bounded_time(own_place, login, try_to_borrow):
    own_place.server.request("PUT", "sys/seal")
    outcome = try_to_borrow(own_place, userpass(own_place, sealed_deadline=1.0), login)
    assert isinstance(outcome.error, SecretStoreError)
    assert "sealed" in outcome.error.message
    assert "unseal" in outcome.error.remedy
    assert outcome.seconds < 30
    assert outcome.retries


def test_a_rate_limit_is_waited_for(own_place, login, try_to_borrow, given_back):
    own_place.server.request("POST", "sys/quotas/rate-limit/q", {"rate": 1, "interval": "1s", "path": "auth/userpass"})
    outcomes = [try_to_borrow(own_place, userpass(own_place), login) for _ in range(3)]
    own_place.server.request("DELETE", "sys/quotas/rate-limit/q")
    assert all(given_back(own_place, outcome) for outcome in outcomes)
    assert any("429" in line for outcome in outcomes for line in outcome.retries)


def test_a_rate_limit_that_stays_names_itself(own_place, login, try_to_borrow):
    own_place.server.request("POST", "sys/quotas/rate-limit/q", {"rate": 1, "interval": "60s", "path": "codex/"})
    try_to_borrow(own_place, userpass(own_place), login)
    outcome = try_to_borrow(own_place, userpass(own_place, retry_deadline=1.0), login)
    assert isinstance(outcome.error, SecretStoreError)
    assert "quota" in outcome.error.remedy
    assert outcome.guards["vault-revocation"].passed


def test_frozen_and_thawed(own_place, login, try_to_borrow):
    own_place.server.pause()
    thaw = later(1.5, own_place.server.resume)
    outcome = try_to_borrow(own_place, userpass(own_place, request_timeout=0.5), login)
    thaw.join()
    assert outcome.error is None
    assert any("no answer within 0.5s" in line for line in outcome.retries)
    assert "vault-lost-login" in outcome.warnings


def test_frozen_for_good(own_place, login, try_to_borrow):
    own_place.server.pause()
    outcome = try_to_borrow(own_place, userpass(own_place, request_timeout=0.4, retry_deadline=1.5), login)
    own_place.server.resume()
    assert isinstance(outcome.error, SecretStoreError)
    assert "no answer" in outcome.error.message
    assert outcome.seconds < 30
    assert "token_ttl" in outcome.warnings["vault-lost-login"].message


def test_a_forbidden_path_is_refused_at_once_and_the_login_given_back(own_place, login, try_to_borrow):
    spec = dataclasses.replace(own_place.spec, path="acme/app/another")
    outcome = try_to_borrow(own_place, userpass(own_place), login, spec=spec)
    assert isinstance(outcome.error, CredentialError)
    assert outcome.retries == []
    assert "codex/data/acme/app/another" in outcome.error.message
    assert f"userpass as '{own_place.name}'" in outcome.error.message
    assert 'capabilities = ["read"]' in outcome.error.remedy
    assert outcome.guards["vault-revocation"].passed


def test_health_is_told_whatever_the_state(own_place):
    with VaultClient(own_place.settings(TokenAuth()), {}) as client:
        assert client.health().sealed is False
        own_place.server.request("PUT", "sys/seal")
        health = client.health()
    assert (health.initialized, health.sealed) == (True, True)
    assert health.version


class _NotVault(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/html" if b"html" in body else "application/json")
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/again")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>Welcome to the captive portal</html>", "not Vault's"),
        (403, b"<html>Blocked</html>", "not Vault's"),
        (302, b"<html>Moved</html>", "redirects to 127.0.0.1"),
        (200, b'["a", "list"]', "not Vault's"),
    ],
)
def test_something_that_is_not_vault(place, try_to_borrow, status, body, says):
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NotVault)
    web.status, web.body = status, body
    threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    settings = place.settings(TokenAuth(), address=f"http://127.0.0.1:{web.server_address[1]}")
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x"})
    web.shutdown()
    web.server_close()
    assert isinstance(outcome.error, SecretStoreError)
    assert says in outcome.error.message
    assert outcome.retries == []


def test_an_empty_object_in_vaults_place_holds_no_token(place, try_to_borrow):
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NotVault)
    web.status, web.body = 200, b"{}"
    threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    settings = place.settings(TokenAuth(), address=f"http://127.0.0.1:{web.server_address[1]}")
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": "x"})
    web.shutdown()
    web.server_close()
    assert isinstance(outcome.error, CredentialError)


@pytest.mark.parametrize("moment", ["waiting", "frozen"])
def test_a_cancelled_caller_is_free_at_once_and_leaves_no_login(own_place, login, moment):
    settings = userpass(own_place)

    async def go():
        task = asyncio.create_task(
            borrow(own_place.spec, settings, own_place.occasion, environment=login, on_retry=lambda _: None)
        )
        await asyncio.sleep(0.5)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    if moment == "waiting":
        own_place.server.request("PUT", "sys/seal")
    else:
        own_place.server.pause()
    took = asyncio.run(go())
    own_place.server.resume()
    assert took < (1 if moment == "waiting" else 4)
