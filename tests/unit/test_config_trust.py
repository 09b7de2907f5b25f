"""Who may start a job, as the configuration says it: what the file may not say, and what is documented."""

import re
from pathlib import Path

import pytest

from codex_runner.ci_systems import SYSTEMS
from codex_runner.config import load
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.policy import TrustPolicy

DOCUMENTED = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")


@pytest.fixture
def configured(tmp_path):
    def configured(text, environ=None, *overrides):
        (tmp_path / "codex-runner.toml").write_text(text, encoding="utf-8")
        return load(None, tmp_path, environ or {}, overrides)

    return configured


def test_the_events_that_are_trusted_by_default_are_documented():
    judged = [system for system in SYSTEMS if system.trusted_events]
    assert [system.title for system in judged] == ["Forgejo", "GitHub", "GitLab", "Jenkins", "Azure Pipelines"]
    for system in judged:
        assert (
            f" | {', '.join(f'`{each}`' for each in system.trusted_events)} | "
            in re.search(rf"^\| {system.title} .*$", DOCUMENTED, re.MULTILINE)[0]
        )


def test_who_may_start_a_job(configured):
    config = configured("version = 1\n[defaults]\ntrusted_actors = ['ada']\n[jobs.x]\ntrusted_events = []\n[jobs.y]\n")
    assert config.jobs["x"].trust == TrustPolicy(events=(), actors=("ada",))
    assert config.jobs["y"].trust == TrustPolicy(actors=("ada",))


@pytest.mark.parametrize("table", ["defaults", "jobs.x", 'jobs."a.b"'])
def test_the_file_cannot_trust_a_fork_and_the_pipeline_can(configured, table):
    text = f"version = 1\n[jobs.x]\n[{table}]\n" if table != "jobs.x" else "version = 1\n[jobs.x]\n"
    with pytest.raises(
        ConfigurationError, match=rf"{table}.trusted_forks: must not be in the file.* --set '{table}.trusted_forks="
    ):
        configured(text + 'trusted_forks = ["mallory/app"]\n')
    given = f'{table}.trusted_forks=["mallory/app"]'
    jobs = configured(text, {}, given).jobs
    assert jobs["a.b" if "a.b" in table else "x"].trust.forks == ("mallory/app",)
    if table == "jobs.x":
        environ = {"CODEX_RUNNER_JOBS__X__TRUSTED_FORKS": '["mallory/app"]'}
        assert configured(text, environ).jobs["x"].trust.forks == ("mallory/app",)
