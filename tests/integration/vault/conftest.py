"""One real OpenBao server for most tests, and servers of their own for those that break it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
import threading
import time
import uuid

import pytest

from codex_runner.demo.issuer import Issuer, github_claims
from codex_runner.demo.vault import VaultServer
from codex_runner.domain.credential import CredentialSpec, JwtAuth, VaultSettings
from codex_runner.domain.errors import RunnerError, SecretStoreError
from codex_runner.engine.credential_rules import CredentialUse
from codex_runner.text.dates import format_date
from codex_runner.vault.lease import borrow

TOKEN = "at-the-token-that-must-not-be-seen"


@pytest.fixture(scope="session")
def server():
    with VaultServer() as running:
        mount_kv(running)
        yield running


@pytest.fixture(scope="session")
def issuer(server):
    with Issuer(server) as running:
        server.request("POST", "sys/auth/jwt", {"type": "jwt"})
        server.request("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [running.public_key]})
        yield running


@pytest.fixture
def own_server():
    """A server to break."""
    with VaultServer() as running:
        mount_kv(running)
        yield running


def mount_kv(server):
    server.request("POST", "sys/mounts/codex", {"type": "kv", "options": {"version": "2"}})
    deadline = time.monotonic() + 120
    while True:  # a new KV mount refuses for some milliseconds while it upgrades itself
        try:
            server.request("POST", "codex/config", {"cas_required": True})
        except SecretStoreError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


class Place:
    """A workflow of its own on a server: a path with a token, a policy for it, and ways to log in."""

    def __init__(self, server):
        self.server = server
        self.name = f"w{uuid.uuid4().hex[:10]}"
        self.path = f"acme/app/{self.name}"
        self.spec = CredentialSpec(path=self.path)
        self.occasion = CredentialUse(workflow=self.path, timeout=60.0, now=time.time())
        self.policy(
            f'path "codex/data/{self.path}" {{ capabilities = ["read"] denied_parameters = {{ "version" = [] }} }}\n'
            'path "auth/token/revoke-self" { capabilities = ["update"] }'
        )
        self.put()

    @property
    def logins(self):
        """The accessors of logins of this place's user that are alive."""
        alive = []
        for accessor in self.server.request("LIST", "auth/token/accessors")["data"]["keys"]:
            try:
                data = self.server.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            except SecretStoreError:
                continue  # it has ended since the list was made
            if self.name in str(data.get("path")) + str(data.get("display_name")):
                alive.append(accessor)
        return alive

    def policy(self, text):
        self.server.request("PUT", f"sys/policies/acl/{self.name}", {"policy": text})

    def put(self, **fields):
        now = time.time()
        data = {
            "token": TOKEN,
            "workflow": self.path,
            "owner": "ada",
            "issued_at": format_date(now - 3600),
            "expires_at": format_date(now + 30 * 86400),
        } | fields
        data = {name: value for name, value in data.items() if value is not None}
        version = self.version()
        self.server.request("POST", f"codex/data/{self.path}", {"data": data, "options": {"cas": version}})

    def version(self):
        try:
            return self.server.request("GET", f"codex/metadata/{self.path}")["data"]["current_version"]
        except SecretStoreError:
            return 0

    def role_settings(self, **changes):
        return {
            "token_policies": [self.name],
            "token_no_default_policy": True,
            "token_type": "service",
            "token_ttl": 300,
        } | changes

    def jwt_role(self, **changes):
        """Make a JWT role for this workflow and return the claims that satisfy it."""
        claims = github_claims("acme/app", ".github/workflows/docs.yml")
        role = {
            "role_type": "jwt",
            "bound_audiences": ["codex-runner"],
            "user_claim": "repository",
            "bound_claims": {"repository": "acme/app", "workflow_ref": claims["workflow_ref"]},
        }
        self.server.request("POST", f"auth/jwt/role/{self.name}", role | self.role_settings() | changes)
        return claims

    def settings(self, auth=None, **changes):
        return VaultSettings(**{"address": self.server.address, "auth": auth or JwtAuth(role=self.name)} | changes)

    def token(self, **changes):
        body = {"policies": [self.name], "no_default_policy": True, "ttl": "300s"} | changes
        return self.server.request("POST", "auth/token/create-orphan", body)["auth"]

    def is_alive(self, accessor):
        try:
            self.server.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        except SecretStoreError:
            return False
        return True

    def revocations(self, accessor):
        """Return the audit log's answers to revoke-self by the login with this accessor."""
        digest = self.server.request("POST", "sys/audit-hash/main", {"input": accessor})["hash"]
        return [
            entry
            for entry in self.server.audit()
            if entry["type"] == "response"
            and entry["request"]["path"] == "auth/token/revoke-self"
            and entry["auth"].get("accessor") == digest
            and not entry.get("error")
        ]


