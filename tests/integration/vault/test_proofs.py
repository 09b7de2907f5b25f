"""What proves that a login is dead. A server's refusal does not: it refuses a live one in the same words."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from codex_runner.domain.credential import UserpassAuth
from codex_runner.domain.errors import CredentialError, SecretStoreError

pytestmark = pytest.mark.needs_vault

MOUNT = "userpass-proofs"


@pytest.fixture(scope="module")
def userpass(server):
    server.request("POST", f"sys/auth/{MOUNT}", {"type": "userpass"})


class Front(http.server.ThreadingHTTPServer):
    """A gateway to Vault: `source` says from which address a request goes on, `answer` what the caller gets instead.

    Both get the path; None stands for the gateway's usual way.
    """

    daemon_threads = True

    def __init__(self, server):
        super().__init__(("127.0.0.1", 0), _Gate)
        self.target = server.port
        self.source = lambda _: None
        self.before = lambda _: None
        self.answer = lambda _: None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Gate(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.before(self.path)
        source = self.server.source(self.path)
        line = http.client.HTTPConnection(
            "127.0.0.1", self.server.target, source_address=(source, 0) if source else None, timeout=10
        )
        headers = {key: value for key, value in self.headers.items() if key != "Host"}
        line.request(self.command, self.path, body, headers)
        answer = line.getresponse()
        status, data = answer.status, answer.read()
        line.close()
        if (instead := self.server.answer(self.path)) is not None:
            status, data = instead
        if status is None:  # the answer is lost
            self.close_connection = True
            return
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_):
        pass


@pytest.fixture
def front(server):
    with Front(server) as gate:
        threading.Thread(target=gate.serve_forever, args=(0.02,), daemon=True).start()
        yield gate
        gate.shutdown()


@pytest.fixture
def borrower(place, userpass, front, try_to_borrow):
    """Borrow through the gateway, with a user whose role has these `changes`."""

    def go(settings=None, **changes):
        role = place.role_settings(password="p") | changes
        place.server.request("POST", f"auth/{MOUNT}/users/{place.name}", role)
        auth = UserpassAuth(place.name, mount=MOUNT)
        changed = {"address": front.address, **(settings or {})}
        return try_to_borrow(place, place.settings(auth, **changed), {"VAULT_PASSWORD": "p"})

    return go


def once(path, value):
    """Say `value` to the first request for a path that ends so, and None to all others."""
    said = []

    def answer(asked):
        if asked.endswith(path) and not said:
            said.append(asked)
            return value
        return None

    return answer


def check_red(place, outcome):
    """The run is red, names the login that is alive, and what is left of it."""
    (accessor,) = place.logins
    assert isinstance(outcome.error, CredentialError)
    guard = outcome.guards["vault-revocation"]
    assert guard.failed
    assert guard.outcome == "not kept"
    assert f"vault token revoke -accessor {accessor}" in guard.message
    assert "until 20" in guard.message
    return accessor


def test_a_login_that_is_bound_to_another_address_than_the_revocation_comes_from(place, borrower, front):
    """Two egress addresses: Vault's answer is a bare 403, word for word that of a dead token."""
    front.source = lambda path: "127.0.0.3" if path.endswith("revoke-self") else "127.0.0.2"
    outcome = borrower(token_bound_cidrs=["127.0.0.2/32"])
    accessor = check_red(place, outcome)
    assert "token_bound_cidrs" in outcome.error.remedy
    place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_a_login_whose_entity_is_disabled_while_it_is_held(place, borrower, front):
    def disable(path):
        if path.endswith("revoke-self"):
            (accessor,) = place.logins
            data = place.server.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            place.server.request("POST", f"identity/entity/id/{data['entity_id']}", {"disabled": True})

    front.before = disable
    accessor = check_red(place, borrower())
    place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_both_addresses_may_revoke(place, borrower, front):
    front.source = lambda path: "127.0.0.3" if path.endswith("revoke-self") else "127.0.0.2"
    outcome = borrower(token_bound_cidrs=["127.0.0.2/31"])
    assert outcome.error is None
    assert outcome.guards["vault-revocation"].passed
    assert place.logins == []


def test_uses_that_somebody_else_has_spent_are_no_proof(place, borrower, front):
    """By our own count one is left: that Vault refuses is then as good as any other refusal."""
    outcome = borrower(token_num_uses=2)
    assert outcome.guards["vault-revocation"].message.startswith("The login was revoked")
    stolen = []

    def steal(path):
        if path.endswith("revoke-self") and not stolen:
            stolen.append(path)
            place.server.request("POST", "auth/token/revoke-accessor", {"accessor": place.logins[0]})

    front.before = steal
    outcome = borrower(token_num_uses=2)
    assert outcome.guards["vault-revocation"].failed


