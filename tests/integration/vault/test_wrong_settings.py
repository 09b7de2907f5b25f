"""What people get wrong about the way to Vault: each is told as what it is, at once, and is no bug of ours."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.server
import json
import socket
import threading
from pathlib import Path

import pytest

from codex_runner.app.token_dates import dates_of
from codex_runner.demo.vault import VaultServer
from codex_runner.domain.credential import AppRoleAuth, JwtAuth, TokenAuth, VaultSettings
from codex_runner.domain.errors import ConfigurationError, CredentialError, SecretStoreError, UsageError
from codex_runner.domain.secret import Secret
from codex_runner.vault import oidc, tokens
from codex_runner.vault.client import VaultClient
from codex_runner.vault.endpoint import resolve_endpoint

pytestmark = pytest.mark.needs_vault


def by_token(place, try_to_borrow, environment=None, **changes):
    settings = place.settings(TokenAuth(), **{"retry_deadline": 20.0, **changes})
    return try_to_borrow(place, settings, {"VAULT_TOKEN": "t", **(environment or {})})


# --- addresses, durations, proxies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("http://[::1", "http://[::1]:x", "http://vault:99999", "http://vault:0", "http://", "https://ada@vault"),
        *("vault:1", "http://vault/v1", "http://vault/v1/", "http://vault/secrets/v1", "http://vault?a=b"),
        "http://vault:1\u2100",
    ],
)
def test_an_address_that_is_none(address):
    with pytest.raises(ConfigurationError) as raised:
        resolve_endpoint(VaultSettings(address=address), {})
    assert "VAULT_ADDR" in raised.value.remedy
    assert "ada" not in raised.value.message


def test_the_address_with_v1_says_what_to_leave_out():
    with pytest.raises(ConfigurationError, match="ends in /v1"):
        resolve_endpoint(VaultSettings(address="https://vault.example.com:8200/v1"), {})
    assert resolve_endpoint(VaultSettings(address="https://x/v10"), {}).address == "https://x/v10"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("1m30s", 90.0),
        ("1h0m0.5s", 3600.5),
        (".5s", 0.5),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("0", 10.0),  # no limit of its own: the setting's stands
        ("0s", 10.0),
        ("1ns", 0.001),
    ],
)
def test_a_client_timeout_as_the_vault_command_reads_it(text, seconds):
    endpoint = resolve_endpoint(VaultSettings(address="http://x"), {"VAULT_CLIENT_TIMEOUT": text})
    assert endpoint.request_timeout == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["-1", "-1s", "1m 30s", "s", "30x", "1e3", "٣", "NaN", "1m30", "--"])
def test_a_client_timeout_that_is_none(text):
    with pytest.raises(ConfigurationError, match="VAULT_CLIENT_TIMEOUT"):
        resolve_endpoint(VaultSettings(address="http://x"), {"VAULT_CLIENT_TIMEOUT": text})


@pytest.mark.parametrize("text", ["0", "99999999999999999h"])
def test_any_client_timeout_can_be_used(place, try_to_borrow, text):
    outcome = by_token(place, try_to_borrow, {"VAULT_CLIENT_TIMEOUT": text})
    assert isinstance(outcome.error, CredentialError)


@pytest.mark.parametrize("proxy", ["http://[::1", "http://", "http://ada:hunter2@[::1"])
def test_a_proxy_that_is_none(proxy):
    with pytest.raises(ConfigurationError) as raised:
        resolve_endpoint(VaultSettings(address="http://x", proxy=proxy), {})
    assert "proxy" in raised.value.message
    assert "hunter2" not in raised.value.message


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_not_vault(place, try_to_borrow, scheme):
    proxy = f"http://ada:hunter2@127.0.0.1:{free_port()}"
    changes = {"address": f"{scheme}://vault.example.com", "proxy": proxy, "retry_deadline": 1.0}
    outcome = by_token(place, try_to_borrow, **changes)
    assert isinstance(outcome.error, SecretStoreError)
    shown = proxy.replace("ada:hunter2@", "")
    assert f"the proxy {shown} before Vault" in outcome.error.message
    assert "Vault itself was not asked" in outcome.error.remedy
    assert "hunter2" not in outcome.text
    assert len(outcome.retries) == 1


# --- the wrong thing behind the address ------------------------------------------------------------------------------


@pytest.fixture
def tls_server():
    with VaultServer(tls=True) as running:
        yield running


def test_https_to_a_server_without_tls(place, try_to_borrow):
    outcome = by_token(place, try_to_borrow, address=place.server.address.replace("http:", "https:"))
    assert isinstance(outcome.error, SecretStoreError)
    assert "does not speak TLS" in outcome.error.message
    assert "http://" in outcome.error.remedy
    assert "CA" not in outcome.error.remedy
    assert outcome.retries == []


def test_the_wrong_ca_the_wrong_scheme_and_a_broken_ca(place, tls_server, try_to_borrow, tmp_path):
    """All on one server with TLS, since it takes long to start."""
    plain = by_token(place, try_to_borrow, address=tls_server.address.replace("https:", "http:"))
    assert isinstance(plain.error, SecretStoreError)
    assert "https://" in plain.error.remedy
    untrusted = by_token(place, try_to_borrow, address=tls_server.address)
    assert "not trusted" in untrusted.error.message
    assert "VAULT_CACERT" in untrusted.error.remedy
    for content in (b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        broken = tmp_path / "ca.pem"
        broken.write_bytes(content)
        outcome = by_token(place, try_to_borrow, address=tls_server.address, ca_file=str(broken))
        assert isinstance(outcome.error, ConfigurationError), outcome.text
        assert str(broken) in outcome.error.message
        assert outcome.retries == plain.retries == untrusted.retries == []


def test_a_client_certificate_that_is_none(place, tls_server, try_to_borrow, tmp_path):
    files = {"VAULT_CLIENT_CERT": str(tmp_path / "cert.pem"), "VAULT_CLIENT_KEY": str(tmp_path / "key.pem")}
    for path in files.values():
        Path(path).write_text("nothing")
    changes = {"address": tls_server.address, "ca_file": str(tls_server.ca_file)}
    outcome = by_token(place, try_to_borrow, files, **changes)
    assert isinstance(outcome.error, ConfigurationError)
    assert "cert.pem" in outcome.error.message
    assert outcome.retries == []


@pytest.mark.parametrize("name", ["broken.pem", "gone.pem"])
def test_a_broken_ca_for_github(tmp_path, name):
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=name):
        oidc.repository_id("acme/app", {"SSL_CERT_FILE": str(tmp_path / name), "GITHUB_API_URL": "https://127.0.0.1:1"})


@pytest.mark.parametrize("url", ["http://[::1", "no address", "", "http://127.0.0.1:99999"])
def test_an_address_of_github_that_is_none(url):
    environment = {"ACTIONS_ID_TOKEN_REQUEST_URL": url or "x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    waiting = oidc.Waiting(5.0, pytest.fail, oidc.StopFlag())
    with pytest.raises(SecretStoreError):
        oidc.identity_token(JwtAuth("role"), oidc.SecretReader(environment), waiting)
    with pytest.raises(SecretStoreError):
        oidc.repository_id("acme/app", {"GITHUB_API_URL": url})


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering(status, body):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as web:
        web.status, web.body = status, body
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


@pytest.mark.parametrize(("status", "says"), [(472, "disaster recovery secondary"), (473, "performance standby")])
def test_a_secondary_refuses_nobody(place, try_to_borrow, status, says):
    with answering(status, {"initialized": True, "sealed": False}) as address:
        outcome = by_token(place, try_to_borrow, address=address)
    assert isinstance(outcome.error, SecretStoreError)
    assert says in outcome.error.message
    assert "primary" in outcome.error.remedy
    assert outcome.retries == []


def test_a_secondary_says_so_of_its_health(place):
    body = {"initialized": True, "sealed": False, "version": "1", "replication_dr_mode": "secondary"}
    with answering(200, body) as address, VaultClient(place.settings(TokenAuth(), address=address), {}) as client:
        assert client.health().secondary


# --- mounts and roles ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kv1(server):
    server.request("POST", "sys/mounts/codex1", {"type": "kv", "options": {"version": "1"}})
    return "codex1"


def test_a_mount_of_kv_version_1_is_named(place, kv1, try_to_borrow):
    place.policy(
        f'path "{kv1}/data/{place.path}" {{ capabilities = ["read"] }}\n'
        'path "auth/token/revoke-self" { capabilities = ["update"] }'
    )
    spec = dataclasses.replace(place.spec, mount=kv1)
    settings = place.settings(TokenAuth())
    outcome = try_to_borrow(place, settings, {"VAULT_TOKEN": place.token()["client_token"]}, spec=spec)
    assert isinstance(outcome.error, CredentialError)
    assert "KV version 1" in outcome.error.message


def test_a_mount_that_keeps_something_else_or_is_not_there(place, kv1, server):
    settings, environment = place.settings(TokenAuth()), {"VAULT_TOKEN": server.root_token.reveal()}
    with VaultClient(settings, environment) as client:
        client.use(server.root_token)
        for mount, says in (
            (kv1, "KV version 1"),
            ("nowhere", "has no mount 'nowhere'"),
            ("cubbyhole", "cubbyhole, not"),
        ):
            with pytest.raises(CredentialError, match=says):
                tokens.list_tokens(client, mount, now=0.0)
            with pytest.raises(CredentialError, match=says):
                tokens.entry_of(client, tokens.TokenPlace(mount, "a/b"), now=0.0)
        assert tokens.list_tokens(client, "codex", now=0.0, prefix="no/such/folder") == ()


def test_nothing_there_is_still_nothing_there(place, try_to_borrow):
    place.server.request("DELETE", f"codex/metadata/{place.path}")
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"VAULT_TOKEN": place.token()["client_token"]})
    assert isinstance(outcome.error, CredentialError)
    assert f"nothing at codex/{place.path}" in outcome.error.message


@pytest.fixture(scope="module")
def approle(server):
    server.request("POST", "sys/auth/approle-roles", {"type": "approle"})
    return "approle-roles"


def test_a_role_id_of_another_role_than_is_configured(place, approle, try_to_borrow):
    server = place.server
    role = f"auth/{approle}/role/{place.name}"
    server.request("POST", role, place.role_settings(bind_secret_id=True))
    role_id = server.request("GET", f"{role}/role-id")["data"]["role_id"]

    def borrow(name):
        secret_id = server.request("POST", f"{role}/secret-id", {})["data"]["secret_id"]
        auth = AppRoleAuth(name, mount=approle, role_id=role_id)
        return try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": secret_id})

    outcome = borrow("some-other-role")
    assert isinstance(outcome.error, CredentialError)
    assert place.name in outcome.error.message
    assert "some-other-role" in outcome.error.message
    assert outcome.guards["vault-revocation"].passed  # a login was made to find out
    assert borrow(place.name.upper()).error is None  # Vault's names of roles have no case


# --- dates in tokens -------------------------------------------------------------------------------------------------


def jwt(**claims):
    parts = ({"alg": "none"}, claims, {})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("date", [1_900_000_000_000, float("nan"), float("inf"), -5, 1e300, True, "soon", [1], 10**400])
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_a_date_in_a_jwt_that_is_none(date, claim):
    token = Secret("T", jwt(**{claim: date}))
    assert "The token claims" in oidc.describe_claims(token)
    with pytest.raises((CredentialError, UsageError)) as raised:
        dates_of(token, issued=None, expires=None, never=False, now=1_900_000_000.0)
    assert claim in raised.value.message
