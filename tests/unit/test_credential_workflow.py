"""Which workflow a job's credential must name, inside a CI system and outside, with a clone and without."""

import subprocess

import pytest

from codex_runner.app.credentials import repository_of, workflow_of
from codex_runner.app.repository_address import path_of
from codex_runner.domain.credential import CredentialSource, CredentialSpec

PATH = CredentialSpec(path="acme/app/release-notes")


def test_a_repository_that_is_known_counts_more_than_the_path():
    assert workflow_of(PATH, "release-notes", "acme/app") == "acme/app/release-notes"
    assert workflow_of(PATH, "release-notes", "mallory/app") == "mallory/app/release-notes"
    named = CredentialSpec(path="x", workflow="acme/app/other")
    assert workflow_of(named, "release-notes", "acme/app") == "acme/app/other"


def test_without_one_it_is_the_path(tmp_path):
    """On a machine with AppRole it was `/release-notes`, which no token names."""
    repository = repository_of(str(tmp_path), {"PATH": "/usr/bin:/bin"})
    assert repository == ""
    assert workflow_of(PATH, "release-notes", repository) == "acme/app/release-notes"
    variable = CredentialSpec(source=CredentialSource.ENV)
    assert workflow_of(variable, "release-notes", repository) == "/release-notes"


def test_a_clone_says_it(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", "git@github.com:acme/app.git"], check=True)
    assert repository_of(str(tmp_path), {"PATH": "/usr/bin:/bin"}) == "acme/app"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://github.com/acme/app.git", "acme/app"),
        ("ssh://git@host:22/group/sub/app", "group/sub/app"),
        ("git@host:acme/app.git", "acme/app"),
        ("/srv/acme/app.git", "acme/app"),
        ("", ""),
    ],
)
def test_the_path_of_an_address(address, path):
    assert path_of(address) == path
