"""A check that failed is told to the thread that has done its turn, and checked again."""

import re

import pytest
from support.runs import JOB

from codex_runner.demo.model_wire import add_file, message, patch, refuse, reply
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex


def one_more_each_turn(step, request):
    """Write the turn's number into a file: nothing else tells the turns apart."""
    turn = len(request.follow_ups)
    if step <= turn:
        return reply(patch(add_file("turn.txt", str(turn))))
    return reply(message(f"turn {turn} is done"))


@pytest.fixture
def turns(project, service):
    """Makes the agent write 0, 1, 2 ... in its turns, and a check ask for a number."""
    service.scenario("turns", one_more_each_turn)

    def configure(wanted, **job):
        check = {"name": "the number", "run": f"printf 'found ' && cat turn.txt && grep -qx {wanted} turn.txt"}
        job = {"checks": [check], "on_check_failure": "retry", **job}
        project.configure(prompt="SCN:turns", sandbox="workspace-write", **job)
        return project

    return configure


def test_a_check_that_holds_after_another_turn(turns, service):
    project = turns(2)
    done = project.run("--log-format", "text")
    run = project.check_reports(done, 0)
    project.check_nothing_is_left()
    document = run.run_json
    assert [attempt["checks"][0]["output"] for attempt in document["attempts"]] == [
        "found 0\n",
        "found 1\n",
        "found 2\n",
    ]
    assert document["checks"] == document["attempts"][-1]["checks"]
    assert len({attempt["thread_id"] for attempt in document["attempts"]}) == 1
    assert "the check 'the number' failed" in document["attempts"][1]["reason"]
    assert document["reply"] == "turn 2 is done"
    assert document["usage"]["total"] == 6 * 130
    told = service.responses[-1].follow_ups[-1]
    for part in ("# the number: this command exited with 1", "$ printf 'found '", "found 1\n", "final reply again"):
        assert part in told
    (case,) = [case for case in run.junit.iter("testcase") if case.get("name") == "the number"]
    again = [each.get("message") for each in case if each.tag == "flakyFailure"]
    assert [re.sub(r"[\d.]+m?s", "T", message) for message in again] == [
        "after attempt 1: found 0 (exited with 1 after T)",
        "after attempt 2: found 1 (exited with 1 after T)",
    ]
    assert "the thread goes on" in done.stderr
    assert "failed checks: the number" in (run.path / "summary.md").read_text()


def test_a_check_that_never_holds_is_tried_so_often_and_no_more(turns, service):
    project = turns("never", retry={"checks": 1})
    run = project.check_reports(project.run(), 1)
    assert len(run.run_json["attempts"]) == 2
    assert "the check 'the number' exited with 1" in run.run_json["reason"]
    (case,) = [case for case in run.junit.iter("testcase") if case.get("name") == "the number"]
    assert [each.tag for each in case if "ailure" in each.tag] == ["failure", "rerunFailure"]


def test_fail_is_the_default(turns):
    project = turns(1, on_check_failure="fail")
    run = project.check_reports(project.run(), 1)
    assert len(run.run_json["attempts"]) == 1


def test_a_turn_that_fails_is_tried_again_within_its_own_attempts(turns, service):
    refusals = ["the first request of the second turn"]

    def flaky(step, request):
        if request.follow_ups and refusals:
            refusals.pop()
            return refuse(503, "overloaded", "server_is_overloaded", kind="server_error")
        return one_more_each_turn(step, request)

    project = turns(2, retry={"attempts": 2})  # the word to go on counts as a turn too
    service.scenario("turns", flaky)
    endings = ["None", "capacity", "None"]
    run = project.check_reports(project.run(), 0)
    assert [str(attempt["ending"]["failure"]) for attempt in run.run_json["attempts"]] == endings
    assert run.cases["the number"] is None


def test_a_turn_that_fails_for_good_is_the_verdict(turns, service):
    def refused(step, request):
        return refuse(401, "no", "invalid_api_key") if request.follow_ups else one_more_each_turn(step, request)

    project = turns(1)
    service.scenario("turns", refused)
    run = project.check_reports(project.run(), 4)
    assert run.cases["agent"] == "error"
    assert run.cases["the number"] == "skipped", "it was not checked after the last turn"
    assert run.run_json["checks"] == []


def test_a_reply_that_does_not_fit_is_told_too(project, service):
    def learns(_step, request):
        return reply(message('{"answer": 42}' if request.follow_ups else "It is 42."))

    service.scenario("learns", learns)
    (project.cwd / "schema.json").write_text('{"type": "object", "required": ["answer"]}')
    project.configure(prompt="SCN:learns", output_schema="schema.json", on_check_failure="retry")
    run = project.check_reports(project.run(), 0)
    assert "# output schema\nThe reply is not JSON" in service.responses[-1].follow_ups[-1]
    assert service.responses[-1].body["text"]["format"]["type"] == "json_schema", "the schema is asked for again"
    assert (run.path / "artifacts" / "reply.json").read_text() == '{"answer": 42}\n'


@pytest.mark.parametrize(
    ("rules", "code", "attempts"), [({"must_change": ["other.txt"]}, 1, 3), ({"allowed_paths": []}, 12, 1)]
)
def test_rules_that_are_broken(turns, rules, code, attempts):
    project = turns(0, **rules)
    project.git_init()
    run = project.check_reports(project.run(), code)
    assert len(run.run_json["attempts"]) == attempts
    assert run.cases["path rules"] == "failure"


def test_no_secret_is_told(turns, service):
    project = turns(1)
    project.environ["CHECKED"] = project.key
    project.configure(
        prompt="SCN:turns", sandbox="workspace-write", on_check_failure="retry",
        checks=[{"name": "leaky", "run": "echo key is $CHECKED; grep -qx 1 turn.txt"}],
    )  # fmt: skip
    project.check_reports(project.run(), 0)
    project.check_no_secret()
    assert "key is ***SCRIPTED_MODEL_KEY***" in service.responses[-1].follow_ups[-1]


def test_no_time_is_left(turns):
    project = turns("never", timeout="1m", retry={"least": "1m"})
    run = project.check_reports(project.run(), 1)
    assert "s are left" in run.warnings["no-retry"]
    assert len(run.run_json["attempts"]) == 1


def test_an_attached_run_gets_no_other_turn(turns, service):
    project = turns("never")
    service.scenario("turns", script(message("done")))
    project.configure(
        prompt="SCN:turns", on_check_failure="retry",
        checks=[{"name": "slow", "run": "sleep 3; false"}],
    )  # fmt: skip
    running = project.start("run", JOB)
    running.until(lambda: b"check.started" in project.recorded)
    running.kill()
    done = project.command("attach", project.runs[0].run_id)
    run = project.check_reports(done, 1)
    assert "does not start codex again" in run.warnings["no-retry"]
    assert len(run.run_json["attempts"]) == 1
