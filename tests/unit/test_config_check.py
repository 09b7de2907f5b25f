"""`codex-runner config check`: it names what a run would refuse of the file, and skips what only a run can know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codex_runner.app.config_check import check_file

PROGRAM = Path(sys.executable).with_name("codex-runner")
GOOD = """\
version = 1
[jobs.docs]
prompt_file = "docs.md"
"""


@pytest.fixture
def check(tmp_path):
    """Runs the command in an empty environment: neither codex nor git, no secret."""
    (tmp_path / "docs.md").write_text("Write about {{TOPIC}}.")

    def run(text, *files, environ=None):
        (tmp_path / "codex-runner.toml").write_text(text)
        return subprocess.run(
            [PROGRAM, "config", "check", *files],
            cwd=tmp_path,
            env={"PATH": "", "HOME": str(tmp_path), **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_good_file_is_valid_without_codex_and_without_its_variables(check):
    done = check(GOOD, "codex-runner.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "codex-runner.toml: valid, 1 job\n"


def test_the_nearest_file_is_the_default(check, tmp_path):
    assert check(GOOD).stdout == f"{tmp_path / 'codex-runner.toml'}: valid, 1 job\n"


def test_a_mistake_is_told_with_file_key_value_and_remedy(check):
    done = check(GOOD + 'sandbox = "none"\ntimout = "5m"\n', "codex-runner.toml")
    assert (done.returncode, done.stdout) == (3, "")
    assert 'codex-runner: codex-runner.toml:4:1: jobs.docs.sandbox = "none": ' in done.stderr
    assert "codex-runner.toml:5:1: jobs.docs.timout: unknown key; did you mean `timeout`?\n" in done.stderr
    assert done.stderr.count("  Correct the configuration; ") == 1


def test_each_file_and_each_job_is_checked(check, tmp_path):
    (tmp_path / "other.toml").write_text("version = 2\n")
    more = '[jobs.other]\nprompt_file = "missing.md"\n[jobs.third]\nprompt = "x"\noutput_schema = "missing.json"\n'
    done = check(GOOD + more, "codex-runner.toml", "other.toml", "absent.toml")
    assert done.returncode == 3
    for told in (
        "jobs.other.prompt_file",
        "jobs.third.output_schema",
        "other.toml:1:1: version",
        "absent.toml:1:1: there is no",
    ):
        assert told in done.stderr
    assert "jobs.docs" not in done.stderr


WRONG = """\
version = 1
colour = "red"
[jobs.docs]
prompt_file = "docs.md"
timeout = "soon"           # a wrong value
output_schema = "none.json"
[jobs.docs.budget]
tokens = "many"
[jobs.free]
prompt = "x"
sandbox = "danger-full-access"
codex.env = { TOKEN = "canary" }
cwd = "nowhere"
output_schema = "schema.json"
[[jobs.free.checks]]
name = "first"
run = "true"
[[jobs.free.checks]]
run = "true"
[jobs.last]
prompt = " "
"""


def test_every_mistake_is_told_at_once_with_line_and_column(check, tmp_path):
    (tmp_path / "schema.json").write_text('{"type": "nonsense"}')
    done = check(WRONG, "codex-runner.toml", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    (file,) = json.loads(done.stdout)["files"]
    assert (file["file"], file["valid"]) == ("codex-runner.toml", False)
    assert [(each["line"], each["column"], each["key"]) for each in file["problems"]] == [
        (2, 1, "colour"),
        (5, 1, "jobs.docs.timeout"),
        (6, 1, "jobs.docs.output_schema"),
        (8, 1, "jobs.docs.budget.tokens"),
        (11, 1, "jobs.free.sandbox"),
        (13, 1, "jobs.free.cwd"),
        (14, 1, "jobs.free.output_schema"),
        (18, 13, "jobs.free.checks[1].name"),
        (21, 1, "jobs.last.prompt"),
    ]
    assert all(each["message"].startswith(each["key"]) and each["remedy"] for each in file["problems"])
    assert "canary" not in done.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("timeout = 'bad'", ["timeout", "delivery"]),
        ("colour = 'red'", ["colour", "delivery"]),
        ("sandbocks = 'workspace-write'", ["sandbocks"]),  # probably what makes the delivery right
        ("sandbox = 'write'", ["sandbox"]),
        ("cwd = 'nowhere'", ["cwd", "delivery"]),
    ],
)
def test_rules_for_several_keys_are_judged_if_none_of_these_is_wrong(check, wrong, told):
    delivery = "delivery = { target = 'git', repository = '/srv/app.git' }\n"
    done = check(f"{GOOD}{wrong}\n{delivery}", "--json")
    (file,) = json.loads(done.stdout)["files"]
    assert [each["key"] for each in file["problems"]] == [f"jobs.docs.{key}" for key in told]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version = 1\n[jobs.x\n", "2:8"),
        ("version = 1\nx = [1,", "2:8"),
        ("version = \r\n", "1:11"),
        ("", "1:1"),
    ],
)
def test_a_file_that_is_no_toml_has_a_place_too(check, text, place):
    done = check(text, "codex-runner.toml")
    assert done.returncode == 3
    assert done.stderr.startswith(f"codex-runner: codex-runner.toml:{place}: ")


def test_files_that_are_good_and_bad_are_one_object(check, tmp_path):
    (tmp_path / "other.toml").write_text("version = 2\n")
    done = check(GOOD, "codex-runner.toml", "other.toml", "--json")
    good, bad = json.loads(done.stdout)["files"]
    assert (good["valid"], good["jobs"], good["problems"]) == (True, ["docs"], [])
    assert (bad["valid"], bad["problems"][0]["key"]) == (False, "version")


SECRET = "sk-proj-canary0123456789abcdefghijkl"


@pytest.mark.parametrize(
    "text",
    [
        f"[codex]\nenv = {{ A = 1, B = '{SECRET}' }}\n[codex.config.mcp_servers.a]\nenv.A = '{SECRET}'\n",
        f"[codex]\nkey = '{SECRET}'\n",
        f"[jobs.docs.credential]\nsource = 'env'\nvariable = '{SECRET}'\nkind = 3\n",
        f"[jobs.docs.credential]\nsource = 'file'\ntoken = '{SECRET}'\nfile = 7\n",
        f"[vault]\nauth = {{ method = 'token', token = '{SECRET}' }}\n",
        f"[[notify]]\nname = 'x'\nurl_variable = 'https://example.com/{SECRET}'\n",
        f"[hosts.devbox]\nenvironment = ['TOKEN={SECRET}']\n",
        f"api_key = '{SECRET}'\n",
    ],
)
def test_no_mistake_shows_a_misplaced_secret(check, text):
    for arguments in ((), ("--json",)):
        head, _, rest = GOOD.partition("[")
        done = check(f"{head}{text}[{rest}" if text.startswith("api") else GOOD + text, *arguments)
        assert done.returncode == 3
        assert "canary" not in done.stdout + done.stderr


def test_a_schema_that_is_no_schema_is_told(check, tmp_path):
    (tmp_path / "schema.json").write_text('{"type": "nonsense"}')
    done = check(GOOD + 'output_schema = "schema.json"\n')
    assert done.returncode == 3
    assert "jobs.docs.output_schema" in done.stderr


def test_a_name_that_nothing_fills_is_told(check):
    delivery = '[jobs.docs.delivery]\ntarget = "git"\nrepository = "/srv/app.git"\ncommit_message = "{{%s}}"\n'
    text = GOOD + 'sandbox = "workspace-write"\n' + delivery
    assert check(text % "TOPIC").returncode == 0
    done = check(text % "SUMARY")
    assert done.returncode == 3
    assert "jobs.docs.delivery.commit_message: names {{SUMARY}}" in done.stderr


def test_the_environment_changes_nothing_and_shows_nowhere(check):
    environ = {"CODEX_RUNNER_JOBS__DOCS__TIMEOUT": "never", "CODEX_RUNNER_NONSENSE": "canary", "VAULT_TOKEN": "canary"}
    done = check(GOOD, environ=environ)
    assert done.returncode == 0, done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("more", ['cwd = "/srv/app"', 'cwd = "~/app"', 'host = "devbox"\ncwd = "/srv/app"'])
def test_a_folder_of_another_machine_is_none_of_its_business(check, more):
    assert check(GOOD + more).returncode == 0


def test_a_folder_beside_the_file_is(check, tmp_path):
    assert "is not a folder" in check(GOOD + 'cwd = "part"').stderr
    (tmp_path / "part").mkdir()
    assert check(GOOD + 'cwd = "part"').returncode == 0


def test_a_job_whose_prompt_comes_with_the_run_is_valid(tmp_path):
    (tmp_path / "codex-runner.toml").write_text("version = 1\n[jobs.ask]\n")
    assert check_file(Path("codex-runner.toml"), tmp_path).problems == ()


def test_what_is_no_file_is_told_as_what_it_is(check, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    done = check(GOOD, "folder", "pipe", "absent.toml")
    assert (done.returncode, done.stdout) == (3, "")
    assert "folder:1:1: is a folder.\n  Name the configuration file itself, such as" in done.stderr
    assert "pipe:1:1: is not a regular file.\n" in done.stderr
    assert "absent.toml:1:1: there is no such file.\n  Write a first one" in done.stderr
