"""The rules that a credential must pass: each refusal by its name, and what passes."""

from __future__ import annotations

import dataclasses

import pytest

from codex_runner.domain.credential import CredentialFacts, CredentialKind, CredentialSource, CredentialSpec, Outcome
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.engine import credential_rules as rules
from codex_runner.engine.credential_rules import CredentialUse, judge_credential
from codex_runner.text.dates import format_date, parse_date

NOW = parse_date("2026-03-01T12:00:00Z")
DAY = 86400.0
OCCASION = CredentialUse(workflow="acme/app/release-notes", timeout=1800.0, now=NOW)
SPEC = CredentialSpec(path="acme/app/release-notes")
GOOD = CredentialFacts(
    source="vault",
    place="codex/acme/app/release-notes",
    workflow="acme/app/release-notes",
    owner="ada",
    issued_at="2026-02-20T00:00:00Z",
    expires_at="2026-03-20T00:00:00Z",
)


def outcomes(facts=GOOD, spec=SPEC, occasion=OCCASION):
    return {finding.rule: finding.outcome for finding in judge_credential(facts, spec, occasion)}


def refusals(facts=GOOD, spec=SPEC, occasion=OCCASION):
    return {rule for rule, outcome in outcomes(facts, spec, occasion).items() if outcome is Outcome.REFUSED}


def facts(**changes):
    return dataclasses.replace(GOOD, **changes)


def spec(**changes):
    return dataclasses.replace(SPEC, **changes)


def test_a_good_credential_passes_every_rule_and_says_so():
    assert outcomes(spec=spec(max_age=30 * DAY)) == dict.fromkeys(rules.RULES, Outcome.PASSED)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"workflow": "acme/app/other"}, rules.WORKFLOW),
        ({"workflow": "ACME/app/release-notes"}, rules.WORKFLOW),
        ({"workflow": "acme/app/release-notes2"}, rules.WORKFLOW),
        ({"workflow": None}, rules.WORKFLOW),
        ({"workflow": ""}, rules.WORKFLOW),
        ({"expires_at": None}, rules.EXPIRY),
        ({"expires_at": "2026-03-01T11:59:59Z"}, rules.EXPIRY),
        ({"expires_at": "2026-03-01T12:00:00Z"}, rules.EXPIRY),
        ({"expires_at": "2026-03-01T12:34:59Z"}, rules.LIFETIME),
        ({"expires_at": "soon"}, rules.DATES),
        ({"expires_at": ""}, rules.DATES),
        ({"expires_at": "2026-03-20T00:00:00"}, rules.DATES),
        ({"expires_at": "2026-03-20"}, rules.DATES),
        ({"expires_at": "1774000000"}, rules.DATES),
        ({"issued_at": "yesterday"}, rules.DATES),
        ({"issued_at": "2026-03-01T12:06:00Z"}, rules.DATES),
        ({"issued_at": "2026-02-01T00:00:00Z", "expires_at": "2026-01-01T00:00:00Z"}, rules.DATES),
    ],
)
def test_each_flaw_is_refused_under_its_rules_name(changes, rule):
    assert rule in refusals(facts(**changes))


def test_a_life_that_just_covers_timeout_and_margin_is_enough():
    assert refusals(facts(expires_at="2026-03-01T12:35:00Z")) == set()


def test_min_ttl_asks_for_more_life_and_never_for_less():
    short = facts(expires_at="2026-03-01T12:40:00Z")
    assert refusals(short, spec(min_ttl=45 * 60.0)) == {rules.LIFETIME}
    assert refusals(facts(expires_at="2026-03-01T12:20:00Z"), spec(min_ttl=1.0)) == {rules.LIFETIME}


def test_a_life_shorter_than_warn_ttl_runs_with_a_warning():
    assert outcomes(facts(expires_at="2026-03-03T12:00:00Z"))[rules.LIFETIME] is Outcome.WARNED
    assert outcomes(facts(expires_at="2026-03-05T12:00:00Z"))[rules.LIFETIME] is Outcome.PASSED


