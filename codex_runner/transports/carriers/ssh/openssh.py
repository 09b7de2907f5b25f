"""The ssh client of this machine: whether it works, and which of the runner's options it knows."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Since OpenSSH 8.7 a configuration may set what only the options `-n`, `-N`, `-s` and `-f` could set before.
NEWER_OPTIONS = ("-oStdinNull=no", "-oSessionType=default", "-oForkAfterAuthentication=no")
# The master has no session: it gets -N.
NEWER_MASTER_OPTIONS = ("-oForkAfterAuthentication=no",)

_UNKNOWN = re.compile(r"command-line.*Bad configuration option: forkafterauthentication", re.IGNORECASE)


def check_client(environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if ssh is not in PATH, or cannot work for this user."""
    if shutil.which("ssh", path=environ.get("PATH")) is None:
        raise ConfigurationError(
            "ssh is not in PATH on this machine, and codex-runner needs it to reach another host.",
            remedy="Install OpenSSH's client (package `openssh-client`, `openssh-clients` or `openssh`).",
        )
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigurationError(
            f"ssh refuses users who are not in the password database, and uid {os.getuid()} is not.",
            remedy="Add an entry for this uid to /etc/passwd, or run as a user who has one.",
        ) from None


def knows_newer(complaint: str) -> bool:
    """Return False if ssh complained of an option that it is too old to know."""
    return not _UNKNOWN.search(complaint)
