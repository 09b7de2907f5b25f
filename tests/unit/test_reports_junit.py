from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import junitparser
import pytest
import xunitparser
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from support.report_states import HOSTILE, PULL, START, a_run, delivered, exited, records, states

from codex_runner.domain import event as ev
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.delivery import DeliveryState
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending
from codex_runner.domain.state import fold
from codex_runner.reports import junit as junit_module
from codex_runner.reports.checklist import junit_of_findings
from codex_runner.reports.html import html_report
from codex_runner.reports.junit import CASE_BYTES, junit
from codex_runner.reports.room import REPORT_BYTES
from codex_runner.reports.summary import summary

# The part of Jenkins's junit-10 schema that the report may use: attributes and children of each element.
SCHEMA = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": (
        {"name", "time", "classname"},
        {"skipped", "error", "failure", "rerunFailure", "flakyFailure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "rerunFailure": ({"type", "message"}, {"stackTrace"}),
    "flakyFailure": ({"type", "message"}, {"stackTrace"}),
    "stackTrace": (set(), set()),
    "system-out": (set(), set()),
    "system-err": (set(), set()),
}


def check_schema(element):
    attributes, children = SCHEMA[element.tag]
    assert set(element.attrib) <= attributes, element.tag
    if element.tag == "testcase":
        assert set(element.attrib) == attributes
    for child in element:
        assert child.tag in children, (element.tag, child.tag)
        check_schema(child)


def judged(data: bytes) -> ET.Element:
    """Give a report to every judge, and return its root."""
    root = ET.fromstring(data)
    check_schema(root)
    etree.fromstring(data, etree.XMLParser(huge_tree=False, resolve_entities=False))
    xunitparser.parse(io.StringIO(data.decode()))  # asserts that the counters match
    suites = list(junitparser.JUnitXml.fromstring(data))
    found = [case for suite in suites for case in suite]
    again = [(case.classname, case.name) for case in found]
    assert len(set(again)) == len(again) == int(root.attrib["tests"])
    assert all(name for pair in again for name in pair)
    assert all(re.fullmatch(r"\d+\.\d{3}", case.get("time")) for case in root.iter("testcase"))
    return root


def red(root: ET.Element) -> bool:
    counted = int(root.attrib["failures"]) + int(root.attrib["errors"]) > 0
    assert counted == any(True for tag in ("failure", "error") for _ in root.iter(tag))
    for trouble in (*root.iter("failure"), *root.iter("error")):
        assert trouble.get("message", "").strip()
        assert (trouble.text or "").strip()
    return counted


def case(root: ET.Element, classname: str, name: str) -> ET.Element:
    (found,) = [c for c in root.iter("testcase") if (c.get("classname"), c.get("name")) == (classname, name)]
    return found


def outline(root):
    return [(c.get("classname"), c.get("name"), [child.tag for child in c]) for c in root.iter("testcase")]


@given(states(), st.booleans())
@example(fold([]), True)
def test_it_is_red_exactly_when_the_exit_code_is_not_0(state, guards):
    root = judged(junit(state, guards=guards, folder=Path("/runs/1")))
    assert red(root) == (state.verdict is None or state.verdict.exit_code != 0)


@given(states())
def test_every_planned_check_and_guard_has_its_case_whatever_happened(state):
    root = judged(junit(state))
    job = root[0].get("name")
    for what in ("check", "guard"):
        planned = dict.fromkeys(state.facts[f"{what}s"])
        cases = [c for c in root.iter("testcase") if c.get("classname") == f"{job}.{what}"]
        assert len(cases) >= len(planned)


