"""Whole runs whose delivery failed or is held, and what comes later: the commands they print, and `deliver`."""

import base64
import fcntl
import json
import shutil
import subprocess

import pytest
from support.commands import RUNNER
from support.forge import PAT
from support.nightly import BRANCH, TOKEN, git
from support.runs import RUN_JSON

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

KEYS = ("exit_code", "result", "reason", "remedy", "ending", "ended", "seconds")


def expired():
    """A token in the form of a JWT that has expired."""
    claims = json.dumps({"iat": 1_600_000_000, "exp": 1_600_003_600}).encode()
    return f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2lnbmF0dXJl"


def clone(project, forge, name="clone"):
    """A person's clone of the forge's repository, with a token of their own."""
    folder = project.scratch / name
    git("clone", "-q", forge.repository.path, folder)
    helper = f"!echo username=ada; echo password={PAT}; :"
    for key, value in {"user.name": "Bob", "user.email": "bob@example.com", "credential.helper": helper}.items():
        git("config", key, value, cwd=folder)
    return folder


def pasted(way, cwd, environ=None):
    text = "\n".join(way["commands"]).encode() + b"\n"
    done = subprocess.run(["sh"], input=text, cwd=cwd, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done


def ways(delivery):
    return {way["way"]: way for way in delivery["by_hand"]}


def check_shown(project, delivery):
    """The log, the summary and the page have each command, as it is."""
    shown = [
        project.said.decode(),
        (project.last.path / "summary.md").read_text(),
        (project.last.path / "report.html").read_text().replace("&quot;", '"').replace("&amp;", "&"),
    ]
    for command in (command for way in delivery["by_hand"] for command in way["commands"]):
        for text in shown:
            assert command in text.replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">"), command


def check_all_tell(project, state, link, code):
    """Each report tells the delivery's state, and the run's own result."""
    run = project.last
    document = run.run_json
    RUN_JSON.validate(document)
    assert (document["delivery"]["state"], document["delivery"]["link"], document["exit_code"]) == (state, link, code)
    (listed,) = json.loads(project.command("runs", "--json").stdout)
    assert (listed["delivery"], listed["exit_code"]) == ({"state": state, "link": link or None}, code)
    for name in ("summary.md", "report.html", "junit.xml"):
        assert state in (run.path / name).read_text(), name
        assert link in (run.path / name).read_text().replace("&amp;", "&"), name
    events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [event["delivery"]["state"] for event in events if event["kind"] == "delivery.ended"][-1] == state


def test_a_push_that_is_refused_is_finished_by_the_printed_commands(project, forge, nightly):
    hook = forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no pushes today\nexit 1\n")
    hook.chmod(0o755)
    project.environ[TOKEN] = PAT
    forge.tokens[PAT] = forge.tokens[PAT]
    delivery = nightly.run(13)
    assert (delivery["state"], delivery["branch"], delivery["base"]) == ("failed", BRANCH, "main")
    assert list(ways(delivery)) == ["deliver", "patch", "pack"]
    check_shown(project, delivery)
    assert PAT not in json.dumps(delivery)
    hook.unlink()
    folder = clone(project, forge)
    for name in ("patch", "pack"):
        pasted(ways(delivery)[name], folder)
        assert forge.repository.git("rev-parse", f"{BRANCH}^{{tree}}") == delivery["tree"]
        assert ways(delivery)[name]["link"].endswith(f"/compare/main...{BRANCH}?expand=1")
        forge.repository.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    assert forge.repository.git("for-each-ref", "refs/codex-runner") == ""


def test_a_conflict_is_finished_on_the_commit_that_the_agent_began_with(project, forge, nightly):
    answer, moved = forge.answer, []

    def meanwhile(method, path, *more):
        if path.endswith("/info/refs") and not moved:
            moved.append(forge.repository.commit_files("main", {"hello.txt": b"a person's\n"}, "Work"))
        return answer(method, path, *more)

    forge.answer = meanwhile
    delivery = nightly.run(13)
    forge.answer = answer
    assert "hello.txt" in delivery["reason"]
    assert list(ways(delivery)) == ["patch", "pack"]  # to deliver again would be the same conflict
    assert "codex-runner deliver" not in project.last.run_json["remedy"]
    check_shown(project, delivery)
    pasted(ways(delivery)["patch"], clone(project, forge))
    assert forge.repository.git("rev-parse", f"{BRANCH}^{{tree}}") == delivery["tree"]
    assert forge.repository.git("show", f"{BRANCH}:hello.txt") == "hello\nworld"


