"""The real codex, and homes for it."""

import shutil
import tempfile
from pathlib import Path

import pytest
from support.codex_binary import find_codex

BUILD = Path(__file__).parents[2] / "build"


@pytest.fixture(scope="session")
def codex():
    """The path of the native binary."""
    binary = find_codex()
    if binary is None:
        pytest.skip("no codex: install the `demo` extra")
    return binary


@pytest.fixture
def codex_home():
    """An empty CODEX_HOME. It is not a folder of pytest's, since codex warns of homes under /tmp."""
    BUILD.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="codex-home-", dir=BUILD))
    yield home
    shutil.rmtree(home)
