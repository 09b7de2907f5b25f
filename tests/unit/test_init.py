"""The first configuration: it is written once, it loads, and what it comments out is right too."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from codex_runner.cli.init import init
from codex_runner.cli.pipelines import System
from codex_runner.config import load, resolve_job
from codex_runner.config.starter import FIRST_JOB, STARTER
from codex_runner.domain.errors import ConfigurationError, ExitCode, UsageError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(init)
    return lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_writes_a_file_whose_job_resolves(run, tmp_path):
    result = run()
    assert result.exit_code == 0, result.output
    assert f"codex-runner run {FIRST_JOB} " in result.stdout
    job = resolve_job(load(None, tmp_path, {}), FIRST_JOB)
    assert job.cwd == str(tmp_path)
    assert job.limits.timeout == 600


@pytest.mark.parametrize("arguments", [(), ("-c", ".")])
def test_refuses_to_overwrite(run, tmp_path, arguments):
    (tmp_path / "codex-runner.toml").write_text("mine")
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code is ExitCode.USAGE
    assert "--force" in result.exception.remedy
    assert (tmp_path / "codex-runner.toml").read_text() == "mine"


def test_force_replaces(run, tmp_path):
    (tmp_path / "codex-runner.toml").write_text("mine")
    assert run("--force").exit_code == 0
    assert (tmp_path / "codex-runner.toml").read_text() == STARTER


def test_says_where_the_file_is_when_it_is_not_the_default(run, tmp_path):
    assert "run overview -c 'my file.toml'" in run("-c", "my file.toml").stdout
    load(tmp_path / "my file.toml", tmp_path, {})


def test_a_folder_that_is_not_there_is_said(run):
    result = run("-c", "nowhere/codex-runner.toml")
    assert isinstance(result.exception, UsageError)
    assert "nowhere/codex-runner.toml" in result.exception.message


def test_what_is_commented_out_is_valid_too(tmp_path):
    file = tmp_path / "codex-runner.toml"
    text, count = re.subn(r"^# (?=\[|[a-z_]+ = )", "", STARTER, flags=re.MULTILINE)
    assert count >= 12
    file.write_text(text)
    config = load(None, tmp_path, {})
    assert set(config.jobs) == {FIRST_JOB, "document"}
    assert config.jobs["document"].limits.timeout == 1200
    assert config.jobs["document"].checks[0].name == "the page is there"
    assert "page about tests into" in resolve_job(config, "document", variables={"TOPIC": "tests"}).prompt


CONFIGURED = """
[vault]
address = "https://vault.example.com:8200"
auth = { method = "jwt", role = "overview" }
"""
CREDENTIALS = {
    "none": "",
    "vault": '[jobs.overview.credential]\npath = "acme/app/overview"\n',
    "env": '[jobs.overview.credential]\nkind = "api_key"\nsource = "env"\n',
    "file": '[jobs.overview.credential]\nsource = "file"\nfile = "/run/key"\n',
}


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("system", System)
def test_every_system_and_credential_is_filled_in_whole(run, tmp_path, system, credential):
    run()
    with (tmp_path / "codex-runner.toml").open("a") as file:
        file.write(CONFIGURED + CREDENTIALS[credential])
    result = run(system)
    assert result.exit_code == 0, result.exception
    written = re.findall(r"^Wrote (.*)\.$", result.stdout, re.MULTILINE)
    assert written
    assert re.search(r"^  1\. ", result.stdout, re.MULTILINE)
    everything = "".join((tmp_path / name).read_text() for name in written)
    assert "overview" in everything
    assert not re.search(r"@[A-Z_]+@|^\?", everything, re.MULTILINE)
    assert ("CODEX_API_KEY" in everything + result.stdout) == (credential == "env")


def test_another_system_does_not_touch_what_is_there(run, tmp_path):
    run()
    (tmp_path / ".gitlab-ci.yml").write_text("mine")
    result = run("gitlab")
    assert isinstance(result.exception, UsageError)
    assert ".gitlab-ci.yml is there already" in result.exception.message
    assert not (tmp_path / ".gitlab").exists()
    assert run("gitlab", "--force").exit_code == 0
    assert (tmp_path / ".gitlab-ci.yml").read_text() != "mine"


def test_with_several_jobs_one_must_be_named(run, tmp_path):
    run()
    with (tmp_path / "codex-runner.toml").open("a") as file:
        file.write('[jobs.other]\nprompt = "x"\n')
    result = run("github")
    assert isinstance(result.exception, ConfigurationError)
    assert "overview, other" in result.exception.remedy
    assert run("github", "--job", "other").exit_code == 0
    assert (tmp_path / ".github/workflows/other.yml").exists()
    assert isinstance(run("cron", "--job", "nobody").exception, ConfigurationError)


def test_without_a_configuration_there_is_nothing_to_fill_in(run):
    assert isinstance(run("cron").exception, ConfigurationError)
