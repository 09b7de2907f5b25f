"""Answers that never end, trickle, expand or lead elsewhere: a call is over in its time, and holds little memory."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import time
import zlib

import pytest

from codex_runner.domain.credential import CredentialSpec, JwtAuth, TokenAuth, UserpassAuth, VaultSettings
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine.bounded import ANSWER_BYTES
from codex_runner.engine.credential_rules import CredentialUse
from codex_runner.vault import oidc

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FOREVER = 3600.0


class Hostile:
    """A server that answers each connection's request by `act`, which gets the socket and what was asked."""

    def __init__(self, act):
        self.act, self.asked, self.over = act, [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.gone = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                line, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line):
        with line, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                if not (piece := line.recv(65536)):
                    return  # hung up without a question: to read on would take a core until the worker ends
                asked += piece
            self.asked.append(asked)
            self.act(self, line, asked)
        self.gone.release()

    def trickle(self, line, data):
        """Send a byte now and then, until the other side has gone or the test is over."""
        while True:
            for each in data:
                line.sendall(bytes([each]))
                if self.over.wait(0.05):
                    return


@pytest.fixture
def hostile():
    servers = []

    def start(act):
        servers.append(Hostile(act))
        return servers[-1]

    yield start
    for server in servers:
        server.over.set()
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)  # a close alone wakes no thread that accepts
        server.listener.close()


def trickled_head(server, line, _asked):
    line.sendall(b"HTTP/1.1 200 OK\r\n")
    server.trickle(line, b"X-Slow: yes\r\n")


def trickled_body(server, line, _asked):
    line.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    server.trickle(line, b" ")


def trickled_chunks(server, line, _asked):
    line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    server.trickle(line, b"1\r\n \r\n")


def trickled_redirect(server, line, _asked):
    line.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1000000\r\n\r\n")
    server.trickle(line, b" ")


def endless(_server, line, _asked):
    line.sendall(HEAD + b"\r\n")
    while True:
        line.sendall(b" " * 65536)


def endless_chunks(_server, line, _asked):
    line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        line.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def announced(_server, line, _asked):
    line.sendall(HEAD + b"Content-Length: 400000000\r\n\r\n" + b" " * 1000)


def expanding(_server, line, _asked):
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(b" " * 1_000_000) for _ in range(150)) + packer.flush()
    line.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def nested(_server, line, _asked):
    body = b"[" * 100_000
    line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def redirected_body(_server, line, _asked):
    line.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
    while True:
        line.sendall(b" " * 65536)


def by_token(server, try_to_borrow, **changes):
    settings = VaultSettings(address=server.address, auth=TokenAuth(), retry_deadline=1.0, **changes)
    spec, occasion = CredentialSpec(path="a/b"), CredentialUse(workflow="a/b", timeout=60.0, now=time.time())
    return try_to_borrow(None, settings, {"VAULT_TOKEN": "t"}, spec=spec, occasion=occasion)


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("act", [trickled_head, trickled_body, trickled_chunks, trickled_redirect])
def test_an_answer_that_trickles_is_over_in_its_time(hostile, try_to_borrow, act):
    """Each byte is in time, and the whole never comes. The connection is cut: nobody reads on."""
    server = hostile(act)
    outcome = by_token(server, try_to_borrow)
    assert isinstance(outcome.error, SecretStoreError)
    for _ in server.asked:
        assert server.gone.acquire(timeout=60)


@pytest.mark.parametrize("act", [endless, endless_chunks, announced, expanding, nested, redirected_body])
def test_an_answer_that_is_too_large_is_refused_without_being_kept(hostile, try_to_borrow, act):
    server = hostile(act)
    before = memory()
    outcome = by_token(server, try_to_borrow)
    assert isinstance(outcome.error, SecretStoreError), outcome.text
    assert memory() - before < 10 * ANSWER_BYTES
    assert server.gone.acquire(timeout=60)
    assert len(server.asked) == 1  # it is not asked again