@pytest.fixture
def place(server):
    return Place(server)


@pytest.fixture
def place_on():
    """Make a Place on a given server."""
    return Place


@pytest.fixture
def secret_token():
    return TOKEN


class Outcome:
    """What a call of `borrow` came to, with everything it said."""

    def __init__(self):
        self.events = []
        self.retries = []
        self.borrowed = None
        self.error = None
        self.seconds = 0.0

    @property
    def guards(self):
        return {event.name: event for event in self.events if event.kind == "guard"}

    @property
    def warnings(self):
        return {event.code: event for event in self.events if event.kind == "warning"}

    @property
    def text(self):
        error = self.error
        said = (self.events, self.retries, self.borrowed, error, error and error.message, error and error.remedy)
        return repr(said)


@pytest.fixture
def try_to_borrow():
    """Borrow, and return the Outcome: what came, or the RunnerError, and all that was said."""
    return _borrow


def _borrow(place, settings, environment=None, spec=None, occasion=None):
    outcome = Outcome()

    async def go():
        return await borrow(
            spec or place.spec,
            settings,
            occasion or place.occasion,
            environment=environment or {},
            on_event=outcome.events.append,
            on_retry=outcome.retries.append,
        )

    started = time.monotonic()
    try:
        outcome.borrowed = asyncio.run(go())
    except RunnerError as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - started
    if outcome.borrowed:
        assert outcome.borrowed.events == tuple(outcome.events)
    assert TOKEN not in outcome.text
    assert not re.search(r"\b[sb]\.[A-Za-z0-9_-]{20,}", outcome.text)  # no Vault token either
    return outcome


@pytest.fixture
def given_back():
    """Whether a login was made, is dead, and was revoked exactly once as the server's own log has it."""
    return _given_back


def _given_back(place, outcome):
    assert outcome.error is None, outcome.text
    accessor = outcome.borrowed.credential.facts.accessor
    assert outcome.guards["vault-revocation"].passed
    assert accessor in outcome.guards["vault-revocation"].message
    assert not place.is_alive(accessor)
    return len(place.revocations(accessor)) == 1


class Wire:
    """A TCP wire to a server that can be cut, told to swallow answers, or speak CONNECT as a proxy does."""

    def __init__(self, port, *, connect=False):
        self.target = ("127.0.0.1", port)
        self.connect = connect
        self.tunnels = []
        self.swallow = lambda request: False
        self._open = []
        self._listener = None
        self.port = 0

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        with near, contextlib.suppress(OSError):
            if self.connect:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (piece := near.recv(4096)):
                        return  # hung up: to read on would take a core until the worker ends
                    head += piece
                self.tunnels.append(head.split(b"\r\n", 1)[0].decode())
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(self.target) as far:
                self._open += [near, far]
                self._pump(near, far)

    def _pump(self, near, far):
        swallowing = False
        while True:
            ready, _, _ = select.select([near, far], [], [])
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                if end is near:
                    swallowing = self.swallow(data) or swallowing  # a request may come in pieces
                    far.sendall(data)
                elif swallowing:
                    return
                else:
                    near.sendall(data)


@pytest.fixture
def wire():
    return Wire
