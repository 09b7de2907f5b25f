"""Whether a run may begin at all: its group's place, and what its workflow has left to spend today."""

import signal
import sqlite3

import pytest
from support.runs import JOB

pytestmark = pytest.mark.needs_codex

GROUP = {"group": "docs", "policy": "skip"}


def by_result(project):
    """The runs that there are, by what they came to; None for those that still go on."""
    return {run.run_json["result"]: run for run in project.runs}


def first(project, policy, **more):
    """A run that is in the middle of its work, of a job with this policy."""
    project.configure(
        prompt="SCN:long_command:60",
        sandbox="workspace-write",
        concurrency={"group": "docs", "policy": policy, **more},
    )
    before = project.runs
    running = project.start("run", JOB)
    (run,) = running.until(lambda: [run for run in project.runs if run not in before])
    log = run.path / "codex.jsonl"
    running.until(lambda: log.exists() and b"sleep 60" in log.read_bytes())
    return running


def stop(running):
    running.signal(signal.SIGTERM)
    assert running.wait().code == 143


def test_a_run_whose_group_is_taken_is_skipped(project, service):
    running = first(project, "skip")
    asked = len(service.requests)
    done = project.run("--json")
    assert (done.code, '"result": "skipped"' in done.stdout) == (0, True)
    run = by_result(project)["skipped"]
    assert run.run_json["exit_code"] == 0
    assert f"held by run {project.runs[0].run_id}" in run.run_json["reason"]
    assert (run.run_json["attempts"], run.run_json["warnings"]) == ([], [])
    assert run.cases["agent"] == "skipped"
    # What it leaves, a few records, is searched as every run's is.
    assert {mark for name, mark in run.cases.items() if name != "secret search"} == {"skipped"}
    assert "skipped" in (run.path / "summary.md").read_text()
    assert len(service.requests) == asked
    stop(running)
    project.check_nothing_is_left()
    assert project.run("--prompt", "SCN:hi").code == 0


@pytest.mark.parametrize(("policy", "timeout"), [("fail", "1h"), ("wait", "1s")])
def test_a_run_whose_group_is_taken_is_refused(project, policy, timeout):
    running = first(project, policy, timeout=timeout)
    done = project.run()
    assert done.code == 14
    run = by_result(project)["failed"]
    assert (run.run_json["exit_code"], run.cases["agent"]) == (14, "error")
    assert "held by run" in run.run_json["reason"]
    assert ("group-wait" in run.warnings) == (policy == "wait")
    stop(running)


def test_a_run_waits_for_its_group(project):
    running = first(project, "wait")
    second = project.start("run", JOB, "--prompt", "SCN:hi")
    second.until(lambda: "group-wait" in second.log)
    stop(running)
    assert second.wait().code == 0
    assert "Waiting for it" in by_result(project)["succeeded"].warnings["group-wait"]


def test_a_run_that_waits_can_be_stopped(project):
    running = first(project, "wait")
    second = project.start("run", JOB)
    second.until(lambda: "group-wait" in second.log)
    stop(second)
    assert running.process.poll() is None
    stop(running)
    project.check_nothing_is_left()


def test_the_newest_run_cancels_the_one_that_runs(project):
    running = first(project, "cancel-running")
    done = project.run("--prompt", "SCN:hi")
    assert done.code == 0
    assert running.wait().code == 143
    runs = by_result(project)
    assert runs["failed"].run_json["failure"] == "terminated"
    assert runs["failed"].run_json["commands"] == 0
    project.check_nothing_is_left()


def test_a_killed_run_holds_nothing_and_comes_home_all_the_same(project):
    running = first(project, "skip")
    running.kill()
    done = project.run("--prompt", "SCN:hi")
    assert done.code == 0
    killed, other = sorted(project.runs, key=lambda run: run.run_json["result"] == "succeeded")
    assert killed.run_id in other.warnings["group-taken-over"]
    with_the_lock = first(project, "skip")
    attached = project.start("attach", killed.run_id)
    attached.until(lambda: "group-taken" in attached.log)
    attached.signal(signal.SIGINT)
    assert attached.wait().code == 130
    stop(with_the_lock)
    project.check_nothing_is_left()


# --- what a day may cost ---------------------------------------------------------------------------------------------


def test_a_day_is_bounded_over_its_runs(project, service):
    project.configure(prompt="SCN:tokens:600", budget={"tokens": 1000, "tokens_per_day": 1700})
    assert project.run().code == 0
    assert project.run().code == 0
    asked = len(service.requests)
    third = project.run()
    assert third.code == 11
    run = project.runs[-1]
    assert (run.run_json["exit_code"], run.run_json["attempts"]) == (11, [])
    assert run.cases["agent"] == "failure"
    assert "of 1,700 tokens left" in run.run_json["reason"]
    assert len(service.requests) == asked
    assert (project.state / "codex-runner" / "ledger.sqlite").exists()
    project.configure(prompt="SCN:hi", budget={"tokens": 300, "tokens_per_day": 1700})
    assert project.run().code == 0, "what the others did not need was not given back"
    project.check_nothing_is_left()


