"""What GitHub reads of this repository: its schemas are kept by ci/check, and what they name is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def lines(name):
    text = (TOP / ".github" / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_each_place_with_an_owner_is_there():
    places = [line.split()[0] for line in lines("CODEOWNERS")]
    assert places[0] == "*"
    assert [place for place in places[1:] if not (TOP / place.lstrip("/")).exists()] == []


def test_what_runs_with_rights_has_an_owner_of_its_own():
    places = {line.split()[0] for line in lines("CODEOWNERS")}
    wanted = {"/action.yml", "/ci/", "/.github/", "/.gitlab-ci.yml", "/templates/", "/Containerfile", "/pyproject.toml"}
    assert wanted | {"/.pre-commit-hooks.yaml"} <= places


def test_each_folder_that_is_kept_up_to_date_has_something_pinned():
    folders = [line.removeprefix("- ").split(" #")[0] for line in lines("dependabot.yml") if line.startswith("- /")]
    assert len(folders) >= 4
    for folder in folders:
        below = TOP / folder.lstrip("/")
        assert [*below.glob("*.txt"), *below.glob("action.yml"), *below.glob(".github/workflows/*.yml")], folder


def test_an_action_has_the_same_commit_everywhere():
    """Dependabot changes the workflows and both faces of the action. What `init` writes and the pages follow."""
    found = {}
    for place in (".github", "ci", "codex_runner/cli/starters", "docs", "action.yml"):
        for path in [TOP / place] if (TOP / place).is_file() else (TOP / place).rglob("*.*"):
            if path.suffix in {".yml", ".md"}:
                for name, pin in re.findall(r"uses: ([\w/-]+)@([0-9a-f]{40} # \S+)", path.read_text(encoding="utf-8")):
                    found.setdefault(name, {}).setdefault(pin, []).append(path.relative_to(TOP).as_posix())
    assert len(found) > 8
    assert {name: pins for name, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("setting", ["Private vulnerability reporting", "code owners", "`SITE_URL`"])
def test_the_owner_is_told_what_these_files_need_on_github(setting):
    assert setting in (TOP / "docs/releasing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ISSUE_TEMPLATE/bug.yml", "ISSUE_TEMPLATE/config.yml"])
def test_whoever_has_found_a_leak_is_sent_to_the_private_report(name):
    assert "/security/advisories/new" in (TOP / ".github" / name).read_text(encoding="utf-8")
