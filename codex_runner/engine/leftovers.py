"""What codex itself leaves on a host, as shell functions: see leftovers.sh and points.sh."""

from __future__ import annotations

from importlib import resources


def leftovers_script() -> str:
    """Return the functions that note and remove it, for scripts that run on a host."""
    folder = resources.files("codex_runner.engine")
    return "\n".join(folder.joinpath(f"{part}.sh").read_text(encoding="utf-8") for part in ("points", "leftovers"))
