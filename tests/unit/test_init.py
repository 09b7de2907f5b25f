"""The first configuration: it is written once, it loads, and what it comments out is right too."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import typer
from typer.testing import CliRunner

from codex_runner.app.credentials import origin_of
from codex_runner.ci_systems.starter import NO_OWNER
from codex_runner.cli.init import init
from codex_runner.cli.pipelines import STARTERS
from codex_runner.config import load, resolve_job
from codex_runner.config.first_file import FIRST_JOB, STARTER
from codex_runner.config.json_schema import schema
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.exit_code import ExitCode


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


def test_the_schema_is_written_beside_the_file_which_names_it(run, tmp_path):
    assert "codex-runner.schema.json" in run().stdout
    assert (tmp_path / "codex-runner.toml").read_text().startswith("#:schema ./codex-runner.schema.json\n")
    assert (tmp_path / "codex-runner.schema.json").read_text() == schema()


def test_a_schema_of_another_version_is_replaced_and_a_foreign_file_is_not(run, tmp_path):
    (tmp_path / "codex-runner.schema.json").write_text(schema().replace("timeout", "time_limit"))
    assert run().exit_code == 0
    assert (tmp_path / "codex-runner.schema.json").read_text() == schema()
    (tmp_path / "codex-runner.schema.json").write_text('{"title": "mine"}')
    assert isinstance(run("-c", "other.toml").exception, UsageError)
    assert (tmp_path / "codex-runner.schema.json").read_text() == '{"title": "mine"}'


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
    assert config.jobs["document"].delivery.credential.variable == "GITHUB_TOKEN"
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
@pytest.mark.parametrize("system", STARTERS)
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


DELIVERY = """
[jobs.overview.delivery]
credential = {{ source = "env", variable = "{}", allow_unexpiring = true }}
"""


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "DELIVERY_TOKEN"])
def test_the_workflow_of_a_delivery_has_its_permissions_and_its_token(run, tmp_path, variable, credential):
    run()
    file = tmp_path / "codex-runner.toml"
    text = file.read_text().replace('sandbox = "read-only"', 'sandbox = "workspace-write"')
    file.write_text(text + CONFIGURED + CREDENTIALS[credential] + DELIVERY.format(variable))
    told = run("github").stdout
    workflow = (tmp_path / ".github/workflows/overview.yml").read_text()
    assert f"\n          {variable}: ${{{{ secrets.{variable} }}}}\n" in workflow
    assert workflow.count("        env:\n") == 1
    assert ("CODEX_API_KEY: " in workflow) == (credential == "env")
    granted = re.findall(r"^      ([a-z-]+: (?:read|write))\b", workflow, re.MULTILINE)
    wanted = ["contents: write", "pull-requests: write"] if variable == "GITHUB_TOKEN" else ["contents: read"]
    assert granted == [*wanted, *(["id-token: write"] if credential == "vault" else [])]
    assert ("Allow GitHub Actions to create and approve pull requests" in told) == (variable == "GITHUB_TOKEN")
    assert (f"gh secret set {variable}" in told) == (variable == "DELIVERY_TOKEN")
    assert "docs/delivery.md" in told


@pytest.mark.parametrize("system", STARTERS)
@pytest.mark.parametrize(
    "place", ['path = "acme/app/forge"', 'source = "file"\nfile = "/run/forge"', 'source = "env"\nvariable = "T"']
)
def test_every_system_says_how_to_provide_the_token_of_a_delivery(run, tmp_path, system, place):
    run()
    file = tmp_path / "codex-runner.toml"
    text = file.read_text().replace('sandbox = "read-only"', 'sandbox = "workspace-write"')
    file.write_text(f"{text}{CONFIGURED}[jobs.overview.delivery.credential]\n{place}\n")
    result = run(system)
    assert result.exit_code == 0, result.exception
    written = re.findall(r"^Wrote (.*)\.$", result.stdout, re.MULTILINE)
    assert not re.search(r"@[A-Z_]+@|^\?", "".join((tmp_path / name).read_text() for name in written), re.MULTILINE)
    (step,) = re.findall(
        r"^  \d\. (.*) docs/delivery\.md has the permissions that it needs\.$", result.stdout, re.MULTILINE
    )
    assert step.endswith(".")
    if system == "jenkins" and place.startswith('source = "env"'):
        assert "codex-runner-delivery" in step
        assert "variable: 'T'" in (tmp_path / "Jenkinsfile").read_text()


@pytest.mark.parametrize("system", STARTERS)
def test_a_name_never_becomes_a_line_of_its_own(run, tmp_path, monkeypatch, system):
    """Cron would run the second line of this folder's name each minute, and systemd with the first word as its key."""
    folder = tmp_path / "a\n* * * * * touch canary\nExecStartPre=touch canary"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run("-c", "codex\nrunner.toml")
    with (folder / "codex\nrunner.toml").open("a") as file:
        file.write(CONFIGURED)
    result = run(system, "-c", "codex\nrunner.toml")
    assert isinstance(result.exception, ConfigurationError)
    assert "line break" in result.exception.message
    assert {path.name for path in folder.rglob("*")} == {"codex\nrunner.toml", "codex-runner.schema.json"}


