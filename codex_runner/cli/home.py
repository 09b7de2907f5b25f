"""The folders that a process finds in its environment, made such that every part of a run understands them alike."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_XDG = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")


def settle_home(environ: MutableMapping[str, str]) -> list[str]:
    """Make HOME and the XDG folders absolute paths, or unset; return a sentence for each that is ignored.

    Without HOME, it is the password database's; without an entry there it is `/`, as container engines have it.
    """
    ignored = []
    for name in _XDG:
        value = environ.get(name)
        if value is None or value.startswith("/"):
            continue
        del environ[name]  # the XDG specification: a relative path is invalid, and to be ignored
        if value:
            ignored.append(f"{name} is {value!r}, which is no absolute path: it is ignored.")
    if not environ.get("HOME", "").startswith("/"):
        environ["HOME"] = _home()
    return ignored


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
