"""A reply that must be JSON of a certain shape: asked of the model by codex, held against it by the runner."""

import json
import re
import signal

import pytest
from support.runs import JOB

from codex_runner.demo.model_wire import message
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "ok": {"type": "boolean"}},
    "required": ["answer", "ok"],
    "additionalProperties": False,
}


@pytest.fixture
def answers(project, service):
    """Makes the model answer with a text, and the job ask for the schema's shape."""

    def answer(text, schema=SCHEMA, **job):
        (project.cwd / "reply.schema.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
        service.scenario("answer", script(message(text)))
        project.configure(prompt="SCN:answer", output_schema="reply.schema.json", **job)
        return project

    return answer


def test_a_reply_that_fits(answers, service):
    project = answers('{"answer": 42, "ok": true}')
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert service.responses[-1].body["text"]["format"]["schema"] == SCHEMA
    assert run.cases["output schema"] is None
    assert json.loads((run.path / "artifacts" / "reply.json").read_bytes()) == {"answer": 42, "ok": True}


@pytest.mark.parametrize(
    ("reply", "words", "kept"),
    [
        ('{"answer": "42", "ok": true}', "At /answer: '42' is not of type 'integer'.", True),
        ('{"answer": 42}', "At the top: 'ok' is a required property.", True),
        ("[]", "At the top: [] is not of type 'object'", True),
        ('```json\n{"answer": 42, "ok": true}\n```', "code fence", False),
        ("The answer is 42.", "is not JSON", False),
        ('{"answer": 42, "ok": true} done', "is not JSON", False),
    ],
)
def test_a_reply_that_does_not_fit_is_no_success(answers, reply, words, kept):
    project = answers(reply, checks=[{"name": "green", "run": "true"}])
    run = project.check_reports(project.run(), 1)
    project.check_nothing_is_left()
    assert run.run_json["reason"].startswith("the agent completed its turn, but its reply does not fit the schema: ")
    assert words in run.run_json["reason"]
    assert (run.cases["agent"], run.cases["output schema"], run.cases["green"]) == (None, "failure", None)
    assert (run.path / "artifacts" / "reply.json").exists() == kept


def test_every_problem_is_told(answers):
    project = answers('{"answer": "x", "ok": 1, "more": null}')
    run = project.check_reports(project.run(), 1)
    (check,) = run.run_json["checks"]
    assert [line.partition(":")[0] for line in check["output"].splitlines()] == ["At the top", "At /answer", "At /ok"]
    assert "And 2 more." in run.run_json["reason"]


@pytest.mark.parametrize(("expected", "failure", "words"), [(True, "no-reply", ""), (False, None, "reply is empty")])
def test_no_reply_at_all(answers, service, expected, failure, words):
    project = answers("", expect_message=expected)
    service.scenario("answer", script(()))
    run = project.check_reports(project.run(), 1)
    assert run.run_json["failure"] == failure
    assert words in run.run_json["reason"]


def test_a_failed_turn_has_no_reply_to_judge(answers):
    project = answers("")
    run = project.check_reports(project.run("--prompt", "SCN:error_400"), 1)
    assert run.cases["output schema"] == "skipped"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", ["jobs.docs.output_schema", "is not JSON"]),
        ({"type": "objekt"}, ["jobs.docs.output_schema", "is wrong at /type", "'objekt'"]),
        ({"$ref": "https://example.com/schema"}, ["jobs.docs.output_schema", "https://example.com/schema", "$defs"]),
        ("", ["jobs.docs.output_schema = 'reply.schema.json'", "is empty"]),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_a_schema_that_cannot_be_used(answers, service, schema, words, arguments):
    project = answers("", schema)
    done = project.run(*arguments)
    assert done.code == 3
    for word in words:
        assert word in done.stderr
    assert (done.runs, service.requests) == ([], [])


def test_a_schema_that_is_not_there(project):
    project.configure(output_schema="no.json")
    done = project.run()
    assert done.code == 3
    assert "jobs.docs.output_schema = 'no.json'" in done.stderr
    assert "No such file" in done.stderr


BACKTRACKS = {"type": "string", "pattern": "^(a+)+$"}
STUCK = json.dumps("a" * 60 + "!")


def test_a_pattern_that_backtracks_is_ended_within_the_time(answers):
    project = answers(STUCK, BACKTRACKS, timeout="6s")
    run = project.check_reports(project.run(), 1)
    project.check_nothing_is_left()
    assert re.search(r"The reply was not judged within [56](\.\d)? ?s", run.run_json["reason"])
    assert "pattern" in run.run_json["remedy"]
    assert run.cases["output schema"] == "failure"


def test_a_run_that_judges_hears_a_signal(answers):
    project = answers(STUCK, BACKTRACKS)
    running = project.start("run", JOB)
    running.until_command("codex_runner.checks.reply_schema")
    running.signal(signal.SIGTERM)
    project.check_reports(running.wait(), 143)
    project.check_nothing_is_left()
