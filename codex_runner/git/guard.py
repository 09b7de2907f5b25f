"""Settings that keep git from running a repository's programs: no embedded bare repository, no fsmonitor, no hooks.

They are in the environment (GIT_CONFIG_COUNT), behind existing settings. So they hold for each git that a program
starts, in each repository. git reads them since 2.31, and knows `safe.bareRepository` since 2.38.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.secret import Secret
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = {"safe.bareRepository": "explicit", "core.fsmonitor": "false", "core.hooksPath": "/dev/null"}
_COUNT = "GIT_CONFIG_COUNT"


def guard_script() -> str:
    """Return the shell function `guard_git`, which does the same in a shell as `guarded` does in Python."""
    return shell_script("codex_runner.git", "guard.sh")


def guarded_command() -> str:
    """Return a script that executes its only argument, a command for `sh -c`, with these settings."""
    return shell_script("codex_runner.git", "guard.sh", "guarded.sh")


_Value = TypeVar("_Value", str, str | Secret)


def guarded(environ: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return a copy of the environment with these settings.

    Adds none if GIT_CONFIG_COUNT is no number: git itself refuses that.
    """
    given = environ.get(_COUNT) or "0"
    count = given.reveal() if isinstance(given, Secret) else given
    if not (count.isascii() and count.isdigit()):
        return dict(environ)
    added: dict[str, _Value] = {}
    for number, (key, value) in enumerate(_SETTINGS.items(), int(count)):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**environ, **added, _COUNT: str(int(count) + len(_SETTINGS))}
