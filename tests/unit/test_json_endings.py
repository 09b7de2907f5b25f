"""`--json` prints one object on every ending, also if the command cannot even begin."""

import json

import pytest
from support import commands

GOOD = "version = 1\n[jobs.docs]\nprompt = 'x'\n"
ENDINGS = {
    "no configuration": (None, ("run", "docs"), 3),
    "no TOML": ("version = ", ("jobs",), 3),
    "a wrong key": ("version = 1\nkey = 'x'\n", ("runs",), 3),
    "a job that is not there": (GOOD, ("config", "show", "nothing"), 3),
    "a run that is not there": (GOOD, ("deliver", "last"), 2),
    "an unknown option": (GOOD, ("prune", "--oldest"), 2),
    "an argument that is missing": (GOOD, ("run",), 2),
    "nothing selected": (GOOD, ("prune",), 2),
    "a wrong file": ("version = 2", ("config", "check"), 3),
    "a login that is missing": (GOOD, ("token", "check", "acme/app/x"), None),
    "doctor": ("version = 2", ("doctor",), 3),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_object_on_every_ending(tmp_path, ending):
    text, arguments, code = ENDINGS[ending]
    if text is not None:
        (tmp_path / "codex-runner.toml").write_text(text)
    # Warnings of the environment, and its secrets, stay out of it.
    environ = {"HOME": str(tmp_path), "VAULT_TOKEN": "canary-5f2b9c71d3e84a06", "PATH": "/usr/bin:/bin"}
    said = commands.run(*arguments, "--json", cwd=tmp_path, environ=environ)
    assert said.code == code if code else said.code != 0
    document = json.loads(said.stdout)
    assert isinstance(document, dict)
    if "reason" in document:
        assert (document["result"], document["exit_code"]) == ("failed", said.code)
        assert document["reason"]
    assert said.stderr or ending == "a wrong file" or "checks" in document
    assert "canary" not in said.text


def test_without_json_stdout_stays_empty_and_a_text_is_no_option(tmp_path):
    (tmp_path / "codex-runner.toml").write_text("version = ")
    for arguments in (("jobs",), ("run", "docs", "--", "--json")):
        assert commands.run(*arguments, cwd=tmp_path, environ={}).stdout == ""


def test_the_object_masks_a_misplaced_secret(tmp_path):
    text = GOOD + "credential = { source = 'env', variable = 'https://canary-5f2b9c71' }\n"
    (tmp_path / "codex-runner.toml").write_text(text)
    said = commands.run("run", "docs", "--json", cwd=tmp_path, environ={})
    assert (said.code, said.json["exit_code"]) == (3, 3)
    assert "canary" not in said.text
