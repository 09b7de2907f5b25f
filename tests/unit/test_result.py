import pytest

from codex_runner.cli.result import _shown

REPLY = "done\n::set-env name=PATH::/evil\n  ::error::no\n##[group]x"


def test_in_a_step_of_github_no_line_of_a_reply_is_a_command(monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = _shown(REPLY).splitlines()
    assert len(lines) == 4
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)


@pytest.mark.parametrize("value", [None, "false"])
def test_elsewhere_the_reply_is_what_the_agent_said(monkeypatch, value):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if value:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    assert _shown(REPLY) == REPLY


def test_on_a_terminal_a_reply_moves_no_cursor(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert _shown("\x1b[2J\x1b]0;title\x07red\n\u202egnp.exe\n# done") == "red\ngnp.exe\n# done"
