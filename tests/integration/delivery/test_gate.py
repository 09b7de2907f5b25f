"""The gate of a job that delivers, by whole nights with the real codex and the small forge."""

import json

import pytest
from support.nightly import BRANCH, git

from codex_runner.delivery.green_ref import green_ref

pytestmark = pytest.mark.needs_codex

SRC = {"src/a.py": b"1\n", "docs/a.md": b"a\n"}
REF = green_ref("acme/app/docs", "main")


@pytest.fixture
def gated(nightly, forge):
    """The job with a gate over src/, at a base that has it."""
    forge.repository.commit_files("main", SRC, "Begin")
    # A real job's configuration is committed.
    (nightly.tree / ".git" / "info" / "exclude").write_text("/codex-runner.toml\n")

    def configure(gate, delivery=None, **job):
        nightly.renew()
        nightly.configure(delivery, gate=gate, **job)
        return nightly

    return configure


def skipped(nightly, reason):
    """Run a night that its gate skips, and look at all that it must not have done, and must have said."""
    nightly.renew()
    asked = len(nightly.project.service.requests)
    before = nightly.forge.repository.git("for-each-ref")
    delivery = nightly.run()
    run, document = nightly.project.last, nightly.project.last.run_json
    assert (document["result"], document["exit_code"], document["ending"]) == ("skipped", 0, "skipped")
    assert document["gate"]["decision"] == "skip"
    assert reason in document["reason"]
    assert reason in (run.path / "summary.md").read_text()
    assert reason in run.junit.find(".//testcase[@name='agent']/skipped").get("message")
    assert run.cases["agent"] == "skipped"
    assert (document["attempts"], document["usage"]["total"]) == ([], 0)
    assert len(nightly.project.service.requests) == asked, "nothing is spent"
    assert nightly.forge.repository.git("for-each-ref") == before
    nightly.project.check_nothing_is_left()
    return delivery


def went(nightly, reason):
    """Run a night that its gate lets go on. Returns what came of the delivery."""
    nightly.renew()
    delivery = nightly.run()
    document = nightly.project.last.run_json
    assert (document["result"], document["gate"]["decision"]) == ("succeeded", "go")
    assert reason in document["gate"]["reason"]
    return delivery


def recorded(forge):
    return json.loads(forge.repository.git("show", f"{REF}:green-run.json"))


def test_nights_from_machines_with_empty_disks(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]})
    assert went(nightly, "no green run")["state"] == "delivered"
    assert recorded(forge)["commit"] == forge.repository.tip("main")
    # Another file is no reason to run, in a clone without history either.
    forge.repository.commit_files("main", {"docs/a.md": b"b\n"}, "Docs")
    nightly.forget()
    git("fetch", "--quiet", "--depth=1", f"file://{forge.repository.path}", "main", cwd=nightly.tree)
    assert (nightly.tree / ".git" / "shallow").exists()
    assert skipped(nightly, "nothing under `src/**` has changed") is None
    # The files that matter are. The agent changes nothing on this base, which is green too.
    forge.project.merge(1)
    forge.repository.commit_files("main", {"src/a.py": b"2\n"}, "Work")
    nightly.forget()
    gated({"unless_changed": ["src/**"]}, {"labels": ["docs"]}, prompt="SCN:hi", timeout="20m")
    assert went(nightly, "the job is not what it was")["state"] == "unchanged"
    nightly.forget()
    skipped(nightly, "nothing under `src/**` has changed")


@pytest.mark.thorough
def test_a_failed_delivery_is_tried_again(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]})
    answer = forge.answer
    forge.answer = lambda method, path, *more: (
        None if method == "POST" and path.endswith("/pulls") else answer(method, path, *more)
    )
    nightly.run(code=13)
    forge.answer = answer
    assert went(nightly, "no green run")["state"] == "delivered"
    nightly.check_one()


@pytest.mark.thorough
def test_what_an_earlier_night_left_behind_hides_nothing(gated):
    """A red night's files are still there, so the agent of the next night seems to change nothing."""
    nightly = gated({"unless_changed": ["src/**"]})
    (nightly.tree / "hello.txt").write_text("hello\nworld\n")
    assert nightly.run()["state"] == "unchanged"
    assert "uncommitted changes" in nightly.project.last.warnings["gate"]
    assert recorded(nightly.forge)["files"] == ""
    assert went(nightly, "does not count: it began with uncommitted changes")["state"] == "delivered"


@pytest.mark.thorough
def test_a_forge_that_refuses_the_record_leaves_it_to_this_machine(gated, forge):
    hook = forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase $1 in refs/codex-runner/*) echo "no such refs here" >&2; exit 1 ;; esac\n')
    hook.chmod(0o755)
    nightly = gated({"unless_changed": ["src/**"]}, prompt="SCN:hi")
    went(nightly, "no green run")
    assert "refs/codex-runner" not in forge.repository.git("for-each-ref")
    skipped(nightly, "nothing under `src/**` has changed")


def test_a_branch_that_people_have(gated, forge):
    nightly = gated({"if_open": "skip"})
    assert went(nightly, "nothing speaks against it")["state"] == "delivered"
    assert skipped(nightly, "Pull request 1 is open") is None
    forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    forge.project.settle()
    held = skipped(nightly, "A person has pushed")
    assert (held["state"], held["number"]) == ("held", 1)
    assert nightly.project.last.cases["delivery"] == "skipped"
    gated({"if_open": "go"}, {"on_held": "fail"})
    assert nightly.run(code=13)["state"] == "held"
    run = nightly.project.last
    assert (run.run_json["attempts"], run.run_json["gate"]["decision"]) == ([], "fail")
    assert run.cases["delivery"] == "failure" or run.cases["delivery"] == "error"
