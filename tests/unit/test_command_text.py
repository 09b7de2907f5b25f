"""The shell that codex wraps its commands in."""

import pytest

from codex_runner.domain.command_line import command_text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("/bin/bash -lc 'echo tests ok'", "echo tests ok"),
        ("/bin/bash -lc ls", "ls"),
        ('/usr/bin/zsh -lc "it\'s"', "it's"),
        ("bash -c 'a\nb'", "a\nb"),
        ("/bin/bash -lc 'open", "'open"),
        ("/bin/bash -lc 'a' b", "/bin/bash -lc 'a' b"),
        ("git status", "git status"),
        ("/bin/bash script.sh", "/bin/bash script.sh"),
    ],
)
def test_the_wrapping_shell_is_taken_away(command, text):
    assert command_text(command) == text
