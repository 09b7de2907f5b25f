"""Logins that come with the machine: a password, a pod, a certificate, a token, an agent."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import subprocess
import threading
import time

import pytest

from codex_runner.demo.vault import VaultServer, find_binary
from codex_runner.domain.credential import (
    AgentAuth,
    CertAuth,
    KubernetesAuth,
    TokenAuth,
    UserpassAuth,
)
from codex_runner.domain.errors import ConfigurationError, CredentialError, SecretStoreError
from codex_runner.vault.client import VaultClient

pytestmark = pytest.mark.needs_vault


def test_userpass(place, try_to_borrow, tmp_path, given_back):
    if "userpass/" not in place.server.request("GET", "sys/auth")["data"]:
        place.server.request("POST", "sys/auth/userpass", {"type": "userpass"})
    user = place.role_settings(password="correct horse")
    place.server.request("POST", f"auth/userpass/users/{place.name}", user)
    settings = place.settings(UserpassAuth(username=place.name))
    assert given_back(place, try_to_borrow(place, settings, {"VAULT_PASSWORD": "correct horse"}))
    (tmp_path / "password").write_text("correct horse\n")
    auth = UserpassAuth(username=place.name, password_file=str(tmp_path / "password"))
    assert given_back(place, try_to_borrow(place, place.settings(auth)))
    outcome = try_to_borrow(place, settings, {"VAULT_PASSWORD": "wrong battery"})
    assert isinstance(outcome.error, CredentialError)
    assert "userpass" in outcome.error.message
    assert "wrong battery" not in outcome.text


@pytest.fixture
def cluster():
    """Kubernetes' side of its login: one endpoint, which says whose a service account's token is."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):

            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            groups = ["system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"]
            user = {"username": "system:serviceaccount:ci:runner", "uid": "u-1", "groups": groups}
            known = review["spec"]["token"] in tokens
            status = {"authenticated": known, "user": user if known else {}, "audiences": ["vault"]}
            review |= {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}
            body = json.dumps(review).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    tokens = set()
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
    served.tokens = tokens
    yield served
    served.shutdown()
    served.server_close()


def test_kubernetes(place, issuer, cluster, try_to_borrow, given_back, tmp_path):
    account = {"namespace": "ci", "serviceaccount": {"name": "runner", "uid": "u-1"}}
    claims = {"sub": "system:serviceaccount:ci:runner", "kubernetes.io": account, "aud": ["vault"]}
    token = issuer.sign(claims)
    cluster.tokens.add(token.reveal())
    mount = f"k8s-{place.name}"
    place.server.request("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
    config = {
        "kubernetes_host": f"http://127.0.0.1:{cluster.server_address[1]}",
        "kubernetes_ca_cert": make_ca(tmp_path)[0].read_text(),
        "pem_keys": [issuer.public_key],
        "token_reviewer_jwt": token.reveal(),
        "disable_local_ca_jwt": True,
        "disable_iss_validation": True,
    }
    place.server.request("POST", f"auth/{mount}/config", config)
    bound = {"bound_service_account_names": ["runner"], "bound_service_account_namespaces": ["ci"]}
    place.server.request("POST", f"auth/{mount}/role/{place.name}", bound | place.role_settings())
    place.server.request("POST", f"auth/{mount}/role/other", bound | {"bound_service_account_namespaces": ["prod"]})
    (tmp_path / "token").write_text(token.reveal())
    auth = KubernetesAuth(role=place.name, mount=mount, token_file=str(tmp_path / "token"))
    assert given_back(place, try_to_borrow(place, place.settings(auth)))
    outcome = try_to_borrow(place, place.settings(dataclasses.replace(auth, role="other")))
    assert isinstance(outcome.error, CredentialError)
    assert "namespace not authorized" in outcome.error.message
    assert "sub='system:serviceaccount:ci:runner'" in outcome.error.message


def make_ca(folder):
    """Make a self-signed certificate with openssl: its file and its key's."""
    cert, key = folder / "ca.pem", folder / "ca.key"
    run_openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test CA",
                "-keyout", key, "-out", cert)  # fmt: skip
    return cert, key


def run_openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def tls_server():
    with VaultServer(tls=True) as running:
        running.request("POST", "sys/mounts/codex", {"type": "kv", "options": {"version": "2"}})
        time.sleep(0.3)
        yield running


def test_a_client_certificate_over_tls_with_a_private_ca(tls_server, place_on, try_to_borrow, tmp_path, given_back):
    place = place_on(tls_server)
    ca, ca_key = make_ca(tmp_path)
    key, request, cert = tmp_path / "key.pem", tmp_path / "request.pem", tmp_path / "cert.pem"
    run_openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=runner", "-keyout", key, "-out", request)
    (tmp_path / "extensions").write_text("extendedKeyUsage=clientAuth\n")
    run_openssl("x509", "-req", "-days", "1", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                "-extfile", tmp_path / "extensions", "-out", cert)  # fmt: skip
    tls_server.request("POST", "sys/auth/cert", {"type": "cert"})
    tls_server.request("POST", f"auth/cert/certs/{place.name}", {"certificate": ca.read_text()} | place.role_settings())
    auth = CertAuth(role=place.name, cert_file=str(cert), key_file=str(key))
    trusted = {"VAULT_CACERT": str(tls_server.ca_file)}
    assert given_back(place, try_to_borrow(place, place.settings(auth), trusted))
    by_variables = trusted | {"VAULT_CLIENT_CERT": str(cert), "VAULT_CLIENT_KEY": str(key)}
    assert given_back(place, try_to_borrow(place, place.settings(CertAuth(role=place.name)), by_variables))
    stranger = dataclasses.replace(auth, cert_file=str(ca), key_file=str(ca_key), role="nobody")
    outcome = try_to_borrow(place, place.settings(stranger), trusted)
    assert isinstance(outcome.error, CredentialError)
    assert str(ca) in outcome.error.remedy
    outcome = try_to_borrow(place, place.settings(CertAuth(role=place.name)), trusted)
    assert isinstance(outcome.error, ConfigurationError)


