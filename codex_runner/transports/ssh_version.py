"""What the system's ssh knows, by its version: an option that it does not know ends it."""

from __future__ import annotations

import functools
import re
import subprocess

_FORKS_SINCE = (8, 7)


def stay_here(path: str | None) -> tuple[str, ...]:
    """Return the options by which ssh stays our child, whatever its configuration says (ForkAfterAuthentication).

    `path` is the PATH in which ssh is looked for.
    """
    return ("-oForkAfterAuthentication=no",) if _version(path) >= _FORKS_SINCE else ()


@functools.cache
def _version(path: str | None) -> tuple[int, int]:
    try:
        asked = subprocess.run(
            ["ssh", "-V"],  # noqa: S607 - the system's ssh
            env={} if path is None else {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # whoever connects will say why
        return (0, 0)
    found = re.match(rb"OpenSSH_(\d+)\.(\d+)", asked.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
