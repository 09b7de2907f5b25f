"""What borrowing leaves behind: nothing. Whatever the ending, the login is revoked, or the failure is loud."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from codex_runner.cli.signals import Interruption
from codex_runner.domain.credential import UserpassAuth
from codex_runner.domain.errors import CredentialError, SecretStoreError
from codex_runner.engine import credential_rules as rules
from codex_runner.text.dates import format_date
from codex_runner.vault.lease import borrow, logged_in

pytestmark = pytest.mark.needs_vault


@pytest.fixture(scope="session")
def userpass(server):
    server.request("POST", "sys/auth/userpass-lease", {"type": "userpass"})


@pytest.fixture
def borrower(place, userpass, try_to_borrow):
    """Borrow on a place with a user of its own; `changes` are those of the user's role."""

    def go(settings=None, spec=None, **changes):
        user = place.role_settings(password="p") | changes
        place.server.request("POST", f"auth/userpass-lease/users/{place.name}", user)
        auth = UserpassAuth(place.name, mount="userpass-lease")
        return try_to_borrow(place, place.settings(auth, **(settings or {})), {"VAULT_PASSWORD": "p"}, spec=spec)

    return go


def test_the_login_is_revoked_before_the_credential_is_handed_out(place, borrower, given_back):
    outcome = borrower()
    assert given_back(place, outcome)
    assert place.logins == []
    assert outcome.events[-1].name == "vault-revocation"


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"workflow": "acme/app/other"}, rules.WORKFLOW),
        ({"workflow": None}, rules.WORKFLOW),
        ({"expires_at": None}, rules.EXPIRY),
        ({"expires_at": "2020-01-01T00:00:00Z", "issued_at": "2019-01-01T00:00:00Z"}, rules.EXPIRY),
        ({"expires_at": "next week"}, rules.DATES),
        ({"expires_at": 1_900_000_000}, rules.DATES),
    ],
)
def test_an_unfit_token_is_refused_by_name_and_the_login_revoked(place, borrower, fields, rule):
    place.put(**fields)
    outcome = borrower()
    assert isinstance(outcome.error, CredentialError)
    assert f"[{rule}]" in outcome.error.message
    assert not outcome.guards[rule].passed
    assert outcome.guards["vault-revocation"].passed
    assert place.logins == []


def test_a_token_near_its_end_runs_with_a_warning(place, borrower):
    place.put(expires_at=format_date(time.time() + 86400))
    outcome = borrower()
    assert outcome.error is None
    assert rules.LIFETIME in outcome.warnings
    assert outcome.guards[rules.LIFETIME].passed


def test_a_token_that_expires_between_read_and_start_is_caught_when_judged_again(place, borrower):
    place.put(expires_at=format_date(time.time() + 400))
    facts = borrower().borrowed.credential.facts
    late = dataclasses.replace(place.occasion, now=place.occasion.now + 120)
    with pytest.raises(CredentialError, match="credential-lifetime"):
        rules.require(rules.judge_credential(facts, place.spec, late))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"token": None}, "no text in its field 'token'"),
        ({"token": ""}, "is empty"),
        ({"token": {"nested": "x"}}, "no text in its field"),
        ({"token": "two words"}, "white space"),
        ({"token": "line\nbreak"}, "a line break"),
    ],
)
def test_what_is_no_token_is_refused(place, borrower, fields, says):
    place.put(**fields)
    outcome = borrower()
    assert isinstance(outcome.error, CredentialError)
    assert says in outcome.error.message
    assert "two words" not in outcome.text
    assert outcome.guards["vault-revocation"].passed


def test_white_space_round_a_token_is_taken_off(place, borrower):
    place.put(token="  at-padded\n")
    assert borrower().borrowed.credential.secret.reveal() == "at-padded"


def test_missing_deleted_and_destroyed_versions_are_told_apart(place, borrower):
    server, path = place.server, place.path
    server.request("DELETE", f"codex/data/{path}")
    assert "deleted" in borrower().error.message
    server.request("POST", f"codex/destroy/{path}", {"versions": [1]})
    assert "destroyed" in borrower().error.message
    server.request("DELETE", f"codex/metadata/{path}")
    outcome = borrower()
    assert f"nothing at codex/{path}" in outcome.error.message
    assert "token put" in outcome.error.remedy


