"""The third state of a promise: neither kept nor broken, in every report, and never green."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET

import pytest
from support.records import play
from support.report_states import a_run

from codex_runner.domain import event as ev
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.job import Job
from codex_runner.engine.credential_rules import events_of
from codex_runner.engine.verdict import judge_run
from codex_runner.reports.checklist import junit_of_findings
from codex_runner.reports.html import html_report
from codex_runner.reports.junit import junit
from codex_runner.reports.moments import Mood, moments
from codex_runner.reports.run_json import run_document
from codex_runner.reports.spans import spans
from codex_runner.reports.summary import summary
from codex_runner.sinks.audit import AuditLog
from codex_runner.sinks.console import PlainLog
from codex_runner.sinks.github import GitHubLog

WHY = "nobody knows whether it is revoked"
OPEN = ev.Guarded.unjudged("vault-revocation", WHY)


@pytest.fixture
def state():
    return a_run(OPEN)


def test_it_is_neither():
    assert (OPEN.passed, OPEN.judged, OPEN.failed, OPEN.outcome) == (False, False, False, "not judged")


def test_an_older_journal_knows_two_states():
    data = ev.to_json(ev.Guarded("x", True, "kept"))
    del data["judged"]
    assert ev.event_from_json(data).judged
    assert ev.event_from_json(ev.to_json(OPEN)) == OPEN


@pytest.mark.parametrize("guards", [True, False])
def test_junit(state, guards):
    root = ET.fromstring(junit(state, guards=guards))
    (case,) = (case for case in root.iter("testcase") if case.get("name") == "vault-revocation")
    (skipped,) = case
    assert skipped.tag == "skipped"
    assert skipped.get("message") == f"not judged: {WHY}"


def test_junit_of_a_red_run():
    state = a_run(OPEN, exit_code=5, reason="Vault is gone")
    root = ET.fromstring(junit(state))
    (case,) = (case for case in root.iter("testcase") if case.get("name") == "vault-revocation")
    assert [element.tag for element in case] == ["skipped"]


def test_run_json(state):
    (guard,) = (each for each in run_document(state)["guards"] if each["name"] == "vault-revocation")
    assert (guard["passed"], guard["judged"]) == (False, False)  # who knows `passed` alone takes it for the worse


def test_summary_and_page(state):
    assert "| vault-revocation | ❔ not judged |" in summary(state)
    page = html_report(state, [])
    assert 'class="pill warn">not judged<' in page


def test_timeline_and_spans(state):
    records = [ev.Record(1, 1.0, 0, ev.Position(), OPEN)]
    (moment,) = (each for each in moments(records) if each.title == "vault-revocation")
    assert moment.mood is Mood.WARN
    found = [attributes for span in spans(state, records) for _, name, attributes in span.events if name == "guard"]
    assert [each["message"] for each in found] == [f"not judged: {WHY}"]


def test_logs():
    events = [ev.RunStarted("r", "docs", "local"), OPEN]
    plain, github = io.StringIO(), io.StringIO()
    play(PlainLog(plain), events)
    assert f"vault-revocation: not judged: {WHY}" in plain.getvalue()
    assert "FAILED" not in plain.getvalue()
    play(GitHubLog(github), events)
    assert "::error" not in github.getvalue()


def test_the_audit_log_says_that_nobody_knows(tmp_path):
    end = ev.RunEnded(0, "succeeded", "done")
    play(AuditLog(tmp_path / "audit", {}, config_sha256=""), [ev.RunStarted("r", "docs", "local"), OPEN, end])
    last = json.loads((tmp_path / "audit").read_text().splitlines()[-1])
    assert last["login_given_back"] is None


def test_it_makes_no_run_red_and_hides_no_broken_promise(state):
    job = Job("docs", "p", ".")
    state.attempts[-1].ending = a_run().attempts[-1].ending
    assert judge_run(job, state).exit_code == 0
    state.guards["other"] = ev.Guarded("other", False, "broken")
    assert judge_run(job, state).exit_code != 0


def test_findings():
    finding = Finding("credential-expiry", Outcome.UNJUDGED, "It is not known.", "Say it.")
    guard, warning = events_of([finding])
    assert (guard.outcome, warning.code) == ("not judged", "credential-expiry")
    root = ET.fromstring(junit_of_findings("token check", [("x", finding)]))
    assert root[0].get("skipped") == "1"
    assert root.find(".//skipped").get("message") == "not judged: It is not known. Say it."
    assert root.find(".//failure") is None
