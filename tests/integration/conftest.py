"""The real codex, homes for it, and projects that run it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from support.codex_binary import GIVEN, find_codex
from support.places import build_folder
from support.runs import Project
from support.tools import codex_of_npm

from codex_runner.demo.model import ModelService

BUILD = build_folder()


@pytest.fixture(scope="session")
def codex():
    """The path of the native binary."""
    binary = find_codex()
    if binary is None:
        assert not GIVEN, f"npm did not bring codex {GIVEN}"
        pytest.skip("no codex: install the `demo` extra")
    return binary


@pytest.fixture(scope="session", params=["given"] if GIVEN else ["oldest", "newest"])
def either_codex(request, codex):
    """The path of the native binary, of the oldest version that is supported and of the newest that was tested.

    Each day, the first case of a test has the one and the last case the other.
    """
    binary = codex_of_npm(BUILD) if request.param == "newest" else codex
    if binary is None:
        assert os.environ.get("CI") != "true", "npm did not bring the newest codex"
        pytest.skip("npm did not bring the newest codex")
    return binary


@pytest.fixture
def codex_home():
    """An empty CODEX_HOME. It is not a folder of pytest's, since codex warns of homes under /tmp."""
    BUILD.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="codex-home-", dir=BUILD))
    yield home
    shutil.rmtree(home)


@pytest.fixture
def service():
    """The scripted model service."""
    with ModelService() as running:
        yield running


@pytest.fixture
def project(codex, codex_home, service, tmp_path):
    """A project whose job asks the real codex, which asks the scripted service."""
    made = Project(tmp_path, codex_home, codex, service)
    yield made
    made.close()
