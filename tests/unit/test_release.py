"""What a tag releases: only a tree that says so itself, with its notes, by jobs that have no right too many."""

import json
import os
import re
import subprocess
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
        ("v1.2.0", "pyproject.toml", "acme", "OWNER", "No owner of the repository is named in pyproject.toml:"),
        ("v1.2.0", "codex_runner/cli/pipelines.py", "acme", "OWNER", "is named in codex_runner/cli/pipelines.py:"),
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


@pytest.mark.parametrize(
    ("others", "moved"),
    [
        (["v1.2.0", "v1.1.9", "v0.9.0"], "v1"),
        (["v1.2.1", "v1.2.0"], ""),
        (["v1.10.0"], ""),
        (["v1.3.0rc1", "v2.0.0", "v1", "v1.x", "v1.2.9-a-branch"], "v1"),
    ],
)
def test_the_major_tag_never_moves_back(others, moved):
    assert tag.moving("v1.2.0", others) == moved


def test_one_command_names_the_owner_everywhere(tmp_path):
    copy = tmp_path / "tree"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", TOP, copy], check=True)
    if not (changed := tag.own("acme-inc", copy)):
        pytest.skip("the tree names its owner")
    assert {".github/CODEOWNERS", ".github/workflows/site.yml", "ci/pages.py", "docs/releasing.md"} <= set(changed)
    assert not any("owner" in problem for problem in tag.problems("v1.2.0", copy))
    assert tag.source(copy) == "https://github.com/acme-inc/codex-runner"
    assert tag.own("acme-inc", copy) == []


@pytest.mark.parametrize("name", ["", "a/b", "-x", "x-", "a b", "a\nb"])
def test_an_owner_is_an_account(name, tmp_path):
    with pytest.raises(SystemExit):
        tag.own(name, tmp_path)


def test_a_folder_with_files_in_it_is_not_rehearsed_into(tmp_path):
    kept = tmp_path / "thesis.tex"
    kept.touch()
    command = [sys.executable, TOP / "ci/releasing", "--dry-run", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert kept.exists()


@pytest.mark.parametrize("document", ["README.md", *sorted(path.name for path in (TOP / "docs").glob("*.md"))])
def test_no_page_has_pip_fetch_a_name_that_anyone_may_take(document):
    """An extra is of the package that is there. All other lines take a clone or a commit."""
    text = (TOP / ("docs" if document != "README.md" else "") / document).read_text(encoding="utf-8")
    assert re.findall(r"(?:pip|pipx|tool) install(?: -\S+)* '?codex-runner(?![\[/])", text) == []


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


def script(job, *words):
    """Return the one script of a job that has these words in it."""
    (found,) = [step["run"] for step in JOBS[job]["steps"] if all(word in step.get("run", "") for word in words)]
    return found


def test_a_tag_beside_the_default_branch_releases_nothing(tmp_path):
    def git(*arguments):
        names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        command = ["git", "-C", tmp_path, *arguments]
        done = subprocess.run(command, env=os.environ | names, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def judged(commit):
        environ = os.environ | {"BRANCH": "main", "GITHUB_SHA": commit}
        command = ["bash", "-e", "-c", script("build", "merge-base")]
        return subprocess.run(command, cwd=tmp_path, env=environ, check=False, capture_output=True).returncode

    git("init", "--quiet")
    for message in ("reviewed", "merged"):
        git("commit", "--quiet", "--allow-empty", "-m", message)
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert (judged(git("rev-parse", "HEAD")), judged(git("rev-parse", "HEAD~"))) == (0, 0)
    git("commit", "--quiet", "--allow-empty", "-m", "a stranger's")
    assert judged(git("rev-parse", "HEAD")) == 1
    assert JOBS["build"]["steps"][0]["with"]["fetch-depth"] == 0


@pytest.mark.parametrize(
    ("name", "there", "tags", "calls"),
    [
        ("v1.2.0", "", "v1.2.0 v1.1.0", ["release create v1.2.0 --verify-tag --title v1.2.0", "PATCH v1"]),
        ("v1.2.0", "true", "v1.2.0", ["release create v1.2.0 --verify-tag --title v1.2.0", "PATCH v1"]),
        ("v1.2.0", "false", "v1.2.0", ["PATCH v1"]),
        ("v1.2.0", "", "v1.2.0 v1.3.0", ["release create v1.2.0 --verify-tag --title v1.2.0"]),
        ("v2.0.0rc1", "", "v2.0.0rc1", ["release create v2.0.0rc1 --verify-tag --title v2.0.0rc1 PRE"]),
    ],
    ids=["the first", "a draft is left", "run again", "an older one", "a prerelease"],
)
def test_a_release_is_made_once_and_the_major_tag_follows_the_newest(tmp_path, name, there, tags, calls):
    gh = tmp_path / "gh"
    gh.write_text((TOP / "tests/unit/gh.sh").read_text())
    gh.chmod(0o755)
    (tmp_path / "ci").symlink_to(TOP / "ci")
    told = {"TAG": name, "GH_REPO": "acme/codex-runner", "GITHUB_SHA": "1" * 40, "THERE": there, "TAGS": tags}
    environ = os.environ | told | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", script("release", "gh release create")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == calls


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
