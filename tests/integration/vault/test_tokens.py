"""Storing, rotating, listing, checking, sweeping and destroying tokens, with no more rights than each needs."""

from __future__ import annotations

import dataclasses
import time
import uuid

import pytest

from codex_runner.domain.credential import Outcome, TokenAuth, VaultSettings
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.vault import setup, tokens
from codex_runner.vault.client import VaultClient
from codex_runner.vault.tokens import NewToken, TokenPlace

pytestmark = pytest.mark.needs_vault

DAY = 86400.0


class Shop:
    """A workflow's place, and clients that have exactly the rotator's, the lister's or the runner's rights."""

    def __init__(self, server, address=None):
        self.server = server
        self.address = address or server.address
        self.path = f"acme/app/t{uuid.uuid4().hex[:10]}"
        self.place = TokenPlace("codex", self.path)
        self.now = time.time()
        self.retries = []

    def client(self, policy, **settings):
        name = f"p{uuid.uuid4().hex[:10]}"
        self.server.request("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        body = {"policies": [name], "no_default_policy": True, "ttl": "300s"}
        token = self.server.request("POST", "auth/token/create-orphan", body)["auth"]["client_token"]
        settings = VaultSettings(address=self.address, auth=TokenAuth(), **settings)
        client = VaultClient(settings, {}, on_retry=self.retries.append)
        client.use(Secret("VAULT_TOKEN", token))
        return client

    def rotator(self, **settings):
        return self.client(setup.rotator_policy("codex", self.path), **settings)

    def lister(self):
        return self.client(setup.lister_policy("codex"))

    def token(self, value="at-first", days=30.0):
        expires = None if days is None else self.now + days * DAY
        return NewToken(Secret("CODEX_ACCESS_TOKEN", value), self.path, "ada", self.now - 60, expires)

    def entry(self, now=None):
        with self.lister() as client:
            return tokens.entry_of(client, self.place, now=now or self.now + 1)

    def data(self, version=None):
        query = f"?version={version}" if version else ""
        return self.server.request("GET", f"codex/data/{self.path}{query}")["data"]

    def metadata(self):
        return self.server.request("GET", f"codex/metadata/{self.path}")["data"]


@pytest.fixture
def shop(server):
    return Shop(server)


def test_put_stores_the_facts_beside_the_token_and_mirrors_them(shop):
    with shop.rotator() as client:
        stored = tokens.put(client, shop.place, shop.token(), now=shop.now)
    assert (stored.version, stored.settled, stored.retire_version) == (1, False, None)
    data = shop.data()["data"]
    assert data["token"] == "at-first"
    assert (data["workflow"], data["owner"]) == (shop.path, "ada")
    metadata = shop.metadata()
    assert metadata["custom_metadata"]["version"] == "1"
    assert metadata["custom_metadata"]["expires_at"] == data["expires_at"]
    assert "at-first" not in str(metadata)
    life = int(metadata["delete_version_after"].split("h")[0])
    assert 719 <= life <= 720
    assert metadata["versions"]["1"]["deletion_time"]
    entry = shop.entry()
    assert (entry.state, entry.owner, entry.workflow, entry.version) == ("valid", "ada", shop.path, 1)


def test_what_put_stored_is_what_a_run_borrows(shop, place, try_to_borrow):
    shop.path, shop.place = place.path, TokenPlace("codex", place.path)
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token("at-stored"), now=shop.now)
    token = place.token()["client_token"]
    outcome = try_to_borrow(place, place.settings(TokenAuth()), {"VAULT_TOKEN": token})
    assert outcome.borrowed.credential.secret.reveal() == "at-stored"
    assert outcome.borrowed.credential.facts.version == 2


def test_the_rotator_cannot_read_tokens_and_the_lister_cannot_write(shop):
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(), now=shop.now)
        with pytest.raises(tokens.VaultRefusal, match="403"):
            client.call("read", lambda api: api.adapter.get(f"/v1/codex/data/{shop.path}"))
        shown = client.call("read", lambda api: api.adapter.get(f"/v1/codex/subkeys/{shop.path}"))
        assert "at-first" not in str(shown)
        with pytest.raises(CredentialError, match="403"):
            tokens.put(client, TokenPlace("codex", "acme/app/other"), shop.token(), now=shop.now)
    with shop.lister() as client:
        with pytest.raises(CredentialError, match="403"):
            tokens.put(client, shop.place, shop.token(), now=shop.now)
        with pytest.raises(tokens.VaultRefusal, match="403"):
            client.call("read", lambda api: api.adapter.get(f"/v1/codex/data/{shop.path}"))