@pytest.mark.parametrize("uses", [0, 2])
def test_a_lost_read_explains_a_refusal_only_if_uses_are_counted(place, borrower, front, uses):
    """Each of two reads may have been the last use but one; without a number of uses, none can have ended the login."""
    front.answer = once(f"/data/{place.path}", (None, b""))
    front.source = lambda path: "127.0.0.3" if path.endswith("revoke-self") and not uses else "127.0.0.2"
    outcome = borrower(token_num_uses=uses, token_bound_cidrs=["127.0.0.2/32"])
    guard = outcome.guards["vault-revocation"]
    if uses:
        assert outcome.error is None
        assert (guard.outcome, "vault-revocation" in outcome.warnings) == ("not judged", True)
    else:
        place.server.request("POST", "auth/token/revoke-accessor", {"accessor": check_red(place, outcome)})


@pytest.mark.parametrize("lost", [(None, b""), (502, b"<html>Bad Gateway</html>"), (504, b"")])
def test_a_refusal_after_a_revocation_that_may_have_arrived_is_not_judged(place, borrower, front, lost):
    front.answer = once("revoke-self", lost)
    outcome = borrower()
    assert outcome.error is None
    guard, warning = outcome.guards["vault-revocation"], outcome.warnings["vault-revocation"]
    assert (guard.passed, guard.judged, guard.failed) == (False, False, False)
    accessor = outcome.borrowed.credential.facts.accessor
    assert accessor in guard.message
    assert f"-accessor {accessor}" in warning.message
    assert "until 20" in warning.message


@pytest.mark.parametrize("answer", [(200, b"{}"), (200, b""), (202, b'{"data": {}}')])
def test_a_yes_that_is_not_vaults_proves_nothing(place, borrower, front, answer):
    """Whatever stands before Vault may say yes to everything."""
    front.answer = lambda path: answer if path.endswith("revoke-self") else None
    outcome = borrower()
    assert isinstance(outcome.error, SecretStoreError)
    assert outcome.guards["vault-revocation"].failed
    assert "204" in outcome.error.message


def test_a_login_that_is_over_by_our_own_clock_needs_nobodys_word(place, borrower, front):
    front.before = lambda path: time.sleep(2.2) if path.endswith("revoke-self") else None
    front.answer = lambda path: (403, b'{"errors": ["permission denied"]}') if path.endswith("revoke-self") else None
    outcome = borrower(token_ttl=2)
    assert outcome.error is None, outcome.text
    guard = outcome.guards["vault-revocation"]
    assert guard.passed
    assert "2s are over" in guard.message


@pytest.mark.parametrize("seconds", [-1, 0, True, "soon", 1e300, None])
def test_a_life_that_vault_does_not_tell_is_never_over(place, borrower, front, seconds):
    def login(path):
        if "/login/" not in path:
            return (403, b'{"errors": ["permission denied"]}') if path.endswith("revoke-self") else None
        auth = {"client_token": token["client_token"], "accessor": token["accessor"], "lease_duration": seconds}
        return 200, json.dumps({"auth": auth}).encode()

    token = place.token()
    front.answer = login
    outcome = borrower()
    assert outcome.guards["vault-revocation"].failed
    assert "for a time that Vault did not name" in outcome.error.message


def test_openbao_answers_dead_bound_and_garbage_tokens_alike(place):
    """The reason for all of this."""

    def refused(token):
        request = urllib.request.Request(
            f"{place.server.address}/v1/auth/token/revoke-self", method="POST", headers={"X-Vault-Token": token}
        )
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=5)
        with raised.value as error:
            return error.code, error.read()

    role = {"allowed_policies": place.name, "token_bound_cidrs": ["127.0.0.9/32"], "token_no_default_policy": True}
    place.server.request("POST", f"auth/token/roles/{place.name}", role)
    made = place.server.request("POST", f"auth/token/create/{place.name}", {"ttl": "300s", "policies": [place.name]})
    dead, bound = place.token(), made["auth"]
    place.server.request("POST", "auth/token/revoke-accessor", {"accessor": dead["accessor"]})
    answers = {refused(token) for token in (dead["client_token"], bound["client_token"], "s.garbage")}
    assert len(answers) == 1
    assert place.is_alive(bound["accessor"])
