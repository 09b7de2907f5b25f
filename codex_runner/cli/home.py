"""HOME, XDG_STATE_HOME and PATH, made such that every part of a run understands them alike."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def settle_home(environ: MutableMapping[str, str]) -> str:
    """Make HOME and XDG_STATE_HOME absolute paths. A relative XDG_STATE_HOME is removed; return a warning if so.

    If HOME is missing or relative, it becomes the password database's entry, or `/` without one, as container engines
    do it.
    """
    if not environ.get("HOME", "").startswith("/"):
        environ["HOME"] = _home()
    state = environ.get("XDG_STATE_HOME")
    if state is None or state.startswith("/"):
        return ""
    # The XDG specification ignores a relative one: the runner and the shells that it starts would find other folders.
    del environ["XDG_STATE_HOME"]
    return f"XDG_STATE_HOME is {state!r}, which is not an absolute path: it is ignored." if state else ""


def settle_search(environ: MutableMapping[str, str]) -> None:
    """Remove the current folder, as `.` or as an empty entry, from PATH and LD_LIBRARY_PATH: the agent writes it."""
    for name in ("PATH", "LD_LIBRARY_PATH"):
        if name in environ:
            environ[name] = ":".join(each for each in environ[name].split(":") if each not in {"", ".", "./"})


def here() -> Path:
    """Return the current folder. Raises UsageError if it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            f"The current folder does not exist any more: {error.strerror}.",
            remedy="Change to a folder that exists.",
        ) from None


def _home() -> str:
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"
    return home if home.startswith("/") else "/"