def test_an_expired_token_and_one_that_preflight_refuses_are_not_stored(shop):
    def refuse(secret):
        assert secret.reveal() == "at-first"
        raise CredentialError("no good")

    with shop.rotator() as client:
        with pytest.raises(CredentialError, match="expired at"):
            tokens.put(client, shop.place, shop.token(days=-1), now=shop.now)
        with pytest.raises(CredentialError, match="no good"):
            tokens.put(client, shop.place, shop.token(), now=shop.now, preflight=refuse)
    assert shop.entry().state == "empty"


def test_a_token_without_expiry_is_never_deleted(shop):
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(days=30), now=shop.now)
        tokens.put(client, shop.place, shop.token(days=None), now=shop.now)
    assert shop.metadata()["versions"]["2"]["deletion_time"] == ""
    assert shop.entry().expires_at is None


def test_a_put_that_somebody_overtakes_stores_nothing(shop, wire):
    with wire(shop.server.port) as line:
        overtaken = Shop(shop.server, line.address)
        overtaken.path, overtaken.place = shop.path, shop.place

        def race(request):
            if b"at-late" in request:
                with shop.rotator() as other:
                    tokens.put(other, shop.place, shop.token("at-early"), now=shop.now)
            return False

        line.swallow = race
        with overtaken.rotator() as client, pytest.raises(CredentialError, match="Another process stored version 1"):
            tokens.put(client, shop.place, overtaken.token("at-late"), now=shop.now)
    assert shop.data()["data"]["token"] == "at-early"
    assert shop.metadata()["current_version"] == 1


@pytest.mark.parametrize("raced", [False, True])
def test_a_lost_answer_is_settled_by_reading_the_version_back(shop, wire, raced):
    lost = []

    def lose_the_answer(request):
        if b"/codex/data/" not in request or lost:
            return False
        lost.append(request)
        if raced:  # somebody else's put wins; and we hear nothing of ours
            with shop.rotator() as other:
                tokens.put(other, shop.place, shop.token("at-theirs"), now=shop.now)
        return True

    with wire(shop.server.port) as line:
        ours = Shop(shop.server, line.address)
        ours.path, ours.place = shop.path, shop.place
        line.swallow = lose_the_answer
        with ours.rotator() as client:
            if raced:
                with pytest.raises(CredentialError, match="Another process"):
                    tokens.put(client, shop.place, ours.token("at-ours"), now=shop.now)
            else:
                stored = tokens.put(client, shop.place, ours.token("at-ours"), now=shop.now)
                assert stored.settled
                assert stored.version == 1
    assert shop.metadata()["current_version"] == 1
    assert shop.data()["data"]["token"] == ("at-theirs" if raced else "at-ours")
    assert shop.entry().state == "valid"
    lost, back = ours.retries
    assert "again in" in lost
    assert "answers again" in back


def test_a_put_that_never_arrived_is_told_as_not_stored(shop, wire):
    with wire(shop.server.port) as line:
        ours = Shop(shop.server, line.address)
        ours.path, ours.place = shop.path, shop.place

        def drop(request):
            if b"/codex/data/" in request:
                raise OSError  # before it is passed on
            return False

        line.swallow = drop
        with ours.rotator(retry_deadline=0.5) as client, pytest.raises(SecretStoreError, match="was not stored"):
            tokens.put(client, shop.place, ours.token(), now=shop.now)
    assert shop.entry().state == "empty"


def test_a_mirror_that_is_behind_shows_as_stale(shop):
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(), now=shop.now)
    shop.server.request("POST", f"codex/data/{shop.path}", {"data": {"token": "x"}, "options": {"cas": 1}})
    entry = shop.entry()
    assert entry.state == "stale"
    (finding,) = tokens.check(entry, now=shop.now, within=DAY)
    assert (finding.rule, finding.outcome) == (tokens.TOKEN_STATE, Outcome.REFUSED)


def test_rotate_proves_the_token_first_and_stores_nothing_where_it_fails(shop):
    calls = []

    def good(secret):
        calls.append(secret.reveal())

    def bad(secret):
        raise CredentialError("the canary died")

    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(), now=shop.now)
        new = shop.token("at-second", days=60)
        with pytest.raises(CredentialError, match="canary"):
            tokens.rotate(client, shop.place, new, now=shop.now, grace=DAY, preflight=good, canary=bad)
        assert shop.metadata()["current_version"] == 1
        assert "retire_version" not in shop.metadata()["custom_metadata"]
        stored = tokens.rotate(client, shop.place, new, now=shop.now, grace=DAY, preflight=good, canary=good)
    assert calls == ["at-second"] * 3
    assert (stored.version, stored.retire_version, stored.retire_after) == (2, 1, shop.now + DAY)
    entry = shop.entry()
    assert (entry.state, entry.live_versions, entry.retire_version) == ("valid", (1, 2), 1)
    assert shop.data(1)["data"]["token"] == "at-first"  # until it is swept


