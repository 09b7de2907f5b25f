"""What PyPI gets: the wheel and the sdist hold what they must and nothing more, and say what they are."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from trove_classifiers import classifiers

import codex_runner

TOP = Path(__file__).parents[2]
STEM = f"codex_runner-{codex_runner.__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", folder, "-t", "sdist", "-t", "wheel"]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built / f"{STEM}-py3-none-any.whl") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel):
    return email.message_from_bytes(wheel[f"{STEM}.dist-info/METADATA"])


def in_git(*paths):
    """Return the files that git has, or would take, below these paths."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths]
    names = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name for name in names if name and (TOP / name).exists()}


def test_the_wheel_has_exactly_the_files_of_the_package(wheel):
    of_the_package = {name for name in wheel if not name.startswith(f"{STEM}.dist-info/")}
    assert of_the_package == in_git("codex_runner")
    assert {Path(name).suffix for name in of_the_package} > {".py", ".sh", ".txt", ".yml"}
    assert all(wheel[name] == (TOP / name).read_bytes() for name in of_the_package)
    about = {name.partition("/")[2] for name in wheel} - {name.partition("/")[2] for name in of_the_package}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_has_what_the_wheel_is_made_of(built):
    with tarfile.open(built / f"{STEM}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {name for name in names if not name.startswith("codex_runner/")}
    assert names - beside == in_git("codex_runner")
    assert beside == {
        *("PKG-INFO", "pyproject.toml", ".gitignore", "README.md", "LICENSE", "CHANGELOG.md"),
        *("ci/releasing/description.py", "ci/releasing/links.py"),
    }


def test_the_metadata_says_what_a_reader_of_pypi_looks_for(metadata, wheel):
    assert (metadata["Name"], metadata["Version"]) == ("codex-runner", codex_runner.__version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) >= {"demo", "otel", "scan"}
    told = set(metadata.get_all("Classifier"))
    assert told <= classifiers, "PyPI refuses an upload with an unknown classifier"
    assert "Programming Language :: Python :: 3.11" in told
    links = dict(link.split(", ") for link in metadata.get_all("Project-URL"))
    assert links.keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert wheel[f"{STEM}.dist-info/entry_points.txt"] == (
        b"[console_scripts]\ncodex-runner = codex_runner.cli.main:program\n"
    )


def test_each_link_of_the_description_leads_to_a_file_of_this_version(metadata):
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) == len(re.findall(r"\]\(([^)\s]+)\)", (TOP / "README.md").read_text(encoding="utf-8")))
    assert [target for target in targets if not target.startswith("https://")] == []
    ours = re.compile(rf"https://github\.com/[\w-]+/codex-runner/(?:blob|raw)/v{codex_runner.__version__}/([^#]+)")
    named = [found[1] for target in targets if (found := ours.match(target))]
    assert len(named) > 20
    assert [name for name in named if not (TOP / name).exists()] == []
    assert "/raw/" in text.partition("docs/demo.svg")[0].splitlines()[-1], "the picture would be a web page"
