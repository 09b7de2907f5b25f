"""Loads shell scripts. Each is a file beside the module that runs it, so that shellcheck can read it."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def shell_script(package: str, *names: str) -> str:
    """Return the scripts `names` of `package` as one text, in this order. A name is relative to the package."""
    folder = resources.files(package)
    return "\n".join(folder.joinpath(*name.split("/")).read_text(encoding="utf-8") for name in names)
