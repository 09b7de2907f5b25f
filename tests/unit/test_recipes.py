"""Recipes: each is added to a configuration that keeps all it had, loads, and gets a pipeline on each system."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from codex_runner.cli.init import init
from codex_runner.cli.pipelines import STARTERS
from codex_runner.cli.recipes import RECIPES
from codex_runner.config import load, resolve_job
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.secret_names import ACTIONS_TOKEN, FORGEJO_TOKENS, GITHUB_TOKENS

ROOT = Path(__file__).parents[2]
WITH_INPUT = {name for name, recipe in RECIPES.items() if recipe.has_input}
DELIVERING = {name for name, recipe in RECIPES.items() if recipe.delivers}


@pytest.fixture
def run(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(init)
    return lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=True)


def done(result):
    assert result.exit_code == 0, result.exception
    return result.stdout


def everything(folder):
    return {
        path.relative_to(folder): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_makes_a_configuration_that_loads(run, tmp_path, recipe):
    said = done(run("--recipe", recipe))
    assert "Wrote codex-runner.toml, with one job" in said
    assert f"codex-runner run {recipe}" in said
    job = resolve_job(load(None, tmp_path, {}), recipe)
    settings = load(None, tmp_path, {}).jobs[recipe]
    assert settings.credential.variable is None
    assert job.checks
    assert settings.budget.tokens
    assert job.gate is not None
    assert (job.delivery is not None) == (recipe in DELIVERING)
    assert ("GITHUB_TOKEN" in said) == (recipe in DELIVERING)
    assert (f"--context codex-input/{recipe}.txt" in said) == (recipe in WITH_INPUT)
    assert not any(re.search(r"@[A-Z_]+@|^\?", text, re.MULTILINE) for text in everything(tmp_path).values())


def test_recipes_are_appended_and_what_was_there_stays(run, tmp_path):
    file = tmp_path / "codex-runner.toml"
    mine = 'version = 1 # mine\n\n[codex]\nmodel = "gpt-5.5"\n[jobs.mine]\nprompt = "x"'
    file.write_text(mine)
    for recipe in RECIPES:
        assert "Added the job" in done(run("--recipe", recipe))
    assert file.read_text().startswith(mine)
    config = load(None, tmp_path, {})
    assert set(config.jobs) == {"mine", *RECIPES}


def test_running_it_again_changes_nothing_and_says_so(run, tmp_path):
    done(run("--recipe", "docs"))
    before = everything(tmp_path)
    said = done(run("--recipe", "docs"))
    assert "has the job docs already: it stays as it is." in said
    assert said.count(" is up to date.") == 2
    assert everything(tmp_path) == before


def test_a_prompt_that_was_adapted_is_replaced_only_with_force_and_the_configuration_never(run, tmp_path):
    done(run("--recipe", "docs"))
    prompt, file = tmp_path / "prompts/docs.md", tmp_path / "codex-runner.toml"
    original = prompt.read_text()
    prompt.write_text("mine")
    file.write_text(file.read_text().replace("max_changed_lines = 600", "max_changed_lines = 7"))
    refused = run("--recipe", "docs").exception
    assert isinstance(refused, UsageError)
    assert "prompts/docs.md exists already" in refused.message
    assert prompt.read_text() == "mine"
    done(run("--recipe", "docs", "--force"))
    assert prompt.read_text() == original
    assert "max_changed_lines = 7" in file.read_text()


def test_another_job_of_that_name_is_left_alone_and_another_name_is_free(run, tmp_path):
    file = tmp_path / "codex-runner.toml"
    file.write_text('version = 1\n[jobs.docs]\nprompt = "mine"\n')
    refused = run("--recipe", "docs").exception
    assert isinstance(refused, UsageError)
    assert "--job" in refused.remedy
    assert list(everything(tmp_path)) == [file.relative_to(tmp_path)]
    done(run("--recipe", "docs", "--job", "nightly.docs"))
    config = load(None, tmp_path, {})
    assert resolve_job(config, "nightly.docs").checks[0].run == "sh prompts/nightly.docs.check.sh"
    assert config.jobs["docs"].prompt == "mine"
    assert isinstance(run("--recipe", "docs", "--job", "../x").exception, UsageError)


def test_a_configuration_that_takes_no_table_gets_the_text_to_add(run, tmp_path):
    file = tmp_path / "codex-runner.toml"
    text = 'version = 1\njobs = { mine = { prompt = "x" } }\n'
    file.write_text(text)
    result = run("--recipe", "docs")
    assert isinstance(result.exception, ConfigurationError)
    assert tomllib.loads(result.stdout)["jobs"]["docs"]["prompt_file"] == "prompts/docs.md"
    assert everything(tmp_path) == {file.relative_to(tmp_path): text}


def test_a_configuration_that_is_wrong_is_told_before_anything_is_written(run, tmp_path):
    file = tmp_path / "codex-runner.toml"
    file.write_text("version = 1\ncolour = 1\n")
    assert isinstance(run("--recipe", "docs").exception, ConfigurationError)
    assert len(everything(tmp_path)) == 1


def test_credentials_of_the_defaults_are_not_overridden(run, tmp_path):
    (tmp_path / "codex-runner.toml").write_text(
        'version = 1\n[vault]\naddress = "https://vault.example.com"\n'
        '[defaults]\ncredential = { path = "acme/app/all" }\n'
        '[defaults.delivery]\ncredential = { path = "acme/app/forge" }\n'
    )
    assert "CODEX_API_KEY" not in done(run("--recipe", "docs"))
    job = load(None, tmp_path, {}).jobs["docs"]
    assert job.credential.path == "acme/app/all"
    assert job.delivery.credential.path == "acme/app/forge"


def test_below_the_top_of_a_repository_the_path_rules_begin_at_the_top(run, tmp_path, monkeypatch):
    folder = tmp_path / 'a "part"'
    folder.mkdir()
    monkeypatch.chdir(folder)
    said = done(run("github", "--recipe", "test-triage"))
    assert "Wrote ../.github/workflows/test-triage.yml." in said
    job = resolve_job(load(None, folder, {}), "test-triage")
    assert job.rules.allowed_paths == ('a "part"/codex-report/test-triage.md',)
    workflow = yaml.safe_load((tmp_path / ".github/workflows/test-triage.yml").read_text())
    script = workflow["jobs"]["input"]["steps"][1]["run"]
    assert script == "sh 'a \"part\"/prompts/test-triage.input.sh'\n"
    assert workflow["jobs"]["input"]["steps"][2]["with"]["path"] == 'a "part"/codex-input'
    arguments = workflow["jobs"]["codex"]["steps"][-1]["with"]["arguments"]
    assert arguments.splitlines() == ["--context", 'a "part"/codex-input/test-triage.txt']
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    assert "Added the job docs to ../codex-runner.toml." in done(run("--recipe", "docs"))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("system", STARTERS)
def test_every_system_runs_every_recipe_with_its_schedule_and_its_input(run, tmp_path, system, recipe):
    said = done(run(system, "--recipe", recipe))
    written = re.findall(r"^Wrote ([^ ,]*)\.$", said, re.MULTILINE)
    text = "".join((tmp_path / name).read_text() for name in written if "prompts/" not in name)
    assert not re.search(r"@[A-Z_]+@|^\?", text, re.MULTILINE)
    assert (f"prompts/{recipe}.input.sh" in text) == (recipe in WITH_INPUT)
    assert (f"codex-input/{recipe}.txt" in text) == (recipe in WITH_INPUT)
    weekly = RECIPES[recipe].weekly
    if system != "gitlab":
        assert bool(re.search(r"H? 3 \* \* 1\b|OnCalendar=Mon ", text)) == weekly
        assert bool(re.search(r"H? 3 \* \* \*|OnCalendar=\*-", text)) != weekly
    assert ("every Monday" in text + said) == (weekly and system != "systemd")
    if system not in {"cron", "systemd"}:
        assert re.search(r"git add .*\bprompts;", said), "the pipeline needs the prompt in the repository"
    job = load(None, tmp_path, {}).jobs[recipe]
    if job.delivery:
        assert (job.delivery.target == "git") == (system == "forgejo")
        own = system in {"github", "forgejo"}
        assert job.delivery.credential.variable == ("GITHUB_TOKEN" if own else "DELIVERY_TOKEN")


def test_the_workflow_grants_each_job_what_it_needs_and_no_more(run, tmp_path):
    granted = {}
    for recipe in RECIPES:
        done(run("github", "--recipe", recipe))
        workflow = yaml.safe_load((tmp_path / f".github/workflows/{recipe}.yml").read_text())
        assert workflow["permissions"] == {}
        granted[recipe] = {name: job["permissions"] for name, job in workflow["jobs"].items()}
        source = workflow["jobs"].get("input", {})
        assert "secrets." not in str(source), "the input's script runs the repository's code"
    write = {"contents": "write", "pull-requests": "write"}
    read = {"contents": "read"}
    assert granted == {
        "docs": {"codex": write},
        "release-notes": {"codex": write},
        "test-triage": {"input": read, "codex": read},
        "dependency-report": {"input": read, "codex": read},
        "reproduce-bug": {"input": {**read, "issues": "read"}, "codex": write},
    }


def test_gitlabs_own_pipeline_gets_the_whole_of_what_to_add(run, tmp_path):
    (tmp_path / ".gitlab-ci.yml").write_text("mine")
    said = done(run("gitlab", "--recipe", "test-triage"))
    added = said.partition("Add to your .gitlab-ci.yml:\n\n")[2].partition("\n\n  ")[0]
    document = yaml.safe_load(added)
    assert document["include"][0]["inputs"]["context"] == "codex-input/test-triage.txt"
    assert document["input of test-triage"]["artifacts"]["paths"] == ["codex-input"]


def test_a_delivery_that_was_written_for_another_system_is_told(run):
    done(run("--recipe", "docs"))
    assert "another system" not in done(run("github", "--recipe", "docs"))
    told = done(run("gitlab", "--recipe", "docs"))
    assert f"For {STARTERS['gitlab'].title} it is:" in told
    assert 'variable = "DELIVERY_TOKEN"' in told
    assert 'target = "git"\n' in re.sub(" *#.*", "", done(run("forgejo", "--recipe", "docs")))


def test_systemds_input_gets_no_secret(run, tmp_path):
    done(run("systemd", "--recipe", "reproduce-bug"))
    unit = (tmp_path / "codex-runner-reproduce-bug.service").read_text()
    (before,) = re.findall(r"^ExecStartPre=(.*)$", unit, re.MULTILINE)
    assert before == "/usr/bin/env -u CODEX_API_KEY -u DELIVERY_TOKEN /bin/sh prompts/reproduce-bug.input.sh"


def test_forgejos_input_gets_no_token_that_every_step_has(run, tmp_path):
    done(run("forgejo", "--recipe", "test-triage"))
    steps = yaml.safe_load((tmp_path / ".forgejo/workflows/test-triage.yml").read_text())["jobs"]["codex"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == "Write the input"]
    assert script.startswith("env -u ")
    assert script.endswith(" sh prompts/test-triage.input.sh\n")
    assert all(f"-u {name} " in script for name in (*GITHUB_TOKENS, *FORGEJO_TOKENS, ACTIONS_TOKEN))


def test_the_list_has_each_recipe_and_when_it_runs(run):
    said = done(run("--list-recipes")).splitlines()
    assert [line.split()[0] for line in said] == list(RECIPES)
    assert all(line.endswith(("every night", "every Monday")) for line in said)
    refused = run("--recipe", "poem").exception
    assert isinstance(refused, UsageError)
    assert "docs, release-notes" in refused.remedy


def test_the_schemas_of_the_systems_take_them(run, tmp_path):
    pytest.importorskip("check_jsonschema")
    for recipe in RECIPES:
        done(run("github", "--recipe", recipe))
    done(run("gitlab", "--recipe", "test-triage"))
    for schema, files in (
        ("vendor.github-workflows", sorted(tmp_path.glob(".github/workflows/*.yml"))),
        ("vendor.gitlab-ci", [tmp_path / ".gitlab-ci.yml"]),
    ):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
        judged = subprocess.run(command, capture_output=True, text=True, check=False)
        assert judged.returncode == 0, judged.stdout


def test_every_recipe_is_on_the_page_and_is_tried_by_the_real_service_each_night():
    page = (ROOT / "docs/recipes.md").read_text()
    assert re.findall(r"^\| \[`([a-z-]+)`\]", page, re.MULTILINE) == list(RECIPES)
    assert set(RECIPES) <= set(re.findall(r"^## ([a-z-]+)$", page, re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github/workflows/recipes.yml").read_text())
    assert workflow["jobs"]["recipe"]["strategy"]["matrix"]["recipe"] == list(RECIPES)


@pytest.mark.parametrize(("system", "file"), [("jenkins", "Jenkinsfile"), ("azure", "azure-pipelines.yml")])
def test_a_job_that_writes_its_own_input_gets_the_time_for_it(run, tmp_path, system, file):
    limits = {}
    for recipe in ("docs", "test-triage"):  # 30 and 20 minutes
        done(run(system, "--recipe", recipe, "--force"))
        limits[recipe] = re.search(r"(?:timeout\(time|timeoutInMinutes): (\d+)", (tmp_path / file).read_text())[1]
    assert limits == {"docs": "40", "test-triage": "60"}