def test_a_runner_that_is_killed_has_said_what_was_spent(project):
    project.configure(budget={"tokens": 1000, "tokens_per_day": 5000}, checks=[{"name": "slow", "run": "sleep 60"}])
    running = project.start("run", JOB)
    running.until_command("sleep 60")
    running.kill()
    with sqlite3.connect(project.state / "codex-runner" / "ledger.sqlite") as file:
        assert file.execute("SELECT tokens, reserved FROM spending").fetchall() == [(130, 1000)]
    file.close()


def test_what_never_started_gives_its_tokens_back(project):
    budget = {"tokens": 1000, "tokens_per_day": 1000}
    project.configure(budget=budget, codex={"path": "/no/such/codex"})
    assert project.run().code == 3
    project.configure(budget=budget)
    assert project.run().code == 0


def test_a_ledger_in_a_cached_folder(project):
    project.environ["CODEX_RUNNER_LEDGER"] = "cache/ledger.sqlite"
    project.environ["RUNNER_ENVIRONMENT"] = "github-hosted"
    project.configure(budget={"tokens": 1000, "tokens_per_day": 1000})
    run = project.check_reports(project.run(), 0)
    assert (project.cwd / "cache" / "ledger.sqlite").exists()
    assert run.warnings == {}


@pytest.mark.parametrize(
    "machine", [{"RUNNER_ENVIRONMENT": "github-hosted"}, {"CI_DISPOSABLE_ENVIRONMENT": "true"}, {"CI": "true"}]
)
def test_a_ledger_that_goes_with_the_machine(project, machine):
    project.environ |= machine
    project.configure(budget={"tokens": 1000, "tokens_per_day": 1000})
    run = project.check_reports(project.run(), 0)
    assert ("ledger" in run.warnings) == ("CI" not in machine)


def test_a_ledger_that_cannot_be_written(project):
    project.environ["CODEX_RUNNER_LEDGER"] = "codex-runner.toml"
    project.configure(budget={"tokens": 1000, "tokens_per_day": 1000})
    run = project.check_reports(project.run(), 3)
    assert "not a ledger" in run.run_json["reason"]
    assert run.run_json["attempts"] == []


def test_a_job_without_a_budget_is_told(project):
    project.configure(budget={"commands": 10})
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "nothing limits" in run.warnings["no-budget"]
    assert "::warning" not in done.stderr


# --- what a run may spend --------------------------------------------------------------------------------------------


def test_money(project):
    prices = {"gpt-5.5": {"input": 1.25, "cached_input": 0.125, "output": 10, "currency": "EUR"}}
    project.configure(prompt="SCN:tokens:1000000", model="gpt-5.5", budget={"money": 1.25}, prices=prices)
    run = project.check_reports(project.run(), 11)
    assert "budget.money is exceeded: 1.25" in run.run_json["reason"]
    assert run.run_json["money"]["currency"] == "EUR"
    assert float(run.run_json["money"]["amount"]) > 1.25
    assert " EUR" in (run.path / "summary.md").read_text()


def test_money_needs_a_price(project):
    project.configure(budget={"money": 1.25})
    done = project.run()
    assert done.code == 3
    assert "jobs.docs.budget.money: needs the price" in done.stderr


@pytest.mark.parametrize(("lines", "code"), [(2, 0), (1, 11)])
def test_lines_that_git_counted(project, lines, code):
    project.configure(
        prompt="SCN:patch_add", sandbox="workspace-write", budget={"tokens": 10**6, "changed_lines": lines}
    )
    project.git_init()
    run = project.check_reports(project.run(), code)
    assert ("budget.changed_lines is exceeded: 2 of 1" in run.run_json["reason"]) == (code == 11)
    assert (run.path / "artifacts" / "changes.patch").exists(), "what it did is kept"


def test_lines_need_a_repository(project):
    project.configure(sandbox="workspace-write", budget={"tokens": 10**6, "changed_lines": 5})
    run = project.check_reports(project.run(), 3)
    assert "no usable git repository" in run.run_json["reason"]


def test_a_limit_of_tokens_ends_a_turn_that_goes_on(project):
    project.configure(prompt="SCN:slow:40", sandbox="workspace-write", budget={"tokens": 300})
    run = project.check_reports(project.run(), 11)
    project.check_nothing_is_left()
    assert run.run_json["attempts"][0]["exit"]["stopped"] == "budget"
    assert run.run_json["usage"]["total"] > 300
    assert run.run_json["commands"] < 40
    assert run.of_kind("usage")


def test_an_agent_that_was_ended_has_used_tokens_too(project):
    project.configure(
        prompt="SCN:slow:40", sandbox="workspace-write", budget={"tokens_per_day": 10**7, "tokens": 10**6}
    )
    running = project.start("run", JOB)
    running.until(lambda: project.recorded.count(b'"item.completed"') >= 2)
    stop(running)
    (run,) = project.runs
    assert run.run_json["usage"]["total"] >= 130
    assert run.run_json["attempts"][0]["usage"]["total"] == run.run_json["usage"]["total"]
