from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from support.report_states import a_run, records, states

from codex_runner.domain import event as ev
from codex_runner.domain.state import RunState, fold
from codex_runner.reports.run_json import run_document

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def written(state):
    return json.loads(json.dumps(run_document(state), allow_nan=False))


def strict(schema):
    """The same schema, refusing keys that it does not name: what it publishes must be all that there is."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(value) for key, value in schema.items()}
    if "required" in schema and "additionalProperties" not in schema:
        inner["additionalProperties"] = False
    return inner


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_whole_run_and_nothing_that_the_schema_does_not_name():
    document = written(a_run())
    jsonschema.Draft202012Validator(strict(SCHEMA)).validate(document)
    assert document["started"] == "2026-01-02T03:04:06.250Z"
    assert document["result"] == "succeeded"
    assert document["exit_code"] == 0
    assert document["thread_id"] == "019a"
    assert document["usage"] == {
        "input": 1000,
        "cached_input": 800,
        "output": 50,
        "reasoning_output": 10,
        "total": 1050,
    }
    first, second = document["attempts"]
    assert first["ending"] == {"failure": "capacity", "message": "the model has no capacity"}
    assert second["ending"] == {"failure": None, "message": "the agent completed its turn"}
    assert second["exit"] == {"code": 0, "signal": None, "stopped": "none", "swept": "clean", "killed": 0}
    assert document["files"] == [{"path": "/w/RELEASE_NOTES.md", "change": "add"}]
    assert [check["name"] for check in document["checks"]] == ["docs build", "spelling"]
    assert document["artifacts"] == [{"path": "artifacts/RELEASE_NOTES.md", "size": 1234, "sha256": "0" * 64}]


@given(states())
def test_whatever_happened_the_document_keeps_to_the_schema(state):
    VALIDATOR.validate(written(state))


def test_while_the_run_goes_on_there_is_no_result():
    document = written(fold(records([ev.RunStarted("r", "j", "local"), ev.AttemptStarted(1)])))
    VALIDATOR.validate(document)
    assert [document[key] for key in ("result", "exit_code", "reason", "ended", "failure")] == [None] * 5
    VALIDATOR.validate(written(RunState()))


@pytest.mark.parametrize("change", [{"version": 2}, {"result": "green"}, {"started": "yesterday"}, {"usage": {}}])
def test_the_schema_refuses_what_is_wrong(change):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(written(a_run()) | change)
