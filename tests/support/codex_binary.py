"""The place of the real codex: the `demo` extra, or TEST_CODEX, which is a path or a version."""

import importlib.util
import os
from pathlib import Path

from codex_runner.codex.versions import VERSIONS
from support.places import build_folder
from support.tools import codex_of_npm

# With it, the tests that take either codex have only this one.
GIVEN = os.environ.get("TEST_CODEX", "")


def find_codex():
    """Return the path of the native binary, None without one."""
    if "/" in GIVEN:
        return Path(GIVEN)
    if GIVEN not in {"", VERSIONS.oldest.version}:
        return codex_of_npm(build_folder(), GIVEN)
    package = importlib.util.find_spec("codex_cli_bin")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "bin" / "codex"
    return binary if binary.is_file() else None
