import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.checks.reply_schema import JsonSchema
from codex_runner.domain.errors import ConfigurationError

NOTES = {
    "type": "object",
    "properties": {
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "date": {"type": "string", "format": "date"},
        "changes": {"type": "array", "items": {"$ref": "#/$defs/change"}, "minItems": 1},
    },
    "required": ["version", "changes"],
    "additionalProperties": False,
    "$defs": {"change": {"type": "object", "properties": {"a/b~c": {"type": "integer"}}, "required": ["a/b~c"]}},
}
GOOD = {"version": "1.2.3", "changes": [{"a/b~c": 1}]}


def problems(reply, schema=NOTES):
    return JsonSchema(json.dumps(schema)).problems(reply if isinstance(reply, str) else json.dumps(reply))


def test_a_reply_that_fits():
    assert problems(GOOD) == []
    assert problems("\n " + json.dumps(GOOD) + "\n") == []
    assert problems("1", True) == []


def test_each_problem_has_its_place():
    found = problems({"version": "1.2", "date": "tomorrow", "changes": [{"a/b~c": 1}, {"a/b~c": "x"}], "more": 1})
    assert [sentence.split(": ")[0] for sentence in found] == [
        "At the top",
        "At /changes/1/a~1b~0c",
        "At /date",
        "At /version",
    ]
    assert "'more' was unexpected" in found[0]
    assert "'x' is not of type 'integer'" in found[1]
    assert all(sentence.endswith(".") for sentence in found)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("Here you are.", "is not JSON: Expecting value at line 1, column 1"),
        ("```json\n" + json.dumps(GOOD) + "\n```", "wrapped in a Markdown code fence"),
        ("Here:\n```json\n{}\n```", "among other words"),
        (json.dumps(GOOD) + " done", "Extra data"),
        ('{"version": NaN}', "NaN"),
        ('{"version": 1, "version": 2}', "'version' twice"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "is not JSON"),
        ("\ufeff{}", "is not JSON"),
    ],
)
def test_a_reply_that_is_not_json(reply, words):
    (sentence,) = problems(reply)
    assert words in sentence


def test_many_problems_are_counted_and_long_ones_cut():
    found = problems({"version": "1.2.3", "changes": ["x" * 5000] * 50})
    assert len(found) == 21
    assert found[-1] == "... and 30 more problems."
    assert max(map(len, found)) < 500


def test_sentences_are_one_line_each():
    (sentence,) = problems({"evil\n::error::": 1, **GOOD})
    assert sentence.isprintable()


def test_alternatives_say_which_was_nearest():
    schema = {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"n": {"type": "integer"}}}]}
    (sentence,) = problems({"n": "x"}, schema)
    assert "nearest: at /n: 'x' is not of type 'integer'" in sentence


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "JSON list"),
        ('{"type": "objekt"}', "wrong at /type"),
        ('{"$schema": "https://example.com/draft"}', "draft"),
        ('{"$ref": "https://example.com/other.json"}', "'https://example.com/other.json', which is not in it"),
        ('{"$ref": "http://127.0.0.1:9/x"}', "not in it"),
        ('{"$ref": "file:///etc/passwd"}', "not in it"),
        ('{"$ref": "other.json#/$defs/x"}', "not in it"),
        ('{"properties": {"x": {"$ref": "#/$defs/missing"}}}', "'#/$defs/missing', which is not in it"),
        ('{"$id": "https://example.com/s", "$ref": "sibling"}', "not in it"),
    ],
)
def test_a_schema_that_cannot_work_is_refused_before_anything_is_spent(schema, words):
    with pytest.raises(ConfigurationError) as info:
        JsonSchema(schema)
    assert words in info.value.message
    assert info.value.remedy


def test_references_by_name_work():
    schema = {
        "$id": "https://example.com/s",
        "properties": {"a": {"$ref": "https://example.com/s#/$defs/n"}, "b": {"$ref": "inner"}, "c": {"$ref": "#x"}},
        "$defs": {"n": {"type": "integer"}, "m": {"$id": "inner", "type": "string"}, "x": {"$anchor": "x", "const": 1}},
    }
    assert problems({"a": 1, "b": "x", "c": 1}, schema) == []
    assert len(problems({"a": "x", "b": 1, "c": 2}, schema)) == 3


def test_data_that_looks_like_a_reference_is_data():
    assert problems({"$ref": "nowhere"}, {"const": {"$ref": "nowhere"}}) == []


def test_a_recursive_schema():
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}, "additionalProperties": False}
    assert problems({"child": {"child": {}}}, tree) == []
    assert problems({"child": {"child": {"x": 1}}}, tree)[0].startswith("At /child/child: ")
    deep = '{"child":' * 500 + "{}" + "}" * 500
    assert problems(deep, tree) in ([], ["The reply is nested too deeply to be checked."])


def test_older_drafts_are_read_as_such():
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}
    assert problems("2", draft4) == []
    assert len(problems("1", draft4)) == 1


def test_the_library_is_loaded_late():
    code = "import sys, codex_runner.checks.reply_schema; sys.exit('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.text())
def test_no_reply_breaks_it(reply):
    assert isinstance(problems(reply), list)


def judged(schema, reply, timeout=60.0):
    return asyncio.run(JsonSchema(json.dumps(schema)).judge(reply, timeout=timeout))


BACKTRACKS = {"type": "string", "pattern": "^(a+)+$"}


def test_a_process_of_its_own_judges_alike(tmp_path, monkeypatch):
    # The current folder is the agent's.
    (tmp_path / "json.py").write_text("raise SystemExit(0)")
    (tmp_path / "codex_runner" / "checks").mkdir(parents=True)
    (tmp_path / "codex_runner" / "checks" / "reply_schema.py").write_text("print('[]')")
    monkeypatch.chdir(tmp_path)
    for reply in (json.dumps(GOOD), '{"version": "1"}', "no JSON", "\ud800", "é€"):
        assert judged(NOTES, reply) == problems(reply)


def test_a_pattern_that_backtracks_is_ended():
    assert judged(BACKTRACKS, '"aaaa"') == []
    assert judged(BACKTRACKS, json.dumps("a" * 60 + "!"), timeout=2.0) is None
    assert _judges() == []


def test_whoever_gives_up_leaves_no_process_behind():
    async def give_up():
        judging = asyncio.ensure_future(
            JsonSchema(json.dumps(BACKTRACKS)).judge(json.dumps("a" * 60 + "!"), timeout=60.0)
        )
        while not _judges():  # noqa: ASYNC110 - nothing tells of a process
            await asyncio.sleep(0.01)
        judging.cancel()
        await asyncio.wait({judging})

    asyncio.run(give_up())
    assert _judges() == []


def test_a_judge_whose_runner_is_gone_ends_by_itself():
    request = {"schema": json.dumps(BACKTRACKS), "reply": json.dumps("a" * 60 + "!"), "seconds": 0.5}
    done = subprocess.run(
        [sys.executable, "-c", "from codex_runner.checks.reply_schema import answer; answer()"],
        input=json.dumps(request).encode(),
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGALRM


def _judges():
    """The processes of ours that judge a reply."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            command = (status.parent / "cmdline").read_bytes()
            if f"PPid:\t{os.getpid()}\n" in status.read_text() and b"codex_runner.checks.reply_schema" in command:
                found.append(status.parent.name)
    return found
