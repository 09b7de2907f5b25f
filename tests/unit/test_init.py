"""The first configuration: it is written once, it loads, and what it comments out is right too."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from codex_runner.cli.init import init
from codex_runner.config import load, resolve_job
from codex_runner.config.starter import FIRST_JOB, STARTER
from codex_runner.domain.errors import ExitCode, UsageError


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
