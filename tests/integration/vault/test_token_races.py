"""Putting, rotating, sweeping and destroying beside another writer, a kill, and a Vault that refuses half-way."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import time

import pytest
from support import commands
from support.gate import Gate

from codex_runner.domain.credential import Outcome, TokenAuth, VaultSettings
from codex_runner.domain.errors import CredentialError, SecretStoreError, UsageError
from codex_runner.domain.secret import Secret
from codex_runner.text.dates import format_date, parse_date
from codex_runner.vault import setup, tokens
from codex_runner.vault.client import VaultClient
from codex_runner.vault.tokens import NewToken, TokenPlace

pytestmark = pytest.mark.needs_vault

HOUR, DAY = 3600.0, 86400.0
REFUSED = (403, '{"errors": ["1 error occurred:\\n\\t* permission denied\\n\\n"]}')
OLD_ROTATOR = '"create", "read", "update"'  # what `vault setup` granted on metadata before merge patches


class Writer:
    """A workflow's place behind a gate, and clients with the rotator's rights."""

    def __init__(self, server, gate, name):
        self.server, self.gate = server, gate
        self.path = f"acme/app/{name}"
        self.place = TokenPlace("codex", self.path)
        self.now = time.time()
        self.told = []
        self.policy = f"rotator-{name}"
        self.allow(setup.rotator_policy("codex", self.path))
        body = {"policies": [self.policy], "no_default_policy": True, "ttl": "600s"}
        self.vault_token = server.request("POST", "auth/token/create-orphan", body)["auth"]["client_token"]

    def allow(self, text):
        self.server.request("PUT", f"sys/policies/acl/{self.policy}", {"policy": text})

    def client(self, address=None, **settings):
        settings = VaultSettings(address=address or self.server.address, auth=TokenAuth(), **settings)
        client = VaultClient(settings, {})
        client.use(Secret("VAULT_TOKEN", self.vault_token))
        return client

    def token(self, value, days=30.0, **changes):
        token = NewToken(
            Secret("CODEX_ACCESS_TOKEN", value), self.path, f"owner of {value}", self.now - 60, self.now + days * DAY
        )
        return dataclasses.replace(token, **changes)

    def put(self, value, days=30.0, *, through=False, retire_after=None, now=None, **changes):
        address = self.gate.address if through else None
        with self.client(address, retry_deadline=1.0) as client:
            return tokens.put(
                client,
                self.place,
                self.token(value, days, **changes),
                now=now or self.now,
                retire_after=retire_after,
                tell=self.told.append,
            )

    def entry(self, now=None):
        with self.client() as client:
            return tokens.entry_of(client, self.place, now=now or self.now + 1)

    def findings(self, now=None, within=DAY):
        now = now or self.now + 1
        return {found.rule: found for found in tokens.check(self.entry(now), now=now, within=within)}

    def data(self, version=0):
        return self.server.request("GET", f"codex/data/{self.path}?version={version}")["data"]["data"]

    def metadata(self):
        return self.server.request("GET", f"codex/metadata/{self.path}")["data"]

    def stored(self):
        """How many versions there are."""
        try:
            return self.metadata()["current_version"]
        except SecretStoreError:
            return 0

    def check_newest(self, value):
        """The newest version is this token, its facts are its own, and Vault keeps it as long as it is good."""
        entry, data = self.entry(), self.data()
        assert data["token"] == value
        assert (entry.state, entry.owner) == ("valid", f"owner of {value}")
        assert entry.expires_at == data["expires_at"]
        assert entry.deleted_at is None or parse_date(entry.deleted_at) >= parse_date(entry.expires_at) - 2


def only_once(step, do):
    """Do something before the first request of a step is passed on."""
    done = []

    def before(asked):
        if asked.step == step and not done:
            done.append(asked)
            return do()
        return None

    return before


@pytest.fixture
def gate(server):
    with Gate(server.port) as gate:
        yield gate


@pytest.fixture
def writer(server, gate, place):
    return Writer(server, gate, f"race-{place.name}")


def other_life(writer, seconds=3600):
    """What a put that then loses has done so far."""
    writer.server.request("POST", f"codex/metadata/{writer.path}", {"delete_version_after": f"{seconds}s"})


def test_the_lifetime_of_another_put_does_not_fall_on_ours(writer, gate):
    gate.before = only_once("POST data", lambda: other_life(writer))
    stored = writer.put("at-month", 30, through=True, retire_after=writer.now + DAY)
    writer.check_newest("at-month")
    assert stored.deleted_at is None
    assert stored.version == 2, "what Vault would have deleted in an hour is followed by the same token"
    assert writer.entry().retirements == ((1, format_date(writer.now + DAY)),)


def test_a_put_that_dies_with_anothers_lifetime_on_it_is_seen(writer, gate):
    """It has said nothing, and `token check` is red until the token is stored again."""
    gate.before = only_once("POST data", lambda: other_life(writer))
    gate.after = lambda asked: REFUSED if asked.step == "GET metadata" and "POST data" in gate.steps else None
    with pytest.raises(CredentialError) as raised:
        writer.put("at-month", 30, through=True)
    assert "is stored, as version 1" in raised.value.message
    assert writer.findings()["token-state"].outcome is Outcome.REFUSED
    facts = {"custom_metadata": {**writer.token("at-month").facts, "version": "1"}}
    writer.server.request("POST", f"codex/metadata/{writer.path}", facts)
    found = writer.findings()["token-expiry"]
    assert (found.outcome, "Vault deletes" in found.message) == (Outcome.REFUSED, True)


def test_a_mount_that_keeps_nothing_for_long_is_told_and_not_fought(writer, server):
    server.request("POST", "sys/mounts/short", {"type": "kv", "options": {"version": "2"}})
    deadline = time.monotonic() + 120
    while True:  # a new mount refuses for some milliseconds
        try:
            server.request("POST", "short/config", {"delete_version_after": "1h"})
            break
        except SecretStoreError:
            assert time.monotonic() < deadline
    writer.allow(setup.rotator_policy("short", writer.path))
    place = TokenPlace("short", writer.path)
    with writer.client() as client:
        stored = tokens.put(client, place, writer.token("at-month"), now=writer.now)
        assert abs(stored.deleted_at - (time.time() + HOUR)) < 120
        found = tokens.check(tokens.entry_of(client, place, now=writer.now), now=writer.now, within=60)
    assert (found[0].rule, found[0].outcome) == ("token-expiry", Outcome.WARNED)
    server.request("DELETE", "sys/mounts/short")


def test_a_put_that_loses_leaves_the_winner_as_it_is(writer, gate):
    seen = []

    def win():
        writer.put("at-winner", 60)
        seen.append(writer.metadata())

    gate.before = only_once("POST data", win)
    with pytest.raises(CredentialError, match="Another process stored version 1"):
        writer.put("at-loser", 1 / 24, through=True)
    assert writer.metadata() == seen[0]
    writer.check_newest("at-winner")


@pytest.mark.parametrize("rights", ["new", "old"])
def test_facts_that_arrive_late_are_nobody_elses(writer, gate, rights):
    """A put is held before it notes its facts; another one comes and goes, and then the first goes on."""
    later = writer.now + 2 * DAY
    if rights == "old":
        writer.allow(setup.rotator_policy("codex", writer.path).replace(f'{OLD_ROTATOR}, "patch"', OLD_ROTATOR))
    gate.before = only_once("PATCH metadata", lambda: writer.put("at-second", 60, retire_after=later) and None)
    first = writer.put("at-first", 30, through=True, retire_after=writer.now + DAY)
    assert first.version == 1
    assert writer.data()["token"] == "at-second"
    entry = writer.entry()
    if rights == "new":
        writer.check_newest("at-second")
        assert entry.retirements == ((1, format_date(later)),)
    else:
        assert (entry.state, entry.owner) in {("valid", "owner of at-second"), ("stale", "owner of at-first")}


def test_puts_in_processes_of_their_own(writer, tmp_path):
    """Six at once: what says that it stored a version has, with its own facts, and for as long as it says."""
    environ = {"HOME": str(tmp_path), "VAULT_ADDR": writer.server.address, "VAULT_TOKEN": writer.vault_token}
    processes = {}
    for number in range(6):
        days = 1 if number % 2 else 40 + number
        arguments = ("put", writer.path, "--owner", f"owner of sk-{number}", "--expires", f"{days}d", "--json")
        process = commands.start("token", *arguments, cwd=tmp_path, environ=environ, stdin=subprocess.PIPE)
        process.stdin.write(f"sk-{number}".encode())
        process.stdin.close()
        process.stdin = None
        processes[number] = process
    said = {number: (process.communicate(timeout=60), process.returncode) for number, process in processes.items()}
    stored = {json.loads(out)["version"]: number for number, ((out, _), code) in said.items() if code == 0}
    assert stored
    assert len(stored) == len([code for _, code in said.values() if code == 0])
    for (_, error), code in said.values():
        assert code == 0 or (code == 4 and b"this token was not stored" in error), error
    versions = writer.metadata()["versions"]
    for version, number in stored.items():
        assert writer.data(version)["token"] == f"sk-{number}"
        gone, ends = versions[str(version)]["deletion_time"], writer.data(version)["expires_at"]
        told = json.loads(said[number][0][0])  # a later put may have set its own life, and then it says so
        assert not gone or parse_date(gone) >= parse_date(ends) - 2 or (told["deleted_at"] and told["followed_by"])
    writer.check_newest(f"sk-{stored[max(stored)]}")
    assert writer.entry().version == max(stored)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"owner": ""}, "The owner of the token is empty"),
        ({"owner": "o" * 600}, "The owner of the token has 600 bytes"),
        ({"owner": "é" * 300}, "The owner of the token has 600 bytes"),
        ({"owner": "ada\u200b"}, "unprintable"),
        ({"owner": "ada\nben"}, "unprintable"),
        ({"owner": "\ud800"}, "unprintable"),
        ({"workflow": "w" * 513}, "The workflow of the token has 513 bytes"),
        ({"field": "owner"}, "is reserved for facts about the token"),
        ({"field": "put.1"}, "is reserved for facts about the token"),
        ({"issued_at": time.time() + 3 * DAY}, "lies in the future"),
        ({"issued_at": time.time() + 200, "expires_at": time.time() + 100}, "not after it is issued"),
    ],
)
def test_what_vault_or_a_run_would_refuse_is_refused_before_anything_is_stored(writer, gate, changes, told):
    if "expires_at" in changes:
        writer.now = changes["expires_at"] - 100
    with pytest.raises((CredentialError, UsageError), match=told):
        writer.put("at-bad", through=True, **changes)
    assert gate.asked == []


@pytest.mark.parametrize("number", range(7))
def test_a_refusal_at_any_step_leaves_what_is_said(writer, gate, number):
    """Each request of a put in turn is refused; what the error says is what Vault has, and storing again repairs it."""
    writer.put("at-before", 30)
    gate.asked.clear()
    gate.before = lambda _: REFUSED if len(gate.asked) == number + 1 else None
    error = None
    try:
        writer.put("at-new", 60, through=True, retire_after=writer.now + DAY)
    except CredentialError as raised:
        error = raised
    is_stored = writer.data()["token"] == "at-new"
    assert writer.stored() == 1 + is_stored
    assert writer.data(1)["token"] == "at-before"
    if error is None:
        assert number >= 5, "a patch that is refused has another way, and there are six requests"
        writer.check_newest("at-new")
    else:
        assert ("is stored, as version 2" in error.message) is is_stored
        assert writer.entry().state == ("stale" if is_stored else "valid")
    writer.put("at-new", 60, retire_after=writer.now + DAY)
    writer.check_newest("at-new")
    assert max(writer.entry().retirements)[0] == writer.stored() - 1


@pytest.mark.parametrize("answer", [(502, "bad gateway"), (500, '{"errors": []}'), (403, "<h1>Forbidden</h1>")])
def test_a_proxy_that_fails_after_it_has_passed_the_token_on(writer, gate, answer):
    """The token is stored, and no other put is blamed."""
    lost = []

    def after(asked):
        if asked.step == "POST data" and not lost:
            lost.append(asked)
            return answer
        return None

    gate.after = after
    stored = writer.put("at-new", through=True)
    assert (stored.version, stored.settled) == (1, True)
    writer.check_newest("at-new")


def test_without_an_answer_at_all_it_says_that_it_does_not_know(writer, gate):
    gate.after = lambda asked: (502, "bad gateway") if asked.step in {"POST data", "GET subkeys"} else None
    with pytest.raises(SecretStoreError) as raised:
        writer.put("at-new", through=True)
    assert "unknown whether the token was stored" in raised.value.message
    assert writer.data()["token"] == "at-new"


def test_a_refusal_after_a_lost_answer_is_not_taken_for_nothing_stored(writer, gate):
    """The token is there already; the right to store has gone since."""
    answers = [(502, "bad gateway"), REFUSED]

    def before(asked):
        stores = asked.step == "POST data" and gate.steps.count("POST data") == 2
        return answers[1] if stores else None

    gate.before = before
    gate.after = lambda asked: answers[0] if asked.step == "POST data" and gate.steps.count("POST data") == 1 else None
    stored = writer.put("at-new", through=True)
    assert (stored.version, stored.settled) == (1, True)
    writer.check_newest("at-new")


@pytest.mark.parametrize(("number", "steps"), [(signal.SIGKILL, (2, 3, 4, 6)), (signal.SIGINT, (3, 4, 6))])
def test_a_put_that_is_ended_at_any_step(writer, gate, tmp_path, number, steps):
    """Whatever has been done by then, nothing good is lost, what is stored is said, and the next put repairs it."""
    writer.put("at-before")
    environ = {"HOME": str(tmp_path), "VAULT_ADDR": gate.address, "VAULT_TOKEN": writer.vault_token}
    arguments = ("token", "put", writer.path, "--owner", "ben", "--expires", "60d")
    ended = []
    running = []
    for at in steps:
        gate.asked.clear()
        gate.before = lambda _, at=at: running[-1].send_signal(number) if len(gate.asked) == at else None
        before = writer.stored()
        running.append(commands.start(*arguments, cwd=tmp_path, environ=environ, stdin=subprocess.PIPE))
        _, error = running[-1].communicate(f"sk-{at}".encode(), timeout=60)
        ended.append(running[-1].returncode)
        after = writer.stored()
        assert after - before in {0, 1}
        assert writer.data()["token"] == (f"sk-{at}" if after > before else writer.data(before)["token"])
        if running[-1].returncode == 130 and after > before:
            assert f"version {after} of".encode() in error
        assert writer.entry().state == ("valid" if after == before or writer.entry().owner == "ben" else "stale")
        writer.put("at-again")
        writer.check_newest("at-again")
        assert max(writer.entry().retirements, default=(0,))[0] in {0, before}
    assert ended.count(-9 if number == signal.SIGKILL else 130) >= len(steps) - 1


def test_rotated_more_often_than_the_grace_is_long_old_versions_are_swept(writer):
    """Each rotation pushed out the end of all versions before, so that it never came."""
    swept = []
    for night in range(5):
        now = writer.now + 0.9 * night * DAY
        with writer.client() as client:
            swept.append(tokens.sweep(client, [writer.entry(now)], now=now).get(writer.place))
        writer.put(f"at-{night}", 60, now=now, retire_after=now + DAY)
    assert swept == [None, None, None, (1,), (2,)]
    assert writer.entry(now).live_versions == (3, 4, 5)


def test_more_rotations_than_vault_has_room_for(writer, server):
    server.request("POST", f"codex/metadata/{writer.path}", {"max_versions": 80})
    for number in range(40):
        writer.put(f"at-{number}", 60, retire_after=writer.now + DAY + number)
    entry = writer.entry(writer.now + 10 * DAY)
    assert len(entry.retirements) == 30
    with writer.client() as client:
        late = writer.now + 10 * DAY
        assert tokens.sweep(client, [entry], now=late) == {writer.place: tuple(range(1, 40))}
    writer.check_newest("at-39")


def test_old_versions_that_nothing_retires_are_told(writer):
    writer.put("at-old")
    writer.put("at-new")
    found = writer.findings()["token-retired"]
    assert (found.outcome, "old version 1," in found.message) == (Outcome.WARNED, True)
    writer.put("at-newer", retire_after=writer.now + DAY)
    assert "token-retired" not in writer.findings()


def test_a_date_of_issue_in_the_future_is_no_green(writer):
    """As a put of an earlier version stored it."""
    writer.put("at-one")
    custom = writer.metadata()["custom_metadata"]
    for dates in ({"issued_at": "2099-01-01T00:00:00Z"}, {"issued_at": "soon"}, {"issued_at": custom["expires_at"]}):
        body = {"custom_metadata": {**custom, **dates}}
        writer.server.request("POST", f"codex/metadata/{writer.path}", body)
        assert writer.findings()["token-dates"].outcome is Outcome.REFUSED


def test_a_sweep_that_is_refused_at_one_place_sweeps_the_others_and_says_so(server, gate, place):
    first, second, third = (Writer(server, gate, f"{number}-{place.name}") for number in "abc")
    for each in (first, second, third):
        each.put("at-old")
        each.put("at-new", retire_after=each.now + 1)
    late = first.now + 60
    rights = "\n".join(setup.rotator_policy("codex", each.path) for each in (first, third))
    first.allow(rights)
    told = []
    entries = [each.entry(late) for each in (first, second, third)]
    with first.client() as client, pytest.raises(CredentialError, match=f"destroy versions 1 of codex/{second.path}"):
        tokens.sweep(client, entries, now=late, tell=told.append)
    assert told == [f"destroyed the retired version 1 of codex/{each.path}" for each in (first, third)]
    assert [each.entry(late).live_versions for each in (first, second, third)] == [(2,), (1, 2), (2,)]


def test_a_version_that_is_stored_while_all_are_destroyed(writer, gate):
    writer.put("at-old")
    gate.before = only_once("POST destroy", lambda: writer.put("at-new") and None)
    with writer.client(gate.address) as client, pytest.raises(CredentialError, match="stored version 2 meanwhile"):
        tokens.destroy(client, writer.place)
    assert writer.data()["token"] == "at-new"
    with writer.client() as client:
        assert tokens.destroy(client, writer.place, up_to=1) == ()
        assert tokens.destroy(client, writer.place) == (2,)
