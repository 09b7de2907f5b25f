"""Whole runs whose delivery goes wrong, or is attacked: nothing is lost, nothing slips out, and the run says why."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from support.forge import APP, CLASSIC, PROJECT, READER
from support.nightly import BRANCH, TOKEN, git
from support.runs import tree

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script
from codex_runner.redaction.redactor import forms

pytestmark = pytest.mark.needs_codex


def agent_does(nightly, *commands, **job):
    service = nightly.project.service
    service.scenario("does", script(*(shell(command, wait=15) for command in commands), message("all done")))
    nightly.configure(prompt="SCN:does", **job)


def left_by(project):
    return {**tree(project.scratch), **tree(project.state), "what was said": project.said}


def check_nowhere(project, *secrets, besides=()):
    for name, data in left_by(project).items():
        for secret in secrets:
            assert not [form for form in forms(secret) if form in data and name not in besides], f"it is in {name}"


# --- before the agent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "delivery", "code", "said"),
    [
        ("ghs_unknown00000000000000000000000000000000", {}, 4, "refused the token"),
        (CLASSIC, {}, 4, "scope"),
        (READER, {}, 4, "may not push"),
        (APP, {"repository": "acme/other"}, 13, "404"),
        (APP, {"base": "release"}, 13, "release"),
        (APP, {"archived": True}, 13, "archived"),
        (APP, {"credential": None}, 3, "credential"),
    ],
    ids=["unknown", "scopeless", "reader", "no repository", "no base", "archived", "no credential"],
)
def test_what_the_forge_refuses_costs_nothing(project, forge, nightly, service, token, delivery, code, said):
    project.environ[TOKEN] = token
    forge.project.settings.archived = delivery.pop("archived", False)
    if delivery.get("credential", "") is None:
        delivery = {"credential": {"source": "env", "variable": "UNSET_TOKEN"}}
        code, said = 4, "UNSET_TOKEN"
    nightly.configure(delivery)
    done = project.run()
    assert done.code == code, done.stderr
    assert said in done.run.run_json["reason"]
    assert done.run.run_json["remedy"]
    assert service.requests == []
    assert nightly.branches() == []
    assert done.run.run_json["delivery"] is None
    project.check_nothing_is_left()


# --- what must not get out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["%s\\n", "\\0\\0%s\\0", "\\0%s\\n"], ids=["text", "binary", "half"])
def test_a_secret_in_the_change_is_not_delivered(project, forge, nightly, text):
    key = project.key
    agent_does(nightly, f"printf '{text % (key[:9] + chr(39) + chr(39) + key[9:])}' >notes.bin")
    done = project.run()
    assert done.code == 12, done.stderr
    assert nightly.branches() == []
    assert forge.project.pulls == []
    assert not list((project.state / "codex-runner" / "deliveries").glob("*"))
    assert done.run.run_json["delivery"]["state"] == "failed"
    assert done.run.cases["delivery"] in {"failure", "error"}
    again = project.command("deliver", "last")
    assert again.code == 13
    assert nightly.branches() == []


@pytest.mark.parametrize("source", ["env", "file"])
def test_the_agent_cannot_read_the_token_nor_what_is_kept(project, forge, nightly, service, source):
    kept = project.state / "codex-runner" / "deliveries" / "an-earlier-run" / "pack"
    kept.parent.mkdir(parents=True)
    kept.write_text(planted := "a change that is kept for later")
    credential = {"source": "env", "variable": TOKEN, "allow_unexpiring": True}
    places = ()
    if source == "file":
        del project.environ[TOKEN]
        path = project.home / "forge-token"
        path.write_text(APP)
        path.chmod(0o600)
        places = (path,)
        credential = {"source": "file", "file": str(path), "allow_unexpiring": True}
    agent_does(
        nightly,
        "env; set; for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\\0' '\\n' <$file; done",
        f"cat '{project.home}/forge-token'; grep -ars . '{project.state}' '{project.home}'; git config --list",
        "echo hello >hello.txt",
        delivery={"credential": credential},
    )
    assert nightly.run()["state"] == "delivered"
    asked = json.dumps([request.body for request in service.requests])
    assert "hello.txt" in asked
    assert APP not in asked
    assert planted not in asked
    check_nowhere(project, APP, besides=places)
    project.check_nothing_is_left()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("mkdir -p .github/workflows; echo 'on: push' >.github/workflows/more.yml", ".github/workflows/more.yml"),
        ("ln -s /etc/passwd link", "link"),
        ("echo '#!/bin/sh' >run.sh; chmod +x run.sh", "run.sh"),
    ],
    ids=["workflow", "symlink", "executable"],
)
def test_what_must_not_slip_in(project, nightly, command, said):
    agent_does(nightly, command)
    done = project.run()
    assert done.code == 12, done.stderr
    assert said in done.run.run_json["reason"]
    assert nightly.branches() == []
    assert done.run.run_json["delivery"] is None
    assert done.run.cases.get("delivery") in {None, "skipped"}


def test_a_failed_run_delivers_nothing(project, forge, nightly):
    nightly.configure(checks=[{"name": "lint", "run": "exit 3"}])
    done = project.run()
    assert done.code == 1
    assert nightly.branches() == []
    assert done.run.run_json["delivery"] is None
    assert "delivery" not in done.run.run_json["reason"]
    posted = [request.path for request in forge.requests if request.method == "POST"]  # whose token, and may it open
    assert posted == ["/api/graphql", "/api/v3/repos/acme/app/pulls"]
    refused = project.command("deliver", "last")
    assert refused.code == 13
    assert "not green" in refused.stderr


def test_no_other_turn_is_paid_for_a_change_that_cannot_be_delivered(project, nightly, service):
    (project.cwd / "README.md").write_text("not committed\n")
    checks = [{"name": "lint", "run": "exit 3"}]
    agent_does(nightly, "echo more >>README.md", checks=checks, on_check_failure="retry")
    done = project.run()
    assert done.code == 1
    assert len(done.run.run_json["attempts"]) == 1
    (warning,) = [each["message"] for each in done.run.run_json["warnings"] if each["code"] == "no-retry"]
    assert "cannot be delivered: README.md had uncommitted changes before the agent" in warning


def test_a_machine_without_git_lfs_is_told_before_the_agent(project, forge, nightly):
    files = {".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n", "a/large.bin": b"a pointer\n"}
    forge.repository.commit_files("main", files, "Use LFS")
    nightly.renew()
    programs = project.scratch / "programs"
    programs.mkdir()
    for folder in reversed(project.environ["PATH"].split(":")):
        for path in Path(folder).glob("*"):
            (programs / path.name).unlink(missing_ok=True)
            (programs / path.name).symlink_to(path)
    (programs / "git-lfs").unlink(missing_ok=True)
    project.environ |= {"PATH": str(programs), "GIT_CONFIG_NOSYSTEM": "1"}  # the system's may know of git-lfs
    nightly.run()
    said = [each["message"] for each in project.last.run_json["warnings"] if each["code"] == "delivery"]
    assert said[0].startswith("Files such as a/large.bin belong to Git LFS, and git-lfs is not installed")


def test_a_change_that_git_ignores_is_none(project, forge, nightly):
    forge.repository.commit_files("main", {".gitignore": b"*.log\n"}, "Ignore logs")
    nightly.renew()
    agent_does(nightly, "echo hello >agent.log")
    delivery = nightly.run()
    assert (delivery["state"], delivery["number"], delivery["tree"]) == ("unchanged", None, "")
    assert nightly.branches() == []
    again = project.command("deliver", "last")
    assert (again.code, again.stdout.partition(":")[0]) == (0, "unchanged")


# --- held -------------------------------------------------------------------------------------------------------------


def test_a_held_delivery_is_a_warning_or_13(project, forge, nightly):
    nightly.run()
    tip = forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    agent_does(nightly, "echo more >more.txt")
    nightly.forget()
    assert nightly.run()["state"] == "held"
    run = project.last
    assert run.cases["delivery"] == "skipped"
    assert "held" in (run.path / "summary.md").read_text()
    agent_does(nightly, "echo more >more.txt", delivery={"on_held": "fail"})
    nightly.forget()
    assert nightly.run(13)["state"] == "held"
    assert project.last.cases["delivery"] in {"failure", "error"}
    assert project.command("deliver", "last").code == 13
    assert forge.repository.tip(BRANCH) == tip


# --- later, and again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "state"),
    [pytest.param(10, "delivered", marks=pytest.mark.thorough), (27, "delivered"), (30, "unchanged")],
)
def test_attach_after_a_runner_that_was_killed(project, nightly, number, state):
    assert nightly.killed_at(number, after=True)
    done = project.command("attach", "last")
    run = project.check_reports(done, 0)
    delivery = run.run_json["delivery"]
    assert (delivery["state"], delivery["number"]) == (state, 1)
    assert run.cases["delivery"] is None
    assert run.warnings.keys() == {"delivery"}
    nightly.check_one()
    project.check_no_secret()
    check_nowhere(project, APP)


@pytest.mark.parametrize("number", [11, 28])
def test_a_stop_in_the_middle(project, forge, nightly, number):
    answer, came, running = forge.answer, 0, None

    def stopped(*request):
        nonlocal came
        came += 1
        if came < number:
            return answer(*request)
        running.signal(signal.SIGTERM)
        running.process.wait()
        return None

    forge.answer = stopped
    running = project.start("run", project.cwd and "docs")
    done = running.wait()
    forge.answer = answer
    assert done.code == 143, done.stderr
    project.check_reports(done, 143)
    again = project.command("deliver", "last")
    assert again.code == 0, again.stderr
    nightly.check_one()
    project.check_nothing_is_left()


def test_deliver_again_later_and_elsewhere(project, forge, nightly):
    forge.project.settings.drafts = False  # what opens a draft is refused
    failed = nightly.run(13)
    assert failed["state"] == "failed"
    run = project.last
    assert (run.path / "artifacts" / "changes.patch").stat().st_size
    assert f"codex-runner deliver {run.run_id}" in run.run_json["remedy"]
    assert run.cases["delivery"] in {"failure", "error"}
    asked = len(forge.requests)
    plan = project.command("deliver", "last", "--dry-run", "--json")
    assert len(forge.requests) == asked
    said = json.loads(plan.stdout)
    assert (said["branch"], said["tree"], said["paths"]) == (BRANCH, json.loads(plan.stdout)["tree"], ["hello.txt"])
    assert said["title"]
    forge.project.settings.drafts = True
    # Another shell: nothing of the pipeline's environment, another remote.
    git("remote", "set-url", "origin", "https://example.com/some/where.git", cwd=project.cwd)
    first = project.command("deliver", "last", "--json")
    assert first.code == 0, first.stderr
    assert json.loads(first.stdout)["state"] == "delivered"
    second = project.command("deliver", run.run_id)
    assert (second.code, second.stdout.partition(":")[0]) == (0, "unchanged")
    nightly.check_one()
    assert json.loads((run.path / "delivery.json").read_text())["state"] == "unchanged"
    shutil.rmtree(project.state / "codex-runner" / "deliveries")
    without = project.command("deliver", "last")
    assert without.code == 13
    assert "not on this machine" in without.stderr
    check_nowhere(project, APP)


def test_report_rebuilds_the_delivery(project, nightly):
    nightly.run()
    before, cases = project.last.run_json, project.last.cases
    for name in ("run.json", "junit.xml", "summary.md"):
        (project.last.path / name).unlink()
    assert project.command("report", "last").code == 0
    assert project.last.run_json == before
    assert project.last.cases == cases
    assert before["delivery"]["link"] in (project.last.path / "summary.md").read_text()


# --- other forges, other places ---------------------------------------------------------------------------------------


def test_a_merge_request_at_gitlab(project, forge, nightly):
    project.environ[TOKEN] = PROJECT
    nightly.configure({"target": "gitlab", "api": forge.gitlab_api, "labels": ["docs"]})
    first = nightly.run()
    assert (first["state"], first["target"], first["signed"]) == ("delivered", "gitlab", False)
    nightly.forget()
    assert nightly.run()["state"] == "unchanged"
    nightly.check_one()
    check_nowhere(project, PROJECT)


def test_a_plain_remote(project, forge, nightly):
    plain = {"target": "git", "api": None, "repository": None, "credential": None}
    config = project.cwd / "codex-runner.toml"
    nightly.configure({name: value for name, value in plain.items() if value})
    text = config.read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("api = ", 'repository = "acme'))]
    head, _, tail = "\n".join(lines).partition("[jobs.docs.delivery.credential]")
    config.write_text(head + tail.partition("\n[")[1] + tail.partition("\n[")[2])
    first = nightly.run()
    assert (first["state"], first["target"], first["number"]) == ("delivered", "git", None)
    nightly.forget()
    assert nightly.run()["state"] == "unchanged"
    assert nightly.branches() == [BRANCH]
    forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    agent_does(nightly, "echo more >more.txt")
    config.write_text(config.read_text())
    assert nightly.branches() == [BRANCH]


def test_a_workspace_of_the_runs_own(project, forge, nightly):
    nightly.configure(workspace={})
    assert nightly.run()["state"] == "delivered"
    nightly.check_one()
    assert not (project.cwd / "hello.txt").exists()
    nightly.forget()
    assert nightly.run()["state"] == "unchanged"
