"""The folders that a process finds in its environment, made such that every part of a run understands them alike."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def settle_home(environ: MutableMapping[str, str]) -> str:
    """Make HOME and XDG_STATE_HOME absolute paths, or leave the second out; return a sentence if it is ignored.

    Without HOME, it is the password database's; without an entry there it is `/`, as container engines have it.
    """
    if not environ.get("HOME", "").startswith("/"):
        environ["HOME"] = _home()
    state = environ.get("XDG_STATE_HOME")
    if state is None or state.startswith("/"):
        return ""
    # The XDG specification has it ignored. The runner and each shell that it starts would find different folders.
    del environ["XDG_STATE_HOME"]
    return f"XDG_STATE_HOME is {state!r}, which is no absolute path: it is ignored." if state else ""


def settle_search(environ: MutableMapping[str, str]) -> None:
    """Take the current folder out of PATH and LD_LIBRARY_PATH, where an empty entry means it: it is the agent's."""
    for name in ("PATH", "LD_LIBRARY_PATH"):
        if name in environ:
            environ[name] = ":".join(each for each in environ[name].split(":") if each not in {"", ".", "./"})


def here() -> Path:
    """Return the folder that the command was given in. UsageError if it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            f"The folder in which codex-runner was started cannot be found any more: {error.strerror}.",
            remedy="Change to a folder that is there.",
        ) from None


def _home() -> str:
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"
    return home if home.startswith("/") else "/"
