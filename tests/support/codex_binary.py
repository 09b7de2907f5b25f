"""Where the real codex is: the one of the `demo` extra, or the one that TEST_CODEX names."""

import importlib.util
import os
from pathlib import Path


def find_codex():
    """Return the path of the native binary, None without one."""
    if named := os.environ.get("TEST_CODEX"):
        return Path(named)
    package = importlib.util.find_spec("codex_cli_bin")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "bin" / "codex"
    return binary if binary.is_file() else None
