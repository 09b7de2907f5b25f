"""The schema of codex-runner.toml, for editors: what codex-runner takes, it takes too, and it knows every key."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from support import commands
from support.places import build_folder
from support.tools import tool

from codex_runner import __version__
from codex_runner.config.first_file import STARTER
from codex_runner.config.json_schema import schema
from codex_runner.config.tables import CONFIG_FILE, Array, Named, Table, below, known_keys

TOP = Path(__file__).parents[2]
SCHEMA = json.loads((TOP / "docs/codex-runner.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft7Validator(SCHEMA)


def wrong(text):
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_it_is_what_the_tables_say():
    assert schema() == (TOP / "docs/codex-runner.schema.json").read_text(encoding="utf-8"), "run ci/docs"
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "prefixItems" not in schema()


def test_the_command_prints_it_and_names_the_version(tmp_path):
    said = commands.run("config", "schema", cwd=tmp_path, environ={})
    assert (said.code, said.stdout, said.stderr) == (0, schema(), "")
    assert __version__ in said.json["$comment"]


def test_taplo_finds_a_mistake_in_the_first_file(tmp_path):
    """Taplo checks the file as editors do, by the schema that `init` writes and that the first line names."""
    if (taplo := tool("taplo", build_folder())) is None:
        pytest.skip("taplo cannot be installed: the index does not answer")
    assert commands.run("init", cwd=tmp_path, environ={}).code == 0
    file = tmp_path / "codex-runner.toml"

    def lint():
        environ = {"HOME": str(tmp_path), "PATH": "", "NO_COLOR": "1"}
        done = subprocess.run([taplo, "lint", file], cwd="/", env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, told = lint()
    assert code == 0, told
    file.write_text(file.read_text().replace("sandbox = ", "sandbocks = "))
    code, told = lint()
    assert code != 0
    assert "sandbocks" in told


def test_it_knows_every_key():
    def compare(node, schema, path):
        match node:
            case Table():
                assert schema["properties"].keys() == set(known_keys(node)), path
                for name in node.keys:
                    compare(below(node, name), schema["properties"][name], f"{path}.{name}")
            case Named():
                compare(node.each, schema["additionalProperties"], f"{path}.*")
            case Array():
                compare(node.each, schema["items"], f"{path}[]")

    compare(CONFIG_FILE, SCHEMA, "")


@pytest.mark.parametrize("document", sorted(path.name for path in (TOP / "docs").glob("*.md")))
def test_it_takes_every_example_of_the_docs(document):
    text = (TOP / "docs" / document).read_text(encoding="utf-8")
    for example in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        told = wrong(example if "version = 1" in example else f"version = 1\n{example}")
        assert told == [] or not codex_runners(example), (told, example)


def codex_runners(example):
    """Whether the text is a codex-runner.toml, by its tables: some pages show files of other programs too."""
    return tomllib.loads(example).keys() <= set(known_keys(CONFIG_FILE))


def test_it_takes_the_first_file_and_the_projects_own():
    assert wrong(STARTER) == []
    for path in TOP.glob("codex-runner.toml"):
        assert wrong(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version = 2", "1 was expected"),
        ("[jobs.x]", "'version' is a required property"),
        ("version = 1\n[jobs.x]\ntimout = 3", "'timout' was unexpected"),
        ("version = 1\n[jobs.x]\ntimeout = true", "True is not of type 'string', 'number'"),
        ("version = 1\n[jobs.x]\nsandbox = 'none'", "'none' is not one of"),
        ("version = 1\n[[jobs.x.checks]]\nname = 'a'", "'run' is a required property"),
    ],
)
def test_it_says_what_is_wrong(text, told):
    assert any(told in message for message in wrong(text))