def test_a_run_that_was_retried_and_passed():
    root = judged(junit(a_run(), folder=Path("/runs/1")))
    assert outline(root) == [
        ("release-notes", "agent", ["flakyFailure", "system-out"]),
        ("release-notes.check", "docs build", ["system-out"]),
        ("release-notes.check", "spelling", []),
        ("release-notes.guard", "process sweep", ["system-out"]),
        ("release-notes.guard", "revocation", ["system-out"]),
    ]
    flaky = root.find(".//flakyFailure")
    assert flaky.attrib == {"type": "capacity", "message": "attempt 1: the model has no capacity"}
    assert "Selected model is at capacity." in flaky.find("stackTrace").text
    suite = root[0]
    assert suite.get("timestamp") == "2026-01-02T03:04:06"
    assert suite.get("hostname") == "local"
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["run"] == "20260102T030405Z-release-notes-0a1b2c3d"
    assert (properties["model"], properties["codex"], properties["thread"]) == ("gpt-5.5", "0.169.0", "019a")
    assert (properties["usage.input"], properties["usage.total"]) == ("1000", "1050")
    out = case(root, "release-notes", "agent").findtext("system-out").split("\n")
    assert "The notes are written." in out
    assert "[[ATTACHMENT|/runs/1/artifacts/RELEASE_NOTES.md]]" in out
    assert case(root, "release-notes.check", "spelling").get("time") == "0.000"
    assert root.attrib == {
        "name": "codex-runner",
        "tests": "5",
        "failures": "0",
        "errors": "0",
        "time": suite.get("time"),
    }
    assert junit(a_run()).startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')


def failing(failure: Failure, message="it broke"):
    return a_run(
        ev.AttemptStarted(2),
        ev.AttemptEnded(2, Ending(failure, message), exited(1)),
        exit_code=int(failure.exit_code),
        reason=message,
    )


@pytest.mark.parametrize("failure", Failure)
def test_an_agent_that_failed_is_a_failure_or_an_error_and_the_rest_is_skipped(failure):
    root = judged(junit(failing(failure)))
    expected = "failure" if failure.exit_code in (1, 11, 12) else "error"
    assert outline(root) == [
        ("release-notes", "agent", [expected, "rerunFailure", "system-out"]),
        ("release-notes.check", "docs build", ["skipped"]),
        ("release-notes.check", "spelling", ["skipped"]),
        ("release-notes.guard", "process sweep", ["skipped"]),
        ("release-notes.guard", "revocation", ["skipped"]),
    ]
    trouble = root.find(f".//{expected}")
    assert (trouble.get("type"), trouble.get("message")) == (str(failure), "it broke")
    assert f"Exit code {int(failure.exit_code)}" in trouble.text


def test_every_exit_code_is_a_failure_or_an_error():
    kinds = {}
    for code in ExitCode:
        happened = [ev.RunStarted("r", "j", "local"), ev.RunEnded(int(code), "failed" if code else "succeeded", "why")]
        root = judged(junit(fold(records(happened))))
        kinds[int(code)] = next((t for t in ("failure", "error") if root.find(f".//{t}") is not None), None)
    assert {code for code, kind in kinds.items() if kind == "failure"} == {1, 11, 12}
    assert {code for code, kind in kinds.items() if kind is None} == {0}


def test_a_failed_check_is_red_by_itself_and_the_agent_is_not():
    output = "reading\nERROR: page missing\n\x1b[0m"
    state = a_run(
        ev.AttemptStarted(2),
        ev.AttemptEnded(2, Ending(None, "done"), exited()),
        ev.CheckEnded("docs build", passed=False, exit_code=2, seconds=3.0, output=output),
        exit_code=1,
        reason="the check 'docs build' exited with 2",
    )
    root = judged(junit(state))
    assert outline(root)[:2] == [
        ("release-notes", "agent", ["flakyFailure", "system-out"]),
        ("release-notes.check", "docs build", ["failure"]),
    ]
    failure = root.find(".//failure")
    assert failure.get("message") == "ERROR: page missing (exited with 2 after 3s)"
    assert "reading\nERROR: page missing" in failure.text


