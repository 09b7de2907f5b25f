"""Keys that another one has replaced: they work, warn, and go when it was said."""

import asyncio
import os

import pytest

from codex_runner import __version__
from codex_runner.app.invocation import Invocation
from codex_runner.app.run import run
from codex_runner.cli.options import configuration
from codex_runner.config import load, resolve_job
from codex_runner.config.retired import RETIRED, Retired
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import new_run_id
from codex_runner.engine.stopping import Stopping

MADE_UP = (
    Retired(("jobs", "*", "time_limit"), "timeout", since="0.2", removal="0.4"),
    Retired(("jobs", "*", "limits"), "budget", since="0.2", removal="0.4"),
    Retired(("store",), "vault", since="0.2", removal="0.4"),
)
FILE = """
version = 1
[jobs.docs]
prompt = "Write them."
"""
SAID = "has replaced it. From version 0.4 on, it is refused. Rename it."


@pytest.fixture
def loaded(tmp_path):
    def loaded(text=FILE, environ=None, *overrides):
        (tmp_path / "codex-runner.toml").write_text(text, encoding="utf-8")
        return load(None, tmp_path, environ or {}, overrides, MADE_UP)

    return loaded


def test_the_file_the_environment_and_set_warn_with_key_successor_and_version(loaded):
    config = loaded(
        FILE + 'time_limit = "5m"\n',
        {"CODEX_RUNNER_JOBS__DOCS__TIME_LIMIT": "6m"},
        "jobs.docs.time_limit=420",
    )
    assert config.jobs["docs"].limits.timeout == 420
    assert config.warnings == (
        f"--set: jobs.docs.time_limit: `timeout` {SAID}",
        f"environment CODEX_RUNNER_JOBS__DOCS__TIME_LIMIT: jobs.docs.time_limit: `timeout` {SAID}",
        f"codex-runner.toml: jobs.docs.time_limit: `timeout` {SAID}",
    )


def test_the_new_name_in_a_stronger_place_wins(loaded):
    config = loaded(FILE + 'time_limit = "5m"\n', {"CODEX_RUNNER_JOBS__DOCS__TIMEOUT": "6m"})
    assert config.jobs["docs"].limits.timeout == 360
    assert len(config.warnings) == 1


def test_a_whole_table_moves_and_a_mistake_in_it_keeps_its_origin(loaded):
    text = 'store.address = "https://vault.example.com"\n' + FILE + "[jobs.docs.limits]\ntokens = 5\n"
    config = loaded(text)
    assert config.vault.address == "https://vault.example.com"
    assert config.jobs["docs"].budget.tokens == 5
    assert len(config.warnings) == 2
    with pytest.raises(ConfigurationError, match=r"environment CODEX_RUNNER_JOBS__DOCS__LIMITS__TOKENS: .* must be"):
        loaded(FILE, {"CODEX_RUNNER_JOBS__DOCS__LIMITS__TOKENS": "many"})


def test_both_names_in_one_place_are_refused(loaded):
    with pytest.raises(ConfigurationError) as caught:
        loaded(FILE + 'time_limit = "5m"\ntimeout = "5m"\n')
    assert caught.value.message == (
        "codex-runner.toml: jobs.docs.time_limit: has been replaced by `timeout`, which is given too; "
        "leave the old one out"
    )


def test_without_an_entry_the_key_is_unknown(tmp_path):
    (tmp_path / "codex-runner.toml").write_text(FILE + 'time_limit = "5m"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"jobs\.docs\.time_limit: unknown key"):
        load(None, tmp_path, {}, ())


def test_a_command_prints_the_warnings(loaded, monkeypatch, capsys, tmp_path):
    config = loaded(FILE + 'time_limit = "5m"\n')
    monkeypatch.setattr("codex_runner.cli.options.load", lambda *_: config)
    assert configuration(tmp_path) is config
    assert capsys.readouterr().err == f"codex-runner: warning: {config.warnings[0]}\n"


def test_a_run_records_the_warnings(loaded, tmp_path):
    config = loaded(FILE + 'time_limit = "5m"\ncodex.path = "/nowhere/codex"\n')
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    folder = RunFolder(config.output_dir / new_run_id("docs"))
    state = asyncio.run(
        run(resolve_job(config, "docs"), folder, Invocation.of(config, environ, ()), stopping=Stopping())
    )
    assert (state.verdict.exit_code, [each.message for each in state.warnings if each.code == "retired"]) == (
        3,
        list(config.warnings),
    )


def minor(version):
    major, minor, *_ = map(int, version.split("."))
    return major * 1000 + minor


@pytest.mark.parametrize("one", [*RETIRED, *MADE_UP], ids=lambda one: ".".join(one.path))
def test_a_key_warns_for_two_minor_versions_and_goes_when_it_was_said(one):
    assert minor(one.removal) >= minor(one.since) + 2
    assert minor(__version__) < minor(one.removal), "remove the entry, the key is refused from now on"
