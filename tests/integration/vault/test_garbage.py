"""A server that speaks HTTP and JSON, and says what Vault would never say."""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from codex_runner.domain.credential import CredentialSpec, UserpassAuth, VaultSettings
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine.credential_rules import CredentialUse

LOGIN = {"client_token": "s.0123456789abcdef01234567", "accessor": "acc", "lease_duration": 60}
STORED = {"data": {"token": "at-0123456789abcdef"}, "metadata": {"version": 1}}


@pytest.fixture
def garbled():
    """Start a server that gives these answers, and collects what it was asked in `asked`."""
    servers = []

    def start(answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = "login" if "/login/" in self.path else "revoke" if "revoke-self" in self.path else "data"
                server.asked.append(kind)
                status, body = {
                    "login": (200, {"auth": LOGIN}),
                    "data": (200, {"data": STORED}),
                    "revoke": (204, None),
                }[kind]
                status, body = answers.get(kind, (status, body))
                text = b"" if status == 204 else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server calls

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"login": (200, [])}, SecretStoreError),
        ({"login": (200, {"auth": ["x"]})}, SecretStoreError),
        ({"login": (200, {"auth": {**LOGIN, "client_token": 17}})}, CredentialError),
        ({"data": (200, None)}, SecretStoreError),
        ({"data": (200, {"data": "x"})}, SecretStoreError),
        ({"data": (200, {"data": {**STORED, "data": [1]}})}, SecretStoreError),
        ({"data": (200, {"data": {**STORED, "metadata": "x"}})}, SecretStoreError),
        ({"data": (403, {"errors": {"a": 1}, "data": [1]})}, CredentialError),
        ({"data": (404, {"errors": [], "data": {"metadata": [1]}})}, SecretStoreError),
        ({"login": (200, {"auth": {**LOGIN, "lease_duration": "soon"}}), "data": (200, [])}, SecretStoreError),
    ],
)
def test_what_is_no_answer_is_a_refusal_and_what_was_lent_is_given_back(garbled, try_to_borrow, answers, error):
    server = garbled(answers)
    settings = VaultSettings(
        address=f"http://127.0.0.1:{server.server_port}", auth=UserpassAuth("ada"), retry_deadline=1.0
    )
    spec, occasion = CredentialSpec(path="a/b"), CredentialUse(workflow="a/b", timeout=60.0, now=time.time())
    outcome = try_to_borrow(None, settings, {"VAULT_PASSWORD": "p"}, spec=spec, occasion=occasion)
    assert type(outcome.error) is error
    if "data" in server.asked:
        assert server.asked[-1] == "revoke"
        assert outcome.guards["vault-revocation"].passed