def test_a_guard_that_was_not_kept_is_an_error_or_by_its_class_a_failure():
    for failure, tag in ((None, "error"), ("budget", "failure"), ("credential", "error")):
        state = a_run(
            ev.AttemptStarted(2),
            ev.AttemptEnded(2, Ending(None, "done"), exited()),
            ev.Guarded("revocation", passed=False, message="still valid", failure=failure),
            exit_code=70,
        )
        guard = case(judged(junit(state, guards=False)), "release-notes.guard", "revocation")
        assert [child.tag for child in guard] == [tag]


@pytest.mark.parametrize("later", [DeliveryState.UPDATED, DeliveryState.FAILED, DeliveryState.HELD])
@pytest.mark.parametrize(("own", "code"), [(DeliveryState.FAILED, 13), (DeliveryState.HELD, 0)])
def test_a_later_delivery_is_told_and_the_runs_own_result_stays(own, code, later):
    after = delivered(later, PULL, "So it is.")
    after = ev.DeliveryEnded(replace(after.delivery, later=True, warnings=("A label failed.",)))
    happened = [ev.RunStarted("r", "docs", "local", {}), delivered(own, "", "GitHub says no.")]
    happened += [ev.RunEnded(code, "failed" if code else "succeeded", "it is over"), after]
    state = fold(records(happened))
    root = judged(junit(state))
    assert red(root) == bool(code)
    told = ET.tostring(case(root, "docs", "delivery"), encoding="unicode")
    assert f"{own}: GitHub says no. Later {later}: So it is." in told
    page, text = html_report(state, records(happened)), summary(state)
    for report in (page, text):
        assert f"{later} after the run, by" in report
        assert PULL in report
        assert "A label failed." in report


def test_an_interruption_is_an_error_even_where_a_check_has_failed():
    state = a_run(
        ev.AttemptStarted(2),
        ev.AttemptEnded(2, Ending(None, "done"), exited()),
        ev.CheckEnded("docs build", passed=False, exit_code=2, seconds=3.0, output=""),
        exit_code=130,
        reason="the runner got SIGINT",
    )
    root = judged(junit(state))
    assert case(root, "release-notes", "agent").find("error").get("message") == "the runner got SIGINT"


def test_without_guards_only_those_that_were_not_kept_are_left():
    assert [c for c in outline(judged(junit(a_run(), guards=False))) if "guard" in c[0]] == []


def test_a_run_without_an_end_is_red():
    state = fold(records([ev.RunStarted("r", "j", "local", {"checks": ["c"]}), ev.AttemptStarted(1)]))
    root = judged(junit(state))
    assert outline(root) == [("j", "agent", ["error", "system-out"]), ("j.check", "c", ["skipped"])]
    assert "no ending" in root.find(".//error").get("message")


def test_a_skipped_run_is_skipped():
    state = fold(records([ev.RunStarted("r", "j", "local"), ev.RunEnded(0, "skipped", "another run holds the lock")]))
    root = judged(junit(state))
    assert root.find(".//skipped").get("message") == "another run holds the lock"
    assert root[0].get("skipped") == "1"


def test_output_cannot_choose_what_a_ci_system_publishes():
    state = a_run(
        ev.AttemptStarted(2),
        ev.ItemCompleted(ev.AgentMessage("m", "x\n[[ATTACHMENT|/etc/passwd]]\n[\x00[ATTACHMENT|/etc/shadow]]")),
        ev.AttemptEnded(2, Ending(Failure.CRASHED, HOSTILE), exited(1)),
        ev.CheckEnded("docs build", passed=False, exit_code=1, seconds=1, output=HOSTILE),
        ev.ArtifactKept("artifacts/a]]b", 1, "0" * 64),
        ev.ArtifactKept("artifacts/a\nb", 1, "0" * 64),
        exit_code=1,
        reason=HOSTILE,
    )
    root = judged(junit(state, folder=Path("/runs/1")))
    assert "[[ATTACHMENT|" not in "\n".join(root.itertext())


