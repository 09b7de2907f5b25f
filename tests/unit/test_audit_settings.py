"""The key of audits in the configuration: no agent reads its file, and no program gets its variable."""

import importlib.util
import subprocess
import sys

import pytest

from codex_runner.app.invocation import Invocation
from codex_runner.app.secret_places import credential_files
from codex_runner.audit.signing_key import SigningKey
from codex_runner.config import load, resolve_job
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.secret import Secret


def configured(folder, audit):
    (folder / "codex-runner.toml").write_text(f'version = 1\n[audit]\n{audit}\n[jobs.docs]\nprompt = "p"\n')
    return load(folder / "codex-runner.toml", folder, {})


def test_the_agent_is_denied_the_file(tmp_path):
    (tmp_path / "key.pem").touch()
    config = configured(tmp_path, 'key_file = "key.pem"')
    invocation = Invocation.of(config, {}, None)
    job = resolve_job(config, "docs")
    hidden = credential_files(job, invocation.vault, invocation.notify, invocation.audit_files)
    assert hidden == [str(tmp_path / "key.pem")]


def test_no_program_gets_the_variable(tmp_path):
    config = configured(tmp_path, 'key_variable = "SIGNING_KEY"')
    assert "SIGNING_KEY" in Invocation.of(config, {}, None).secret_names


def test_a_run_keeps_who_asked_for_it(tmp_path):
    config = configured(tmp_path, 'file = "audit.jsonl"')
    told = Invocation.of(config, {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada"}, None).provenance()
    assert told["origin"]["actor"] == "ada"
    assert told["audit_file"] == str(tmp_path / "audit.jsonl")
    assert len(told["config_sha256"]) == 64


def test_without_the_extra_the_error_names_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cryptography" else find(name))
    with pytest.raises(ConfigurationError) as refused:
        SigningKey(Secret("AUDIT_KEY", "x" * 20), "there")
    assert "codex-runner[audit]" in refused.value.remedy


def test_the_audit_itself_needs_no_library():
    hide = "import sys; sys.modules['cryptography'] = None; import codex_runner.cli.audit, codex_runner.app.audit"
    subprocess.run([sys.executable, "-c", hide], check=True)