def test_a_deleted_newest_version_never_falls_back_to_an_older_one(place, borrower):
    place.put(token="at-second")
    place.server.request("DELETE", f"codex/data/{place.path}")
    assert isinstance(borrower().error, CredentialError)


def test_a_batch_login_is_refused_unless_allowed(place, borrower, secret_token):
    outcome = borrower(token_type="batch")
    assert isinstance(outcome.error, CredentialError)
    assert "allow_batch" in outcome.error.remedy
    assert not outcome.guards["vault-login-type"].passed
    outcome = borrower(token_type="batch", spec=dataclasses.replace(place.spec, allow_batch=True))
    assert outcome.borrowed.credential.secret.reveal() == secret_token
    assert "cannot be revoked" in outcome.warnings["vault-login-type"].message
    assert outcome.guards["vault-revocation"].outcome == "not judged"


def test_a_login_of_one_use_is_spent_by_the_read(place, borrower):
    outcome = borrower(token_num_uses=1)
    assert outcome.error is None
    assert outcome.guards["vault-revocation"].passed
    assert "its use is spent" in outcome.guards["vault-revocation"].message
    deadline = time.monotonic() + 120
    while place.logins:  # the server clears away beside its answer
        assert time.monotonic() < deadline


def test_a_policy_without_revoke_self_is_a_loud_refusal(place, borrower):
    place.policy(f'path "codex/data/{place.path}" {{ capabilities = ["read"] }}')
    outcome = borrower()
    (accessor,) = place.logins
    assert isinstance(outcome.error, CredentialError)
    assert outcome.borrowed is None
    guard = outcome.guards["vault-revocation"]
    assert not guard.passed
    for text in (guard.message, outcome.error.message + outcome.error.remedy):
        assert accessor in text
        assert f"vault token revoke -accessor {accessor}" in text or text is outcome.error.message
        assert "auth/token/revoke-self" in text
        assert "up to 5m" in text
    place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_a_failed_revocation_does_not_hide_the_first_problem(place, borrower):
    place.policy(f'path "codex/data/{place.path}" {{ capabilities = ["read"] }}')
    place.put(workflow="acme/app/other")
    outcome = borrower()
    assert "[credential-workflow]" in outcome.error.message
    assert "Besides:" in outcome.error.message
    assert not outcome.guards["vault-revocation"].passed


def test_a_revocation_whose_answer_was_lost_is_not_judged(place, borrower, wire):
    """Vault refuses the login afterwards, as it refuses a live one too: nothing proves that it is dead."""
    seen = []

    def swallow(request):
        if b"revoke-self" in request and not seen:
            seen.append(request)
            return True
        return False

    with wire(place.server.port) as line:
        line.swallow = swallow
        outcome = borrower(settings={"address": line.address})
    assert outcome.error is None
    assert len(outcome.retries) == 2
    guard, warning = outcome.guards["vault-revocation"], outcome.warnings["vault-revocation"]
    assert guard.outcome == "not judged"
    accessor = outcome.borrowed.credential.facts.accessor
    assert accessor in guard.message
    assert f"vault token revoke -accessor {accessor}" in warning.message
    assert re.search(r"until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", warning.message)
    assert place.logins == []


def test_a_server_that_goes_away_before_the_revocation_is_loud(place, borrower, wire):
    with wire(place.server.port) as line:

        def cut(request):
            if b"revoke-self" in request:
                line.close()
                raise OSError
            return False

        line.swallow = cut
        outcome = borrower(settings={"address": line.address, "revoke_deadline": 1.0})
    (accessor,) = place.logins
    assert isinstance(outcome.error, SecretStoreError)
    assert accessor in outcome.error.message
    assert not outcome.guards["vault-revocation"].passed
    place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_a_login_whose_answer_was_lost_is_warned_of(place, borrower, wire):
    seen = []

    def swallow(request):
        if b"/login/" in request and not seen:
            seen.append(request)
            return True
        return False

    with wire(place.server.port) as line:
        line.swallow = swallow
        outcome = borrower(settings={"address": line.address})
    assert outcome.error is None
    assert "vault-lost-login" in outcome.warnings
    for accessor in place.logins:
        place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_cancelled_in_mid_read_the_login_is_revoked_before_the_caller_goes_on(place, borrower, wire):
    borrower()  # makes the user
    settings = place.settings(UserpassAuth(place.name, mount="userpass-lease"))
    before = len(place.server.audit())

    async def go(line):
        settings_ = dataclasses.replace(settings, address=line.address)
        task = asyncio.create_task(
            borrow(place.spec, settings_, place.occasion, environment={"VAULT_PASSWORD": "p"}, on_event=events.append)
        )

        def slow(request):
            if b"/data/" in request:
                loop.call_soon_threadsafe(task.cancel)
                time.sleep(0.3)
            return False

        loop = asyncio.get_running_loop()
        line.swallow = slow
        with pytest.raises(asyncio.CancelledError):
            await task

    events = []
    with wire(place.server.port) as line:
        asyncio.run(go(line))
    assert place.logins == []
    assert [e["request"]["path"] for e in place.server.audit()[before:]].count("auth/token/revoke-self") >= 1
    assert events[-1].name == "vault-revocation"
    assert events[-1].passed