def rotated(shop, times=1, grace=DAY):
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(), now=shop.now)
        for number in range(times):
            new = shop.token(f"at-{number + 2}", days=60)
            nothing = lambda _: None  # noqa: E731
            tokens.rotate(client, shop.place, new, now=shop.now, grace=grace, preflight=nothing, canary=nothing)


def test_sweep_destroys_what_is_due_and_never_the_newest(shop):
    rotated(shop, times=2)
    with shop.rotator() as client:
        early = shop.now + DAY - 60
        assert tokens.sweep(client, [shop.entry(early)], now=early) == {}
        late = shop.now + DAY + 60
        entry = shop.entry(late)
        assert [f.rule for f in tokens.check(entry, now=late, within=DAY)] == ["token-expiry", "token-retired"]
        assert tokens.sweep(client, [entry], now=late) == {shop.place: (1, 2)}
        assert tokens.sweep(client, [shop.entry(late)], now=late) == {}
    versions = shop.metadata()["versions"]
    assert [versions[n]["destroyed"] for n in "123"] == [True, True, False]
    assert shop.data()["data"]["token"] == "at-3"


def test_a_rotation_that_died_half_way_never_costs_the_newest_version(shop):
    rotated(shop, times=0)
    # What rotate notes before it stores: the version that would be retired is still the newest one.
    custom = shop.metadata()["custom_metadata"] | {"retire_version": "1", "retire_after": "2020-01-01T00:00:00Z"}
    shop.server.request("POST", f"codex/metadata/{shop.path}", {"custom_metadata": custom})
    with shop.rotator() as client:
        assert tokens.sweep(client, [shop.entry()], now=shop.now) == {}


def test_a_plain_put_keeps_what_is_to_be_retired(shop):
    rotated(shop)
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token("at-third"), now=shop.now)
    assert shop.entry().retire_version == 1


@pytest.mark.parametrize(
    ("days", "outcome", "says"),
    [
        (30.0, Outcome.PASSED, "expires in 29d23h"),
        (6.9, Outcome.REFUSED, "expires in 6d"),
        (None, Outcome.UNJUDGED, "has no expiry"),
    ],
)
def test_check_refuses_what_is_due_to_expire(shop, days, outcome, says):
    with shop.rotator() as client:
        tokens.put(client, shop.place, shop.token(days=days), now=shop.now)
    (finding,) = tokens.check(shop.entry(), now=shop.now + 60, within=7 * DAY)
    assert finding.outcome is outcome
    assert says in finding.message
    assert "owner: ada" in finding.message


def test_vault_deletes_a_token_when_it_expires(shop):
    token = dataclasses.replace(shop.token(), expires_at=shop.now + 2)
    with shop.rotator() as client:
        tokens.put(client, shop.place, token, now=shop.now)
    deadline = time.time() + 30
    while shop.entry(time.time()).live_versions:
        assert time.time() < deadline
        time.sleep(0.1)
    entry = shop.entry(time.time())
    assert entry.state == "expired"
    assert tokens.check(entry, now=time.time(), within=0)[0].outcome is Outcome.REFUSED
    with pytest.raises(SecretStoreError, match="404"):
        shop.data()


def test_an_expiry_that_cannot_be_read_is_refused(shop):
    rotated(shop, times=0)
    custom = shop.metadata()["custom_metadata"] | {"expires_at": "someday"}
    shop.server.request("POST", f"codex/metadata/{shop.path}", {"custom_metadata": custom})
    assert tokens.check(shop.entry(), now=shop.now, within=DAY)[0].outcome is Outcome.REFUSED


def test_list_finds_every_path_below_a_prefix_with_the_listers_rights_alone(shop):
    base = shop.path
    for ending in ("one", "two/deep"):
        shop.path, shop.place = f"{base}/{ending}", TokenPlace("codex", f"{base}/{ending}")
        rotated(shop, times=0)
    with shop.lister() as client:
        entries = tokens.list_tokens(client, "codex", now=shop.now, prefix=base)
        assert [entry.place.path for entry in entries] == [f"{base}/one", f"{base}/two/deep"]
        everything = tokens.list_tokens(client, "codex", now=shop.now)
        assert set(entries) <= set(everything)
        assert tokens.list_tokens(client, "codex", now=shop.now, prefix="acme/none") == ()
    with shop.rotator() as client, pytest.raises(CredentialError, match="list codex/metadata"):
        tokens.list_tokens(client, "codex", now=shop.now)


def test_destroy_removes_every_version(shop):
    rotated(shop)
    with shop.rotator() as client:
        assert tokens.destroy(client, shop.place) == (1, 2)
        assert tokens.destroy(client, shop.place) == ()
        assert shop.entry().state == "destroyed"
    other = Shop(shop.server)
    with other.rotator() as client, pytest.raises(CredentialError, match="no token"):
        tokens.destroy(client, other.place)
