"""The canonical form of settings, of which the digest of a configuration is made."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from codex_runner.app.invocation import Invocation
from codex_runner.config import load
from codex_runner.domain.canonical import canonical
from codex_runner.domain.secret import Secret


class Kind(StrEnum):
    A = "a"


@dataclass(frozen=True)
class Older:
    name: str
    kind: Kind = Kind.A


@dataclass(frozen=True)
class Newer:
    name: str
    kind: Kind = Kind.A
    added: int = 3
    more: tuple[str, ...] = field(default=())
    made: dict[str, str] = field(default_factory=dict)


def test_a_field_that_a_later_version_adds_changes_nothing():
    assert canonical(Newer("x")).replace("Newer", "Older") == canonical(Older("x"))
    assert canonical(Newer("x", added=4)) != canonical(Newer("x"))


def test_every_shape():
    assert canonical((None, True, 1.5, Path("/a"), b"\xff", frozenset({"b", "a"}), {"k": [Kind.A]})) == (
        '[null,true,1.5,"/a","ff",["a","b"],{"k":["a"]}]'
    )


def test_a_secret_is_no_setting():
    with pytest.raises(TypeError, match="Secret is no setting"):
        canonical([Secret("K", "value")])


BASE = 'version = 1\n[jobs.x]\nprompt = "p"\n'


@pytest.mark.parametrize(
    "more",
    [
        '[vault]\naddress = "https://vault.example.com"\nauth = { method = "jwt", role = "r" }\n',
        '[[notify]]\nname = "n"\nformat = "slack"\nurl_variable = "URL"\n',
        '[hosts.far]\nenvironment = ["X"]\n',
        '[audit]\nfile = "audit.jsonl"\n',
    ],
)
def test_the_digest_follows_what_the_configuration_says_of_others(more, tmp_path):
    def digest(text):
        (tmp_path / "codex-runner.toml").write_text(text)
        return Invocation.of(load(None, tmp_path, {}), {}, None).digest

    assert digest(BASE) == digest(BASE + "# a remark\n")
    assert digest(BASE) != digest(BASE + more)
    assert digest(BASE + more) == digest(BASE + more)
