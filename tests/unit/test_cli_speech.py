"""What a command says and prints: a model's words, a stranger's, and names of files, none of which anything obeys."""

import io
import json
import sys

import pytest
from support.hostile import obeyed
from support.records import ATTACKS, HOSTILE

from codex_runner.ci_systems import SYSTEMS
from codex_runner.cli.speech import print_json, printable, tell

REPLY = "done\n::set-env name=PATH::/evil\n  ::error::no\n##[group]x"


@pytest.fixture(autouse=True)
def nowhere_in_particular(monkeypatch):
    for name in ("CI", *(marker for system in SYSTEMS for marker in system.markers)):
        monkeypatch.delenv(name, raising=False)


def test_in_a_step_of_github_no_line_of_a_reply_is_a_command(monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = printable(REPLY).splitlines()
    assert len(lines) == 4
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)


@pytest.mark.parametrize("value", [None, "false"])
def test_elsewhere_the_reply_is_what_the_agent_said(monkeypatch, value):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if value:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    assert printable(REPLY) == REPLY


def test_on_a_terminal_a_reply_moves_no_cursor(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert printable("\x1b[2J\x1b]0;title\x07red\n\u202egnp.exe\n# done") == "red\ngnp.exe\n# done"


@pytest.mark.parametrize("system", ["GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION", "CI"])
def test_in_the_log_of_another_ci_system_a_reply_commands_nothing(monkeypatch, system):
    monkeypatch.setenv(system, "true")
    shown = printable(HOSTILE)
    assert "##vso[" not in shown
    assert "##teamcity[" not in shown
    assert not any(character in shown for character in "\x1b\r\x9b\u202e")


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_said_beside_a_result_begins_with_our_name(capsys, attack):
    tell(f"no such job: {attack}\n{attack}", f"Look at {attack}\n{attack}")
    said = capsys.readouterr().err
    assert obeyed(said) == []
    *lines, remedy = said.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("codex-runner: ") for line in lines)
    assert remedy.startswith("  Look at")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
def test_json_is_valid_and_commands_nothing_whatever_is_in_it(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    value = {"text": [HOSTILE, "gr\u00f6\u00dfe", "caf\udce9", "\ud800"]}
    print_json(value)
    sys.stdout.flush()
    printed = raw.getvalue().decode()
    assert json.loads(printed) == value
    assert obeyed(printed) == []
    assert "##vso[" not in printed
    assert "\x1b" not in printed
