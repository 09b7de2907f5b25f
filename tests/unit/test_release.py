"""What a tag releases: only a tree that says so itself, with its notes, by jobs that have no right too many."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

import codex_runner

sys.path.insert(0, str(Path(__file__).parents[2] / "ci" / "releasing"))

import tag

TOP = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((TOP / ".github/workflows/release.yml").read_text(encoding="utf-8"))
JOBS = WORKFLOW["jobs"]

CHANGELOG = """# Changelog

## Unreleased

## 1.2.0 - 2026-12-01

### Added

- A long line that goes on
  after a break, with [a link](docs/cli.md#run).
- `another`

A paragraph
of two lines.

```sh
kept
as it is
```

## 1.1.0 - 2026-11-01

- Old.
"""


@pytest.fixture
def tree(tmp_path):
    """A tree that may be released as v1.2.0."""
    (tmp_path / "codex_runner/cli").mkdir(parents=True)
    (tmp_path / "codex_runner/cli/pipelines.py").write_text('ACTION = "acme/codex-runner@v1"\n')
    (tmp_path / "codex_runner/__init__.py").write_text('"""x"""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nSource = "https://github.com/acme/codex-runner"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_a_tree_that_says_so_may_be_released(tree):
    assert tag.problems("v1.2.0", tree) == []
    assert tag.problems("v1.2.0", tree, "https://github.com/Acme/codex-runner") == []


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "told"),
    [
        ("v1.2", None, "", "", "The tag v1.2 is no version"),
        ("1.2.0", None, "", "", "The tag 1.2.0 is no version"),
        ("v1.3.0", None, "", "", "The tag is v1.3.0, and codex_runner/__init__.py says 1.2.0"),
        ("v1.2.0", "CHANGELOG.md", "## 1.2.0 - 2026-12-01", "## 1.2.0", "no section `## 1.2.0 - YYYY-MM-DD`"),
        ("v1.2.0", "CHANGELOG.md", "2026-12-01", "2026-13-01", "no section `## 1.2.0 - YYYY-MM-DD`"),
        ("v1.2.0", "CHANGELOG.md", "2026-12-01\n", "2026-12-01\n\n## x\n", "says nothing of 1.2.0"),
        ("v1.2.0", "CHANGELOG.md", "Unreleased\n", "Unreleased\n\n- More.\n", "lines under `## Unreleased`"),
        ("v1.2.0", "codex_runner/cli/pipelines.py", "@v1", "@v2", "moves the tag v1, and `init github` names"),
        ("v1.2.0", "pyproject.toml", "acme", "OWNER", "names no owner"),
        ("v1.2.0", "pyproject.toml", "acme", "zebra", "says that the repository is https://github.com/zebra/"),
    ],
)
def test_what_is_in_the_way_of_a_release(tree, name, file, old, new, told):
    if file:
        text = (tree / file).read_text()
        (tree / file).write_text(text.replace(old, new, 1))
        assert old in text
    assert any(told in problem for problem in tag.problems(name, tree, "https://github.com/acme/codex-runner"))


def test_the_notes_are_the_versions_section_with_a_paragraph_a_line(tree):
    link = "[a link](https://github.com/acme/codex-runner/blob/v1.2.0/docs/cli.md#run)"
    assert tag.notes("v1.2.0", tree) == (
        f"### Added\n\n- A long line that goes on after a break, with {link}.\n- `another`\n\n"
        "A paragraph of two lines.\n\n```sh\nkept\nas it is\n```\n"
    )
    assert tag.notes("v1.1.0", tree) == "- Old.\n"
    with pytest.raises(LookupError):
        tag.notes("v1.0.0", tree)


def test_the_real_changelog_has_notes():
    text = (
        tag.unreleased() if tag.problems(f"v{codex_runner.__version__}") else tag.notes(f"v{codex_runner.__version__}")
    )
    entries = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(entries) > 5
    assert not re.search(r"^ {2}\S", text, re.MULTILINE), "a line was not joined with the one before"


@pytest.mark.parametrize(("name", "moved"), [("v1.2.0", "v1"), ("v0.1.0", "v0"), ("v2.0.0rc1", ""), ("main", "")])
def test_the_tag_that_moves(name, moved):
    assert tag.moving(name) == moved


def test_what_init_names_is_found():
    assert re.fullmatch(r"v\d+", tag.named_by_init())


def test_the_version_has_one_owner():
    assert tag.version() == codex_runner.__version__
    assert "version" not in re.findall(r"^(\w+) =", (TOP / "pyproject.toml").read_text(), re.MULTILINE)[:4]


# --- the pipelines ---------------------------------------------------------------------------------------------------


def test_a_job_has_no_right_that_it_does_not_need():
    assert WORKFLOW["permissions"] == {}
    rights = {name: job["permissions"] for name, job in JOBS.items()}
    assert rights == {
        "build": {"contents": "read"},
        "suite": {"contents": "read"},
        "image": {"contents": "read"},
        "pypi": {"id-token": "write"},
        "registry": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
        "release": {"contents": "write"},
    }
    assert {name: job["environment"]["name"] for name, job in JOBS.items() if "environment" in job} == {
        "pypi": "pypi",
        "registry": "image",
    }


def test_nothing_is_published_before_everything_is_green_and_only_what_was_built_once():
    assert set(JOBS["pypi"]["needs"]) == {"build", "suite", "image"}
    assert (JOBS["registry"]["needs"], JOBS["release"]["needs"]) == ("pypi", "registry")
    building = [name for name, job in JOBS.items() if "ci/release packages" in json.dumps(job)]
    assert building == ["build"]
    assert not any("checkout" in step.get("uses", "") for step in JOBS["pypi"]["steps"]), "no code of ours runs there"


def test_the_pipelines_call_commands_that_are_there():
    known = re.findall(r"^(?:ci/release) ([a-z|-]+)", (TOP / "ci/releasing/__main__.py").read_text(), re.MULTILINE)
    commands = {name for names in known for name in names.split("|")}
    text = json.dumps(WORKFLOW) + (TOP / ".gitlab-ci.yml").read_text() + (TOP / "docs/releasing.md").read_text()
    called = set(re.findall(r"ci/releas(?:e|ing) ([a-z]+) ", text))
    assert called == commands


def test_gitlabs_catalogue_gets_a_release_with_each_version():
    pipeline = yaml.safe_load((TOP / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    assert pipeline["release"]["release"] == {"tag_name": "$CI_COMMIT_TAG", "description": "notes.md"}
    (rule,) = pipeline["workflow"]["rules"]
    pattern = re.search(r"=~ /(.*)/", rule["if"])[1]
    assert re.search(pattern, f"v{codex_runner.__version__}")
    assert not re.search(pattern, "v1.0.0rc1")
    assert not re.search(pattern, "v1")


def test_the_image_is_made_by_one_script_and_nobody_is_root_in_it():
    text = (TOP / "Containerfile").read_text(encoding="utf-8")
    assert re.findall(r"^RUN (.*)$", text, re.MULTILINE) == ["--mount=type=bind,target=/mnt sh /mnt/image.sh"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000:1000"]
    script = (TOP / "ci/releasing/image.sh").read_text(encoding="utf-8")
    assert "--require-hashes" in script
    assert "useradd --uid 1000 " in script
