"""`codex-runner config upgrade`: retired keys are renamed where they stand, and each other byte stays."""

import json
import stat
from functools import partial
from pathlib import Path

import pytest
from support import commands
from typer.testing import CliRunner

from codex_runner.app.config_upgrade import upgrade_file
from codex_runner.cli.main import command_line
from codex_runner.config import load
from codex_runner.config.retired import Retired
from codex_runner.domain.errors import ConfigurationError

MADE_UP = (
    Retired(("jobs", "*", "time_limit"), "timeout", since="0.2", removal="0.4"),
    Retired(("jobs", "*", "limits"), "budget", since="0.2", removal="0.4"),
    Retired(("store",), "vault", since="0.2", removal="0.4"),
)
OLD = """\
# time_limit = "a comment"
version = 1
store . address = "https://vault.example.com" # limits
[jobs.docs]   # the docs
prompt = \"\"\"
time_limit = "1m"
\"\"\"
"time_limit"  =  '5m'
limits = {tokens = 5}
[ jobs . "a.b" ] # another
prompt = "x"
time_limit=  60
[jobs."a.b".limits]
turns = 3
"""
NEW = (
    OLD.replace("store .", "vault .")
    .replace('"time_limit"  =', "timeout  =")
    .replace("limits = {", "budget = {")
    .replace("time_limit=", "timeout=")
    .replace('"a.b".limits', '"a.b".budget')
)


@pytest.mark.parametrize("change", [str, lambda text: text.replace("\n", "\r\n"), lambda text: f"\ufeff{text}"])
def test_only_the_names_of_keys_change(tmp_path, change):
    file = tmp_path / "codex-runner.toml"
    file.write_bytes(change(OLD).encode())
    file.chmod(0o640)
    before = load(file, tmp_path, {}, (), MADE_UP)
    renamed = upgrade_file(file, tmp_path, MADE_UP)
    assert file.read_bytes() == change(NEW).encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [(each.line, each.key, each.successor) for each in renamed] == [
        (3, "store", "vault"),
        (8, "jobs.docs.time_limit", "timeout"),
        (9, "jobs.docs.limits", "budget"),
        (12, 'jobs."a.b".time_limit', "timeout"),
        (13, 'jobs."a.b".limits', "budget"),
    ]
    after = load(file, tmp_path, {})
    assert (after.jobs, after.vault, after.warnings) == (before.jobs, before.vault, ())
    assert len(before.warnings) == 5
    assert upgrade_file(file, tmp_path, MADE_UP) == ()


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real.toml").write_text(OLD)
    (tmp_path / "codex-runner.toml").symlink_to("real.toml")
    upgrade_file(tmp_path / "codex-runner.toml", tmp_path, MADE_UP)
    assert (tmp_path / "codex-runner.toml").readlink() == Path("real.toml")
    assert (tmp_path / "real.toml").read_text() == NEW


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version = 1\n[jobs.docs]\ntime_limit = 1\ntimeout = 2\n", "which is given too"),
        ("version = [", "is not valid TOML"),
    ],
)
def test_what_cannot_be_renamed_is_left_as_it_is(tmp_path, text, told):
    file = tmp_path / "codex-runner.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        upgrade_file(file, tmp_path, MADE_UP)
    assert [path.name for path in tmp_path.iterdir()] == ["codex-runner.toml"]
    assert file.read_text() == text


def test_the_command_tells_what_it_renames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("codex_runner.cli.config.upgrade_file", partial(upgrade_file, retired=MADE_UP))
    (tmp_path / "codex-runner.toml").write_text(OLD)

    def upgrade(*arguments):
        done = CliRunner().invoke(command_line("config"), ["config", "upgrade", "codex-runner.toml", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert upgrade("--dry-run").splitlines()[0] == "codex-runner.toml:3:1: store would become `vault`"
    assert (tmp_path / "codex-runner.toml").read_text() == OLD
    told = json.loads(upgrade("--json"))
    assert (told["written"], told["renamed"][1]) == (
        True,
        {"line": 8, "column": 1, "key": "jobs.docs.time_limit", "successor": "timeout"},
    )
    assert (tmp_path / "codex-runner.toml").read_text() == NEW
    assert upgrade() == "codex-runner.toml: nothing to rename\n"


def test_with_nothing_retired_the_file_is_not_touched(tmp_path):
    (tmp_path / "codex-runner.toml").write_text("version = 1\n")
    before = (tmp_path / "codex-runner.toml").stat()
    said = commands.run("config", "upgrade", cwd=tmp_path, environ={})
    assert (said.code, said.stderr) == (0, "")
    assert (tmp_path / "codex-runner.toml").stat().st_mtime_ns == before.st_mtime_ns
