"""The gate of a job that delivers, by whole nights with the real codex and the small forge."""

import json

import pytest
from support.nightly import BRANCH, git

from codex_runner.delivery.green_ref import green_ref
from codex_runner.delivery.refusals import RecordRefusedError

pytestmark = pytest.mark.needs_codex

SRC = {"src/a.py": b"1\n", "docs/a.md": b"a\n"}
REF = green_ref("acme/app/docs", "main")


@pytest.fixture
def gated(nightly, forge):
    """The job with a gate over src/, at a base that has it."""
    forge.repository.commit_files("main", SRC, "Begin")
    nightly.renew()

    def configure(gate, delivery=None, **job):
        nightly.configure(delivery, gate=gate, **job)
        return nightly

    return configure


def skipped(nightly, reason):
    """Run a night that its gate skips, and look at all that it must not have done, and must have said."""
    asked = len(nightly.project.service.seen)
    before = nightly.forge.repository.git("for-each-ref")
    delivery = nightly.run()
    run, document = nightly.project.last, nightly.project.last.run_json
    assert (document["result"], document["exit_code"], document["ending"]) == ("skipped", 0, "skipped")
    assert document["gate"]["decision"] == "skip"
    assert reason in document["reason"]
    assert reason in (run.path / "summary.md").read_text()
    assert run.cases["agent"] == "skipped"
    assert (document["attempts"], document["usage"]["total"]) == ([], 0)
    assert len(nightly.project.service.seen) == asked, "nothing is spent"
    assert nightly.forge.repository.git("for-each-ref") == before
    nightly.project.check_nothing_is_left()
    return delivery


def went(nightly, reason):
    """Run a night that its gate lets go on. Returns what came of the delivery."""
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
    nightly.forget()
    assert skipped(nightly, "nothing under src/** has changed") is None
    # Another file is no reason to run, the job's files are, and after them nothing is.
    forge.repository.commit_files("main", {"docs/a.md": b"b\n"}, "Docs")
    nightly.forget()
    skipped(nightly, "nothing under src/** has changed")
    forge.repository.commit_files("main", {"src/a.py": b"2\n"}, "Work")
    nightly.forget()
    assert went(nightly, "files under src/** have changed")["state"] == "updated"
    nightly.forget()
    skipped(nightly, "nothing under src/** has changed")
    nightly.check_one()


def test_a_clone_without_history_and_a_base_that_moved_back_are_no_reason_to_run(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]})
    first = forge.repository.tip("main")
    went(nightly, "no green run")
    forge.repository.commit_files("main", {"src/a.py": b"2\n"}, "Work")
    forge.repository.move("main", first)
    cwd = nightly.tree
    git("fetch", "--quiet", "--depth=1", f"file://{forge.repository.path}", "main", cwd=cwd)
    git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=cwd)
    skipped(nightly, "nothing under src/** has changed")


def test_a_changed_prompt_is_not_skipped_over(gated):
    nightly = gated({"unless_changed": ["src/**"]})
    went(nightly, "no green run")
    gated({"unless_changed": ["src/**"]}, prompt="Please: SCN:patch_add")
    went(nightly, "the job is not what it was")
    # Labels, limits and budgets are not what the agent is asked.
    gated({"unless_changed": ["src/**"]}, {"labels": ["docs"]}, prompt="Please: SCN:patch_add", timeout="20m")
    skipped(nightly, "nothing under src/** has changed")
    gated({"unless_changed": ["src/**", "docs/**"]}, prompt="Please: SCN:patch_add")
    went(nightly, "the job is not what it was")


def test_a_red_night_and_a_failed_delivery_are_tried_again(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]}, checks=[{"name": "no", "run": "false"}])
    nightly.run(code=1)
    nightly.run(code=1)
    assert nightly.project.last.run_json["gate"]["decision"] == "go"
    gated({"unless_changed": ["src/**"]})
    answer = forge.answer
    forge.answer = lambda method, path, *more: (
        None if method == "POST" and path.endswith("/pulls") else answer(method, path, *more)
    )
    nightly.run(code=13)
    forge.answer = answer
    assert went(nightly, "no green run")["state"] == "delivered"
    skipped(nightly, "nothing under src/** has changed")


def test_no_change_by_the_agent_is_green(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]}, prompt="SCN:hi")
    assert went(nightly, "no green run")["state"] == "unchanged"
    nightly.forget()
    skipped(nightly, "nothing under src/** has changed")
    assert nightly.branches() == []


def test_no_gate_runs_and_is_remembered(gated):
    nightly = gated({"unless_changed": ["src/**"], "command": "exit 78"})
    done = nightly.project.run("--no-gate")
    assert done.code == 0, done.stderr[-2000:]
    assert "--no-gate" in nightly.project.last.run_json["gate"]["reason"]
    skipped(nightly, "exited with 78")
    done = nightly.project.run("--no-gate")
    assert (done.code, nightly.project.last.run_json["result"]) == (0, "succeeded")


def test_a_forge_that_refuses_the_record_leaves_it_to_this_machine(gated, forge, monkeypatch):
    hook = forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase $1 in refs/codex-runner/*) echo "no such refs here" >&2; exit 1 ;; esac\n')
    hook.chmod(0o755)
    nightly = gated({"unless_changed": ["src/**"]})
    went(nightly, "no green run")
    assert "refs/codex-runner" not in forge.repository.git("for-each-ref")
    skipped(nightly, "nothing under src/** has changed")
    nightly.forget()
    went(nightly, "no green run")


def test_a_record_that_is_damaged_runs_the_job(gated, forge):
    nightly = gated({"unless_changed": ["src/**"]})
    went(nightly, "no green run")
    forge.repository.git("update-ref", REF, forge.repository.tip("main"))
    went(nightly, "no green run")
    skipped(nightly, "nothing under src/** has changed")


def test_held_closed_and_open(gated, forge):
    nightly = gated({"if_open": "skip"})
    assert went(nightly, "nothing speaks against it")["state"] == "delivered"
    assert skipped(nightly, "Pull request 1 is open") is None
    gated({"if_open": "go"})
    assert went(nightly, "nothing speaks against it")["state"] == "unchanged"
    forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    forge.project.settle()
    held = skipped(nightly, "A person has pushed")
    assert (held["state"], held["number"]) == ("held", 1)
    assert nightly.project.last.cases["delivery"] == "skipped"
    gated({"if_open": "go"}, {"on_held": "fail"})
    failed = nightly.run(code=13)
    assert failed["state"] == "held"
    assert nightly.project.last.run_json["attempts"] == []
    gated({"if_open": "go"})
    forge.project.close(1)
    forge.repository.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    closed = skipped(nightly, "A person has closed Pull request 1")
    assert closed["state"] == "closed"
    # The agent may change what has changed on the base, and only then another pull request is due.
    forge.repository.commit_files("main", {"other.txt": b"a\n"}, "Work")
    nightly.renew()
    assert went(nightly, "nothing speaks against it")["state"] == "closed"
    gated({"unless_changed": ["src/**"]})
    skipped(nightly, "A person has closed Pull request 1")
    forge.repository.commit_files("main", {"src/a.py": b"2\n"}, "Work")
    nightly.renew()
    assert went(nightly, "no green run")["state"] == "delivered"