def test_an_unknown_ca_is_told_at_once(tls_server, place_on, try_to_borrow):
    place = place_on(tls_server)
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"VAULT_TOKEN": "s.never-sent"})
    assert isinstance(outcome.error, SecretStoreError)
    assert "certificate is not trusted" in outcome.error.message
    assert "VAULT_CACERT" in outcome.error.remedy
    assert outcome.retries == []


def test_through_a_connect_proxy_with_tls(tls_server, place_on, try_to_borrow, wire):
    place = place_on(tls_server)
    token = place.token()
    with wire(tls_server.port, connect=True) as proxy:
        trusted = {"VAULT_CACERT": str(tls_server.ca_file), "VAULT_TOKEN": token["client_token"]}
        for names in (
            {"HTTPS_PROXY": proxy.address},
            {"VAULT_PROXY_ADDR": proxy.address, "NO_PROXY": "127.0.0.1"},
        ):
            proxy.tunnels.clear()
            outcome = try_to_borrow(place, place.settings(TokenAuth()), trusted | names)
            assert outcome.error is None
            assert proxy.tunnels == [f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.0"] or "CONNECT" in proxy.tunnels[0]
        proxy.tunnels.clear()
        exempt = {"HTTPS_PROXY": proxy.address, "NO_PROXY": "localhost,127.0.0.1"}
        assert try_to_borrow(place, place.settings(TokenAuth()), trusted | exempt).error is None
        assert proxy.tunnels == []


def test_a_supplied_token_is_used_and_never_revoked(place, try_to_borrow, tmp_path):
    token = place.token()
    (tmp_path / ".vault-token").write_text(token["client_token"])
    for auth, environment in [
        (TokenAuth(), {"VAULT_TOKEN": token["client_token"]}),
        (TokenAuth(), {"HOME": str(tmp_path)}),
        (TokenAuth(token_file=str(tmp_path / ".vault-token")), {}),
    ]:
        outcome = try_to_borrow(place, place.settings(auth), environment)
        assert outcome.error is None
        assert "stays" in outcome.guards["vault-revocation"].message
    assert place.is_alive(token["accessor"])
    assert place.revocations(token["accessor"]) == []


def test_no_token_and_a_token_that_vault_does_not_know(place, try_to_borrow, tmp_path):
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"HOME": str(tmp_path)})
    assert isinstance(outcome.error, CredentialError)
    assert str(tmp_path / ".vault-token") in outcome.error.message
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"VAULT_TOKEN": "s.unknown-token"})
    assert isinstance(outcome.error, CredentialError)
    assert "permission denied" in outcome.error.message
    assert "s.unknown-token" not in outcome.text


def test_nothing_of_this_process_environment_is_read(place, try_to_borrow, monkeypatch, tmp_path):
    token = place.token()["client_token"]
    for name, value in {
        "VAULT_TOKEN": token,
        "VAULT_ADDR": place.server.address,
        "VAULT_NAMESPACE": "nowhere",
        "HOME": str(tmp_path),
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".vault-token").write_text(token)
    with VaultClient(place.settings(TokenAuth()), {}) as client:
        assert client.api.token == ""
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"HOME": str(tmp_path / "empty")})
    assert isinstance(outcome.error, CredentialError)
    assert "There is no Vault token" in outcome.error.message
    assert try_to_borrow(place, place.settings(TokenAuth()), {"VAULT_TOKEN": token}).error is None


def test_a_local_agent_adds_its_own_token(place, try_to_borrow, tmp_path, wire):
    token = place.token(no_default_policy=False)  # the agent looks its token up
    with wire(1) as spare:  # take a port that is free
        port = spare.port
    (tmp_path / "token").write_text(token["client_token"])
    (tmp_path / "agent.hcl").write_text(
        f"""
        vault {{ address = "{place.server.address}" }}
        auto_auth {{ method {{ type = "token_file" config = {{ token_file_path = "{tmp_path}/token" }} }} }}
        api_proxy {{ use_auto_auth_token = true }}
        listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}
        """
    )
    log = (tmp_path / "agent.log").open("wb")
    command = [str(find_binary()), "agent", f"-config={tmp_path}/agent.hcl"]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 120
        while "authentication successful" not in (tmp_path / "agent.log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        settings = place.settings(AgentAuth(), address=None)
        outcome = try_to_borrow(place, settings, {"VAULT_AGENT_ADDR": f"http://127.0.0.1:{port}"})
        assert outcome.error is None, (outcome.text, (tmp_path / "agent.log").read_text())
        assert "stays" in outcome.guards["vault-revocation"].message
    finally:
        agent.kill()
        agent.wait()
        log.close()
    assert place.is_alive(token["accessor"])