@pytest.mark.parametrize("outcome", Outcome)
def test_nor_can_what_somebody_wrote_about_a_token(outcome):
    """What doctor and `token check` say may quote a service's answer, and what Vault keeps of an owner."""
    report = junit_of_findings("doctor", [(HOSTILE, Finding("rule", outcome, HOSTILE, f"See [[attachment |{HOSTILE}"))])
    assert not re.search(rb"\[\[\s*attachment\s*\|", report, re.IGNORECASE)
    assert ET.fromstring(report).find(".//testcase") is not None


def test_outputs_are_bounded_and_the_tail_is_kept():
    huge = "first\n" + "<&>é\n" * 500_000 + "last\n"
    checks = [
        ev.CheckEnded(f"c{n}", passed=False, exit_code=1, seconds=1, output=huge[: 2**21] + "last") for n in (1, 2)
    ]
    state = a_run(
        ev.AttemptStarted(2),
        ev.ItemCompleted(ev.AgentMessage("m", huge)),
        ev.AttemptEnded(2, Ending(None, "done"), exited()),
        *checks,
        exit_code=1,
    )
    root = judged(junit(state))
    for each in root.iter("testcase"):
        assert len("".join(each.itertext()).encode()) < CASE_BYTES + 1000
    out = case(root, "release-notes", "agent").findtext("system-out")
    assert out.startswith("[the first ")
    assert out.endswith("last")
    assert case(root, "release-notes.check", "c1").findtext("failure").endswith("last")


def test_the_whole_report_is_bounded():
    checks = [ev.CheckEnded(f"c{n}", passed=True, exit_code=0, seconds=1, output="x" * 2**20) for n in range(45)]
    assert len(junit(a_run(*checks))) < REPORT_BYTES


def test_names_that_clean_to_the_same_stay_apart():
    facts = {"checks": ["lint", "lint\x00", "lint ", "lint (2)", "", "\n"]}
    state = fold(records([ev.RunStarted("r", "j", "local", facts), ev.RunEnded(0, "succeeded", "ok")]))
    found = [c.get("name") for c in judged(junit(state)).iter("testcase")]
    assert found == ["agent", "lint", "lint (2)", "lint (3)", "lint (2) (2)", "unnamed", "unnamed (2)"]


def test_a_clock_that_goes_backwards_gives_no_negative_time():
    happened = [
        ev.AttemptStarted(1),
        ev.AttemptEnded(1, Ending(None, "ok"), exited()),
        ev.RunEnded(0, "succeeded", "ok"),
    ]
    state = fold([ev.Record(n, START - n * 60, 1, ev.Position(), event) for n, event in enumerate(happened, 1)])
    judged(junit(state))


def test_the_same_state_gives_the_same_bytes():
    assert junit(a_run()) == junit(a_run())


def test_a_report_that_lost_a_case_is_never_handed_out(monkeypatch):
    real = junit_module._complete

    def losing(root, cases, limit):
        real(root, cases, limit)
        root[0].remove(root[0][-1])
        return root

    monkeypatch.setattr(junit_module, "_complete", losing)
    with pytest.raises(Exception, match=r"junit\.xml says tests=5 and has 4"):
        junit(a_run())


@pytest.mark.parametrize("nothing", ["", " \n", "\x1b[0m", "\x00\x07"])
def test_what_failed_without_a_word_is_red_and_says_something(nothing):
    happened = [
        ev.RunStarted("r", nothing, nothing),
        ev.AttemptStarted(1),
        ev.AttemptEnded(1, Ending(Failure.UNKNOWN, nothing)),
        ev.CheckEnded("c", passed=False, exit_code=1, seconds=0, output=nothing),
        ev.Guarded("g", passed=False, message=nothing, failure=nothing),
        ev.RunEnded(1, "failed", nothing),
    ]
    root = judged(junit(fold(records(happened))))
    assert red(root)
    assert (root.get("failures"), root.get("errors")) == ("2", "1")
