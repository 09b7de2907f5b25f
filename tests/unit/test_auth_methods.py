"""An auth method is one declaration: what is a secret's place in it, its fields say, and all else derives from them.

A method that codex-runner does not have is declared here, and nothing else is edited for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

import pytest

from codex_runner.app.invocation import Invocation
from codex_runner.app.secret_places import credential_files
from codex_runner.config import NotifySettings, load, resolve_job, tables
from codex_runner.domain.credential import AUTH_METHODS, VaultSettings
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import Job
from codex_runner.domain.key import SECRET_FILE, SECRET_VARIABLE, SHOWN, Form, key_of
from codex_runner.domain.secret_names import without_secrets

DOCUMENTED = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
SECRET = "sk-do-not-show"


@dataclass(frozen=True, slots=True)
class BadgeAuth:
    """A login with a badge and a PIN."""

    method: ClassVar[str] = "badge"
    desk: str = field(metadata=SHOWN)
    floor: int = 1
    badge_file: str | None = field(default=None, metadata=SECRET_FILE)
    pin_variable: str = field(default="BADGE_PIN", metadata=SECRET_VARIABLE)


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(AUTH_METHODS, "badge", BadgeAuth)

    def loaded(keys, environ=None):
        text = f"version = 1\n[vault]\nauth = {{ method = 'badge', {keys} }}\n[jobs.x]\nprompt = 'p'\n"
        (tmp_path / "codex-runner.toml").write_text(text)
        return load(None, tmp_path, environ or {})

    return loaded


def test_a_new_method_is_read(loaded, tmp_path):
    config = loaded("desk = '3', floor = 2, badge_file = 'badge.pem'", {"CODEX_RUNNER_VAULT__AUTH__DESK": "4"})
    assert config.vault.auth == BadgeAuth("4", 2, str(tmp_path / "badge.pem"))


def test_its_secrets_file_is_denied_to_the_agent_and_its_variable_is_hidden(loaded, tmp_path):
    badge = tmp_path / "badge.pem"
    badge.write_text("a badge")
    config = loaded("desk = '3', badge_file = 'badge.pem', pin_variable = 'MY_PIN'")
    assert credential_files(resolve_job(config, "x"), config.vault) == [str(badge)]
    environ = {"MY_PIN": SECRET, "PATH": "/bin"}
    assert without_secrets(environ, Invocation.of(config, environ, None).secret_names) == {"PATH": "/bin"}


def test_the_file_with_a_targets_address_is_denied_too(tmp_path):
    address = tmp_path / "address"
    address.write_text("https://example.com/hook")
    notify = [NotifySettings("hook", url_file=str(address), ca_file=str(tmp_path))]
    assert credential_files(Job("x", "p", "/"), VaultSettings(), notify) == [str(address)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("floor = 1", "vault.auth.desk: missing; a login with badge needs it"),
        (f"desk = '3', badge_fil = '{SECRET}'", "vault.auth.badge_fil: unknown key; did you mean `badge_file`?"),
        ("desk = '3', role = 'r'", "vault.auth.role: a login with badge has no such key; it has desk, floor, badge_fi"),
        ("desk = ''", 'vault.auth.desk = "": must not be empty'),
        ("desk = '3', floor = 0", "vault.auth.floor = ***: must be a whole number, and at least 1"),
        (f"desk = '3', badge_file = ['{SECRET}']", "vault.auth.badge_file = ***: must be a string"),
        (f"desk = '3', pin_variable = '{SECRET}'", "vault.auth.pin_variable = ***: an environment variable's name"),
    ],
)
def test_what_is_wrong_with_it_is_told(loaded, keys, said):
    with pytest.raises(ConfigurationError) as caught:
        loaded(keys)
    assert caught.value.message.startswith(f"codex-runner.toml: {said}")
    assert SECRET not in caught.value.message


def test_a_misspelt_method_is_told_with_the_new_one(loaded):
    with pytest.raises(ConfigurationError, match="agent or badge; did you mean `badge`"):
        loaded("desk = '3'", {"CODEX_RUNNER_VAULT__AUTH": '{ method = "bagde" }'})


def test_the_documentation_says_which_methods_have_a_key_and_what_it_is():
    table = DOCUMENTED.partition("## vault.auth")[2].partition("##")[0]
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", table, re.MULTILINE))
    for name, each in tables.LoginTable(VaultSettings).keys.items():
        _, kind, _, meaning, _ = (cell.strip() for cell in rows[name].split("|"))
        assert (kind == "path") == (each.written.form in {Form.FILE, Form.SECRET_FILE})
        if name not in {tables.METHOD, "mount"}:
            having = {word for word, method in AUTH_METHODS.items() if name in {one.name for one in fields(method)}}
            assert set(re.findall(r"\w+", meaning.rpartition(": ")[0])) & AUTH_METHODS.keys() == having


def test_every_place_of_a_secret_says_so():
    """A file or a variable of a method without metadata would be neither denied nor hidden."""
    for method in AUTH_METHODS.values():
        for each in fields(method):
            form = key_of(each).form
            assert (form is Form.SECRET_VARIABLE) == each.name.endswith("_variable")
            assert (form in {Form.FILE, Form.SECRET_FILE}) == each.name.endswith("_file")