def test_no_expiry_passes_only_where_the_job_allows_it():
    assert refusals(facts(expires_at=None), spec(allow_unexpiring=True)) == set()
    expired = facts(expires_at="2026-02-25T00:00:00Z")
    assert refusals(expired, spec(allow_unexpiring=True)) == {rules.EXPIRY}


def test_max_age_refuses_the_old_and_those_that_do_not_say():
    assert refusals(spec=spec(max_age=9.0 * DAY)) == {rules.AGE}
    assert refusals(spec=spec(max_age=10.0 * DAY)) == set()
    assert refusals(facts(issued_at=None), spec(max_age=DAY)) == {rules.AGE}
    assert rules.AGE not in outcomes(facts(issued_at="never"), spec(max_age=DAY))


def test_a_clock_that_is_a_little_behind_is_forgiven():
    assert refusals(facts(issued_at="2026-03-01T12:04:00Z"), spec(max_age=DAY)) == set()


def test_the_same_credential_is_refused_when_judged_again_too_late():
    late = dataclasses.replace(OCCASION, now=parse_date("2026-03-19T23:50:00Z"))
    assert refusals() == set()
    assert refusals(occasion=late) == {rules.LIFETIME}


def test_where_the_source_keeps_no_facts_only_what_is_known_is_judged():
    bare = CredentialFacts(source="env", place="$CODEX_ACCESS_TOKEN")
    loose = dataclasses.replace(OCCASION, complete=False)
    assert outcomes(bare, SPEC, loose) == {rules.EXPIRY: Outcome.UNJUDGED}
    expired = dataclasses.replace(bare, expires_at="2026-02-25T00:00:00Z")
    assert refusals(expired, SPEC, loose) == {rules.EXPIRY}
    remedies = {finding.remedy for finding in rules.judge_credential(expired, SPEC, loose)}
    assert not [remedy for remedy in remedies if "codex-runner token" in remedy], "nothing in Vault is meant"
    assert refusals(dataclasses.replace(bare, expires_at="?"), SPEC, loose) == {rules.DATES}
    assert refusals(dataclasses.replace(bare, workflow="x"), SPEC, loose) == {rules.WORKFLOW}


def test_require_names_every_rule_that_refused_and_carries_a_remedy():
    findings = judge_credential(facts(workflow="acme/app/other", expires_at=None), SPEC, OCCASION)
    with pytest.raises(CredentialError) as raised:
        rules.require(findings)
    assert raised.value.exit_code is ExitCode.CREDENTIAL
    assert "[credential-workflow]" in raised.value.message
    assert "[credential-expiry]" in raised.value.message
    assert "codex-runner token put acme/app/release-notes" in raised.value.remedy
    rules.require(judge_credential(GOOD, SPEC, OCCASION))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T01:00:10+01:00", 10),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
    ],
)
def test_dates_are_read_with_any_zone_and_fraction(text, seconds):
    assert parse_date(text) == pytest.approx(seconds)


def test_dates_are_written_so_that_they_read_back():
    assert format_date(NOW) == "2026-03-01T12:00:00Z"
    assert parse_date(format_date(NOW)) == NOW


@pytest.mark.parametrize("text", ["", "at-opaque", "a.b.c", "a.bm90IGpzb24.c", "a.WzFd.c", "a.b", "a.\u00e9.c"])
def test_what_is_no_jwt_has_no_claims(text):
    assert rules.unverified_claims(text) == {}


def test_the_claims_of_a_jwt_are_read_without_its_key():
    assert rules.unverified_claims("e30.eyJzdWIiOiJyZXBvOmFjbWUvYXBwIn0.sig") == {"sub": "repo:acme/app"}


def test_where_a_credential_lies_and_what_its_mask_is_called():
    assert spec(mount="kv").place == "kv/acme/app/release-notes"
    assert spec(source=CredentialSource.ENV).place == "$CODEX_ACCESS_TOKEN"
    assert spec(source=CredentialSource.FILE, file="/run/token").place == "/run/token"
    assert spec(kind=CredentialKind.API_KEY).environment_variable == "CODEX_API_KEY"
    assert spec(env_key="ACME_KEY").environment_variable == "ACME_KEY"
    assert rules.default_workflow("acme/app", "release-notes") == "acme/app/release-notes"
