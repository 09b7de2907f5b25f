"""Shell functions that clean up what codex itself leaves on a host: see leftovers.sh and points.sh."""

from __future__ import annotations

from codex_runner.shell.script import shell_script


def leftovers_script() -> str:
    """Return the shell functions that record and remove codex's leftovers, for scripts that run on a host."""
    return shell_script("codex_runner.shell", "points.sh", "leftovers.sh")
