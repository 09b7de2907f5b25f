"""Folders for files of tests that must not lie below the temporary folder."""

import tempfile
from pathlib import Path


def build_folder():
    """Return the repository's own build/, or, for a clone below the temporary folder, one in the user's cache.

    codex warns of homes below /tmp and gives them no helper programs, and many a test looks at every warning.
    """
    build = Path(__file__).parents[2] / "build"
    temporary = {Path("/tmp").resolve(), Path(tempfile.gettempdir()).resolve()}
    if any(build.resolve().is_relative_to(folder) for folder in temporary):
        build = Path.home() / ".cache" / "codex-runner-tests"
    build.mkdir(parents=True, exist_ok=True)
    return build
