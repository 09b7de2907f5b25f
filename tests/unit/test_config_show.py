"""`codex-runner config show`: what a job resolves to, where each value comes from, and no secret."""

import json

import pytest
from support import commands

FILE = """\
version = 1
[codex]
model = "gpt-5.5"
path = "/opt/codex"
[defaults]
timeout = "20m"
budget = { tokens = 5 }
[jobs.docs]
prompt_file = "docs.md"
host = "devbox"
cwd = "/srv"
retry.attempts = 2
[hosts.devbox]
codex = "/usr/local/bin/codex"
"""
CANARY = "canary-5f2b9c71d3e84a06"


@pytest.fixture
def show(tmp_path):
    (tmp_path / "docs.md").write_text("Write about {{TOPIC}}.\n")

    def run(text, *arguments, environ=None):
        (tmp_path / "codex-runner.toml").write_text(text)
        said = commands.run("config", "show", *arguments, cwd=tmp_path, environ={"HOME": "/", **(environ or {})})
        assert said.code == 0, said.text
        return said

    return run


def test_each_value_has_the_origin_that_won(show):
    environ = {"CODEX_RUNNER_JOBS__DOCS__RETRY__TRIES": "9", "CODEX_RUNNER_DEFAULTS__TIMEOUT": "25m"}
    said = show(FILE, "docs", "--json", "--set", "jobs.docs.model=gpt-5.4", environ=environ).json
    values = {each["key"]: (each["value"], each["source"], each["place"]) for each in said["values"]}
    file = "codex-runner.toml"
    assert values["timeout"] == (1500, "environment", "CODEX_RUNNER_DEFAULTS__TIMEOUT")
    assert values["retry.tries"] == (9, "environment", "CODEX_RUNNER_JOBS__DOCS__RETRY__TRIES")
    assert values["codex.model"] == ("gpt-5.4", "--set", None)
    assert values["codex.path"] == ("/usr/local/bin/codex", "file", f"{file}:14:1")
    assert values["retry.attempts"] == (2, "file", f"{file}:12:7")
    assert values["budget.tokens"] == (5, "file", f"{file}:7:12")
    assert values["prompt"] == ("Write about {{TOPIC}}.\n", "file", f"{file}:9:1")
    assert values["stall_timeout"] == (900, "default", None)
    assert "model" not in values


def test_what_the_defaults_do_not_give_is_not_said_to_come_from_them(show):
    """A job's table replaces that of the defaults, and its prompt the other way to give one; a credential is merged."""
    defaults = "[defaults]\nprompt_file = 'docs.md'\nbudget.tokens = 5\nbudget.turns = 1\ncredential.mount = 'kv'\n"
    job = "[jobs.docs]\nprompt = 'x'\nbudget.turns = 2\ncredential.path = 'a/b/c'\n"
    said = show(f"version = 1\n{defaults}{job}", "docs", "--json").json
    values = {each["key"]: (each["value"], each["source"], each["place"]) for each in said["values"]}
    assert values["budget.tokens"] == values["prompt_file"] == (None, "default", None)
    assert values["budget.turns"] == (2, "file", "codex-runner.toml:9:8")
    assert values["prompt"] == ("x", "file", "codex-runner.toml:8:1")
    assert values["credential.mount"] == ("kv", "file", "codex-runner.toml:6:12")
    assert values["credential.path"] == ("a/b/c", "file", "codex-runner.toml:10:12")


def test_the_table_is_for_people(show):
    lines = show(FILE, "docs").stdout.splitlines()
    assert lines[0].split() == ["KEY", "VALUE", "FROM"]
    assert ["timeout", "20m", "codex-runner.toml:6:1"] in [line.split() for line in lines]


SECRET_PLACES = {
    "a variable of codex": f"codex.env = {{ TOKEN = '{CANARY}' }}",
    "a server's variable": f"codex.config.mcp_servers.a.env.TOKEN = '{CANARY}'",
    "a server's argument": f"codex.config.mcp_servers.a.args = ['--api-key', '{CANARY}']",
    "a provider's header": f"codex.config.model_providers.a.http_headers.Authorization = 'Bearer {CANARY}'",
    "the text of the prompt, too": f"codex.env = {{ TOKEN = '{CANARY}' }}\nprompt = 'Use {CANARY}.'",
    "a check, too": f"codex.env.TOKEN = '{CANARY}'\nchecks = [{{ name = 'a', run = 'curl -u a:{CANARY} x' }}]",
    "a description, too": f"codex.env.TOKEN = '{CANARY}'\ndescription = 'with {CANARY}'",
    "a variable's name": "credential = { source = 'env', variable = 'sk_live_" + "5f2b9c71d3e84a06canary0123' }",
}


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_no_secret_is_shown(show, place):
    text = "version = 1\n[jobs.docs]\n" + ("" if "prompt =" in SECRET_PLACES[place] else "prompt = 'x'\n")
    for arguments in (("docs",), ("docs", "--json")):
        said = show(text + SECRET_PLACES[place], *arguments)
        assert CANARY not in said.text
        if "name" not in place:
            assert "***" in said.stdout


def test_a_secret_of_the_environment_is_shown_as_its_name(show):
    environ = {"CODEX_RUNNER_CODEX__ENV__MY_TOKEN": CANARY, "VAULT_TOKEN": f"hvs.{CANARY}"}
    text = f"version = 1\n[jobs.docs]\nprompt = 'as hvs.{CANARY} and {CANARY}'\n"
    said = show(text, "docs", "--json", "--set", f"jobs.docs.codex.env.OTHER={CANARY}x", environ=environ)
    assert CANARY not in said.text
    values = {each["key"]: each for each in said.json["values"]}
    assert values["codex.env.MY_TOKEN"] == {
        "key": "codex.env.MY_TOKEN",
        "value": "***MY_TOKEN***",
        "source": "environment",
        "place": "CODEX_RUNNER_CODEX__ENV__MY_TOKEN",
    }
    assert json.dumps(values["codex.env.OTHER"]["source"]) == '"--set"'
