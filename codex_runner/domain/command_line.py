"""The agent's commands without their shell wrapper: codex runs each in a shell, and prints that too."""

from __future__ import annotations

import re
import shlex

_SHELL = re.compile(r"(?:/\S*/)?(?:ba|z|da)?sh -l?c ")
_UNQUOTED = 4096  # characters; shlex reads them one by one


def command_text(command: str) -> str:
    """Return a command as the agent wrote it, without the shell that codex wraps around it."""
    match = _SHELL.match(command)
    if match is None:
        return command
    rest = command[match.end() :]
    if len(rest) > _UNQUOTED:
        return rest
    try:
        words = shlex.split(rest)
    except ValueError:
        return rest
    return words[0] if len(words) == 1 else command
