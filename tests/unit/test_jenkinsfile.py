"""The Jenkinsfile, parsed: whatever `init` writes would be taken, and the judge of that refuses what is wrong."""

import re
import shlex
from pathlib import Path

import pytest
from support.jenkinsfile import JenkinsfileError, read, scripts
from support.starters import EXAMPLE_JOB, PLACE, SETTINGS

from codex_runner.cli.pipelines import STARTERS, WantedStarter, plan
from codex_runner.config import load

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "ci/jenkins/Jenkinsfile").read_text()
CREDENTIALS = {
    "vault": SETTINGS.rpartition("credential = ")[2].strip(),
    "env": '{ kind = "api_key", source = "env" }',
    "file": '{ source = "file", file = "/run/key" }',
    "none": None,
}


def written(tmp_path, credential, name="codex-runner.toml"):
    """What `init jenkins` writes for a job with this credential, in a file of this name."""
    settings = SETTINGS.rpartition("credential = ")[0]
    if CREDENTIALS[credential]:
        settings += f"credential = {CREDENTIALS[credential]}\n"
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(settings)
    config = load(file, tmp_path, {})
    return plan(STARTERS["jenkins"], WantedStarter(config, config.jobs[EXAMPLE_JOB], tmp_path, PLACE)).files[
        "Jenkinsfile"
    ]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_jenkinsfile_is_a_pipeline_that_installs_and_runs(tmp_path, credential):
    pipeline = read(written(tmp_path, credential))
    install, run = pipeline.one("stages").body
    ((command, _),) = scripts(install)
    assert "--require-hashes" in command
    ((command, bound),) = scripts(run)
    assert f" run {EXAMPLE_JOB} " in command
    wanted = {"vault": {"VAULT_ROLE_ID", "VAULT_SECRET_ID"}, "env": {"CODEX_API_KEY"}}
    assert set(bound) == wanted.get(credential, set())
    steps = pipeline.one("post").one("always")
    report, folder = steps.one("junit").arguments["testResults"], steps.one("archiveArtifacts").arguments["artifacts"]
    assert f"--junit {report} " in command
    assert f"--output-dir {folder.removesuffix('/**')} " in command
    assert f"rm -rf {folder.removesuffix('/**')} {report}\n" in command


@pytest.mark.parametrize("name", ["a b.toml", "it's.toml", r"back\slash.toml", "''' + x + '''.toml", "$HOME.toml"])
def test_no_file_name_leaves_the_shells_quotes_or_groovys(tmp_path, name):
    (_, run) = read(written(tmp_path, "file", name)).one("stages").body
    ((command, _),) = scripts(run)
    shell = re.search(r"--config (.*) --output-dir", command)[1]
    assert shlex.split(shell) == [name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    agent any\n", ""),
        ("cron('H", "cron(H"),
        ("            }\n        }\n    }\n    post", "            }\n        }\n    post"),
        ("allowEmptyResults: true", "allowEmptyResult: true"),
        ("    stages {", "    stage {"),
        ("            steps {\n", "            step {\n"),
        ("        always {", "        allways {"),
        ("pipeline {", "node {"),
        ("sh '''", "shell '''"),
        ("withCredentials([", "withCredential(["),
        ("codex-runner.toml", r"\codex-runner.toml"),
        ("    options {", "    agent any\n    options {"),
    ],
)
def test_what_jenkins_would_refuse_is_refused(before, after):
    assert before in EXAMPLE
    with pytest.raises(JenkinsfileError):
        read(EXAMPLE.replace(before, after, 1) if "toml" not in before else EXAMPLE.replace(before, after))