def test_a_delivery_that_failed_is_delivered_later_and_everything_tells_so(project, forge, nightly):
    forge.project.settings.drafts = False  # what opens a draft is refused, once the branch is there
    failed = nightly.run(13)
    assert list(ways(failed)) == ["deliver", "open"]
    assert (failed["commit"], failed["later"]) == (forge.repository.tip(BRANCH), False)
    assert ways(failed)["open"]["link"] == f"{forge.url}/acme/app/compare/main...{BRANCH}?expand=1"
    check_shown(project, failed)
    check_all_tell(project, "failed", "", 13)
    before, run = project.last.run_json, project.last.path
    stale = project.scratch / "stale"
    shutil.copytree(run, stale)
    # It fails once more: the last result counts.
    assert project.command("deliver", "last").code == 13
    check_all_tell(project, "failed", "", 13)
    assert project.last.run_json["delivery"]["later"] is True
    # The very command that was printed.
    forge.project.settings.drafts = True
    (command,) = ways(failed)["deliver"]["commands"]
    assert command.startswith("codex-runner deliver ")
    environ = {**project.environ, "PATH": f"{RUNNER.parent}:{project.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=project.cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("delivered:", "updated:"))
    link = forge.project.pulls and f"{forge.url}/acme/app/pull/1"
    state = project.last.run_json["delivery"]["state"]
    check_all_tell(project, state, link, 13)
    after = project.last.run_json
    assert {key: after[key] for key in KEYS} == {key: before[key] for key in KEYS}
    assert after["delivery"] == json.loads((run / "delivery.json").read_text())
    assert after["delivery"]["later"] is True
    assert project.last.cases["delivery"] in {"failure", "error"}, "the run itself was red for it"
    assert "What to do" not in (run / "summary.md").read_text()
    # All of it comes from events.jsonl.
    reports = {name: (run / name).read_bytes() for name in ("run.json", "junit.xml", "summary.md", "report.html")}
    assert project.command("report", "last").code == 0
    assert {name: (run / name).read_bytes() for name in reports} == reports
    # A crash after the record and before the reports.
    for name in (*reports, "delivery.json"):
        (run / name).unlink()
        if (stale / name).exists():
            shutil.copy(stale / name, run / name)
    (listed,) = json.loads(project.command("runs", "--json").stdout)
    assert listed["delivery"] == {"state": state, "link": link}
    assert project.command("report", "last").code == 0
    check_all_tell(project, state, link, 13)
    # A try that fails now does not undo it.
    records = (run / "events.jsonl").read_bytes()
    project.environ[TOKEN] = "ghs_unknown00000000000000000000000000000000"
    assert project.command("deliver", "last").code == 4
    assert (run / "events.jsonl").read_bytes() == records
    check_all_tell(project, state, link, 13)


def test_a_held_delivery_is_finished_on_another_branch_or_later(project, forge, nightly):
    nightly.run()
    tip = forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    forge.project.settle()
    nightly.forget()
    service = project.service
    service.scenario("does", script(shell("echo more >more.txt", wait=15), message("all done")))
    nightly.configure(prompt="SCN:does")
    held = nightly.run()
    assert held["state"] == "held"
    assert list(ways(held)) == ["deliver", "patch", "pack"]
    check_shown(project, held)
    other = f"{BRANCH}-{project.last.run_id}"
    pasted(ways(held)["patch"], clone(project, forge))
    assert forge.repository.tip(BRANCH) == tip
    assert forge.repository.git("show", f"{other}:more.txt") == "more"
    check_all_tell(project, "held", f"{forge.url}/acme/app/pull/1", 0)
    forge.project.merge(1, keep_branch=False)
    assert project.command("deliver", "last").code == 0
    check_all_tell(project, "delivered", f"{forge.url}/acme/app/pull/2", 0)
    assert project.last.cases["delivery"] is None


def test_what_was_refused_is_not_delivered_later_either(project, nightly):
    (project.cwd / "hello.txt").write_text("not committed\n")
    service = project.service
    service.scenario("does", script(shell("echo more >>hello.txt", wait=15), message("all done")))
    nightly.configure(prompt="SCN:does")
    failed = nightly.run(13)
    assert (failed["state"], failed["by_hand"]) == ("failed", [])
    again = project.command("deliver", "last")
    assert again.code == 13
    assert "hello.txt had uncommitted changes" in again.stderr
    assert nightly.branches() == []


def test_a_copy_on_another_machine_is_left_as_it_is(project, forge, nightly):
    forge.project.settings.drafts = False
    nightly.run(13)
    run, asked = project.last.path, len(forge.requests)
    # Nothing is delivered that could not be recorded: another process has the folder, or this one cannot write there.
    with (run / "events.jsonl").open("rb") as events:
        fcntl.flock(events, fcntl.LOCK_EX)
        assert project.command("deliver", "last").code == 14
    (run / "events.jsonl").rename(kept := project.scratch / "kept.jsonl")
    (run / "events.jsonl").symlink_to(kept)
    assert project.command("deliver", "last").code == 3
    assert len(forge.requests) == asked
    kept.replace(run / "events.jsonl")
    (run / "codex.jsonl").unlink()  # some copies are not whole
    shutil.rmtree(project.state / "codex-runner")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    done = project.command("deliver", "last")
    assert done.code == 13
    assert "not on this machine" in done.stderr
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_token_that_expires_while_the_agent_works_is_told_and_another_one_delivers(project, nightly):
    """The run said so, and the command then took the run for a failed one: a guard of it was broken."""
    place = project.home / "forge-token"
    place.write_text(nightly.token)
    place.chmod(0o600)
    (project.home / "later").write_text(expired())
    checks = [{"name": "an hour", "run": f"cat {project.home}/later >{place}"}]
    nightly.configure({"credential": {"source": "file", "file": str(place), "allow_unexpiring": True}}, checks=checks)
    failed = nightly.run(4)
    assert (failed["state"], "deliver" in ways(failed)) == ("failed", True)
    assert "expired" in project.last.run_json["reason"]
    place.write_text(nightly.token)
    later = project.command("deliver", "last")
    assert later.code == 0, later.stderr
    nightly.check_one()