def test_a_login_that_trickles_may_have_been_made(hostile, try_to_borrow):
    server = hostile(trickled_body)
    settings = VaultSettings(address=server.address, auth=UserpassAuth("ada"), retry_deadline=1.0)
    spec, occasion = CredentialSpec(path="a/b"), CredentialUse(workflow="a/b", timeout=60.0, now=time.time())
    outcome = try_to_borrow(None, settings, {"VAULT_PASSWORD": "p"}, spec=spec, occasion=occasion)
    assert isinstance(outcome.error, SecretStoreError)
    assert "no answer in full within" in outcome.error.message
    assert "vault-lost-login" in outcome.warnings


@pytest.mark.parametrize("act", [trickled_head, trickled_body, endless, expanding, redirected_body])
@pytest.mark.parametrize("ask", ["identity", pytest.param("repository", marks=pytest.mark.thorough)])
def test_what_github_is_asked_is_bounded_too(hostile, act, ask, monkeypatch):
    monkeypatch.setattr(oidc, "_PATIENCE", 0.5)
    server = hostile(act)
    environment = {
        "GITHUB_API_URL": server.address,
        "ACTIONS_ID_TOKEN_REQUEST_URL": server.address,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
    }
    waiting = oidc.Waiting(0.5, lambda _: None, oidc.StopFlag())
    asks = {
        "repository": lambda: oidc.repository_id("acme/app", environment),
        "identity": lambda: oidc.identity_token(JwtAuth("role"), oidc.SecretReader(environment), waiting),
    }
    before = memory()
    with pytest.raises(SecretStoreError):
        asks[ask]()
    assert memory() - before < 10 * ANSWER_BYTES
    assert server.gone.acquire(timeout=60)


@pytest.mark.parametrize(
    ("status", "where", "follows"),
    [
        (307, "{other}{path}", True),  # a standby's
        (308, "{other}{path}", True),
        (302, "{other}{path}", False),
        (301, "{other}{path}", False),
        (303, "{other}{path}", False),
        (307, "{other}/login?next={path}", False),
        (307, "{other}{path}?code=1", False),
        (307, "//[::1", False),
        (307, "file:///etc/passwd", False),
    ],
)
def test_a_token_goes_only_where_a_standby_points(hostile, try_to_borrow, status, where, follows):
    def refuse(_server, line, _asked):
        line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n" + json.dumps({"errors": []}).encode())

    other = hostile(refuse)

    def point(_server, line, asked):
        target = where.format(other=other.address, path=asked.split()[1].decode())
        line.sendall(f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    outcome = by_token(hostile(point), try_to_borrow)
    assert isinstance(outcome.error, CredentialError if follows else SecretStoreError), outcome.text
    assert bool(other.asked) is follows
    assert all(b"X-Vault-Token: t" in asked for asked in other.asked)


def test_standbys_that_point_to_each_other(hostile, try_to_borrow):
    def point(server, line, asked):
        target = f"{server.address}{asked.split()[1].decode()}"
        line.sendall(f"HTTP/1.1 307 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    server = hostile(point)
    assert "circles" in by_token(server, try_to_borrow).error.message
    assert len(server.asked) < 10


def test_a_name_that_is_never_resolved_does_not_hold_a_call(try_to_borrow, monkeypatch):
    """A resolver that hangs is out of reach of every timeout of a socket."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(FOREVER))
    settings = VaultSettings(address="http://vault.example.com", auth=TokenAuth(), retry_deadline=0.5)
    spec, occasion = CredentialSpec(path="a/b"), CredentialUse(workflow="a/b", timeout=60.0, now=time.time())
    outcome = try_to_borrow(None, settings, {"VAULT_TOKEN": "t"}, spec=spec, occasion=occasion)
    over.set()
    assert isinstance(outcome.error, SecretStoreError)


def test_a_handshake_that_never_ends(hostile, try_to_borrow):
    server = hostile(lambda server, line, _: server.trickle(line, b"\x16"))
    settings = VaultSettings(
        address=f"https://127.0.0.1:{server.port}", auth=TokenAuth(), retry_deadline=0.5, connect_timeout=0.3
    )
    spec, occasion = CredentialSpec(path="a/b"), CredentialUse(workflow="a/b", timeout=60.0, now=time.time())
    outcome = try_to_borrow(None, settings, {"VAULT_TOKEN": "t"}, spec=spec, occasion=occasion)
    assert isinstance(outcome.error, SecretStoreError)