def test_a_repositorys_own_pipeline_is_left_alone_and_the_rest_is_written_beside_it(run, tmp_path):
    run()
    (tmp_path / ".gitlab-ci.yml").write_text("mine")
    (tmp_path / "Jenkinsfile").write_text("mine")
    (tmp_path / "azure-pipelines.yml").write_text("mine")
    told = run("gitlab").stdout
    assert "Add to your .gitlab-ci.yml:\n\ninclude:\n  - local: .gitlab/codex-runner.yml\n" in told
    assert (tmp_path / ".gitlab/codex-runner.yml").exists()
    told = run("jenkins").stdout
    assert "Script Path overview.Jenkinsfile" in told
    assert "overview.Jenkinsfile" in re.search(r"git add .*", told)[0]
    assert (tmp_path / "overview.Jenkinsfile").read_text().startswith("// Runs the job overview")
    assert "> /.azure-pipelines/overview.yml." in run("azure").stdout
    assert "run overview" in (tmp_path / ".azure-pipelines/overview.yml").read_text()
    for name in (".gitlab-ci.yml", "Jenkinsfile", "azure-pipelines.yml"):
        assert (tmp_path / name).read_text() == "mine"
    assert run("gitlab", "--force").exit_code == 0
    assert (tmp_path / ".gitlab-ci.yml").read_text() != "mine"


def test_what_is_there_and_differs_is_named_and_nothing_is_written(run, tmp_path):
    run()
    assert run("gitlab").exit_code == 0
    (tmp_path / ".gitlab-ci.yml").unlink()
    for name in ("requirements.txt", "codex.txt"):
        (tmp_path / ".codex-runner" / name).write_text("mine")
    result = run("gitlab")
    assert isinstance(result.exception, UsageError)
    assert ".codex-runner/requirements.txt, .codex-runner/codex.txt exist already" in result.exception.message
    assert not (tmp_path / ".gitlab-ci.yml").exists()
    (tmp_path / ".codex-runner/codex.txt").unlink()
    assert ".codex-runner/requirements.txt exists already" in run("jenkins").exception.message


def test_running_it_again_changes_nothing_and_says_so(run, tmp_path):
    run()
    run("gitlab")
    again = run("gitlab")
    assert again.exit_code == 0
    assert again.stdout.count(" is up to date.") == 4
    assert "Wrote .gitlab" not in again.stdout


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("remote", "repository"),
    [
        ("git@github.com:acme/app.git", "acme/app"),
        ("https://github.com/acme/app", "acme/app"),
        ("ssh://git@gitlab.example.com:2222/group/sub/app.git/", "group/sub/app"),
        ("https://ada:secret@gitlab.example.com/group/app.git", "group/app"),
        ("/srv/git/acme/app.git", "acme/app"),
        ("nonsense", ""),
        (None, ""),
    ],
)
def test_the_remote_says_whose_repository_it_is(run, tmp_path, remote, repository):
    git(tmp_path, "init", "--quiet")
    if remote:
        git(tmp_path, "remote", "add", "origin", remote)
    assert origin_of(str(tmp_path), os.environ) == repository
    run()
    with (tmp_path / "codex-runner.toml").open("a") as file:
        file.write(CONFIGURED + '[jobs.overview.credential]\npath = "elsewhere/overview"\n')
    assert f"--repo {repository or 'OWNER/NAME'}\n" in run("github").stdout
    assert f"--gitlab-project {repository or 'OWNER/NAME'}\n" in run("gitlab").stdout


@pytest.mark.parametrize(
    ("system", "file"),
    [
        ("gitlab", ".gitlab/codex-runner.yml"),
        ("jenkins", "Jenkinsfile"),
        ("azure", "azure-pipelines.yml"),
        ("forgejo", ".forgejo/workflows/overview.yml"),
    ],
)
def test_a_pipeline_is_told_not_to_install_a_version_that_is_not_released(run, system, file):
    run()
    told = run(system, "--action", f"{NO_OWNER}/codex-runner@v0").stdout
    assert f"in {file}, put the address of a commit, git+https://github.com/{NO_OWNER}/codex-runner@COMMIT" in told
    assert "There is no release yet" not in run(system, "--force", "--action", "acme/codex-runner@v0").stdout


@pytest.mark.parametrize(
    ("action", "left"),
    [
        (f"{NO_OWNER}/codex-runner@v3", f"{NO_OWNER} by the account that has codex-runner's repository, and v3 by"),
        ("acme/codex-runner@v3", "v3 by"),
        (f"acme/codex-runner@{'a' * 40}", ""),
        ("./ci/github", ""),
    ],
)
def test_an_action_is_pinned_by_a_commit(run, action, left):
    run()
    told = run("github", "--action", action).stdout
    pinned = f"In .github/workflows/overview.yml, replace {left} a commit's full SHA, since a tag can be moved.\n"
    assert (pinned in told) == bool(left)
    assert ("a tag can be moved" in told) == bool(left)


def test_from_a_folder_of_a_repository_ci_files_go_to_its_top(run, tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet")
    folder = tmp_path / "part of it"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run()
    assert "Wrote ../.github/workflows/overview.yml." in run("github").stdout
    assert 'config: "part of it/codex-runner.toml"\n' in (tmp_path / ".github/workflows/overview.yml").read_text()
    assert run("jenkins").exit_code == 0
    assert "--config 'part of it/codex-runner.toml' " in (tmp_path / "Jenkinsfile").read_text()
    for system, file in (("azure", "azure-pipelines.yml"), ("forgejo", ".forgejo/workflows/overview.yml")):
        assert run(system).exit_code == 0
        text = (tmp_path / file).read_text()
        assert '          INPUT_CONFIG: "part of it/codex-runner.toml"\n' in text
        assert '--config "$INPUT_CONFIG" ' in text, "no path is text of a shell"
    assert run("cron").exit_code == 0
    assert (folder / "codex-overview.crontab").exists()


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