@pytest.mark.parametrize("hangs", [b"/login/", b"revoke-self"])
def test_cancelled_while_vault_hangs_it_is_said_what_may_live_on(place, borrower, wire, hangs):
    borrower()  # makes the user
    settings = place.settings(UserpassAuth(place.name, mount="userpass-lease"))
    events, over = [], threading.Event()

    async def go(line):
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(
            borrow(
                place.spec,
                dataclasses.replace(settings, address=line.address),
                place.occasion,
                environment={"VAULT_PASSWORD": "p"},
                on_event=events.append,
            )
        )

        def hang(request):
            if hangs in request:
                loop.call_soon_threadsafe(task.cancel)
                over.wait(120)
            return False

        line.swallow = hang
        with pytest.raises(asyncio.CancelledError):
            await task

    with wire(place.server.port) as line:
        asyncio.run(go(line))
        over.set()
    if hangs == b"/login/":
        assert (events[-1].kind, events[-1].code) == ("warning", "vault-lost-login")
    else:
        assert (events[-1].name, events[-1].passed) == ("vault-revocation", False)
        assert "vault token revoke -accessor" in events[-1].message
    for accessor in place.logins:
        place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_an_interrupt_does_not_keep_a_command_from_giving_its_login_back(place, borrower, wire):
    borrower()  # makes the user
    settings = place.settings(UserpassAuth(place.name, mount="userpass-lease"))
    seen = []

    def cut(request):
        if b"revoke-self" in request and not seen:
            seen.append(request)
            os.kill(os.getpid(), signal.SIGINT)
            raise OSError
        return False

    with wire(place.server.port) as line:
        line.swallow = cut
        with (
            pytest.raises(KeyboardInterrupt),
            logged_in(dataclasses.replace(settings, address=line.address), {"VAULT_PASSWORD": "p"}, Interruption()),
        ):
            assert len(place.logins) == 1
    assert seen
    assert place.logins == []


def test_an_older_version_is_denied_to_the_login(place, borrower):
    token = place.token()["client_token"]
    place.put()
    request = urllib.request.Request(
        f"{place.server.address}/v1/codex/data/{place.path}?version=1", headers={"X-Vault-Token": token}
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=5)
    assert raised.value.code == 403
    raised.value.close()


def test_secrets_do_not_stand_in_the_audit_log(place, borrower, secret_token):
    assert borrower().error is None
    assert secret_token not in place.server.audit_file.read_text()


def test_a_command_gives_its_login_back_whatever_its_end(place, borrower):
    borrower()  # makes the user
    settings = place.settings(UserpassAuth(place.name, mount="userpass-lease"))
    events = []
    with logged_in(settings, {"VAULT_PASSWORD": "p"}, Interruption(), on_event=events.append) as client:
        assert len(place.logins) == 1
        assert client.health().sealed is False
    with (
        pytest.raises(ZeroDivisionError),
        logged_in(settings, {"VAULT_PASSWORD": "p"}, Interruption(), on_event=events.append),
    ):
        raise ZeroDivisionError
    assert [event.passed for event in events] == [True, True]
    assert place.logins == []


def test_what_runs_before_a_job_is_known_loads_no_vault_library():
    program = (
        "import sys, codex_runner.app.credentials, codex_runner.app.run, codex_runner.engine.credential_rules\n"
        "import codex_runner.credentials.local\n"
        "sys.exit(', '.join({'hvac', 'requests', 'httpx', 'tenacity', 'pydantic'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
