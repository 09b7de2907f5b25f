"""The ssh of this machine: whether it can be used at all, and which of our options it knows."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Since OpenSSH 8.7 a configuration may say what only `-n`, `-N`, `-s` and `-f` said before.
NEWER_OPTIONS = ("-oStdinNull=no", "-oSessionType=default", "-oForkAfterAuthentication=no")
# The connection itself has no session: -N says so.
NEWER_MASTER_OPTIONS = ("-oForkAfterAuthentication=no",)

_UNKNOWN = re.compile(r"command-line.*Bad configuration option: forkafterauthentication", re.IGNORECASE)


def check_client(environ: Mapping[str, str]) -> None:
    """ConfigurationError if no ssh can be started on this machine, or none that works for this user."""
    if shutil.which("ssh", path=environ.get("PATH")) is None:
        raise ConfigurationError(
            "there is no ssh on this machine, and another host is reached with it: PATH has none.",
            remedy="Install OpenSSH's client (`openssh-client`, `openssh-clients` or `openssh` by the system).",
        )
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigurationError(
            f"ssh refuses users who are not in the password database, and uid {os.getuid()} is not.",
            remedy="Add an entry for it to /etc/passwd, or run as a user who has one.",
        ) from None


def knows_newer(complaint: str) -> bool:
    """Whether what ssh complained of is not that it is too old for the newer options."""
    return not _UNKNOWN.search(complaint)
