"""A night's change, and its forge over a path, over SSH, and over smart HTTP with a token."""

import os
import shutil

import pytest
from support.delivery import Night, docs, over_http
from support.forge import small_forge
from support.git_http import GitHttp
from support.nightly import Nightly
from support.sshd import Sshd

from codex_runner.delivery.remote import Remote


@pytest.fixture
def own(tmp_path):
    """A night of the test's own, to do anything to its working tree."""
    return Night(tmp_path / "night")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A night whose agent is done: what `docs` returns is made once for all tests of a file."""
    made = Night(tmp_path_factory.mktemp("night") / "night")
    docs(made)
    shutil.copytree(made.forge.path, made.root / "before")
    return made


@pytest.fixture
def night(made):
    """That night. Each test finds the forge as it was, and leaves the working tree alone."""
    yield made
    shutil.rmtree(made.forge.path)
    shutil.copytree(made.root / "before", made.forge.path)


@pytest.fixture
def served():
    with GitHttp() as server:
        yield server


WAYS = ["ssh", "path", "http"]


def way_to(night, request):
    if request.param == "path":
        return night.remote()
    if request.param == "ssh":
        sshd = request.getfixturevalue("sshd")
        return Remote(f"ssh://{sshd.alias}{night.forge.path}", ssh=("ssh", "-F", str(sshd.config)))
    return over_http(request.getfixturevalue("served"), night)


@pytest.fixture(params=WAYS)
def remote(request, night):
    return way_to(night, request)


@pytest.fixture(params=WAYS)
def own_remote(request, own):
    """A night of the test's own, and the way to its forge."""
    return own, way_to(own, request)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    with Sshd(tmp_path_factory.mktemp("sshd") / "sshd", environment={"PATH": os.environ["PATH"]}) as server:
        yield server


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


@pytest.fixture
def nightly(project, forge):
    return Nightly(project, forge)
