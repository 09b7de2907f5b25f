"""The scripts of recipes: a check is red on a bad result and green on a good one, and an input is what it says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codex_runner.cli.recipes import RECIPES

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


class Work:
    """A repository with a commit, in which the scripts of a recipe lie where `init` puts them."""

    def __init__(self, folder, recipe, shell):
        self.folder, self.recipe, self.shell = folder, recipe, shell
        self.environ = {"PATH": PATH, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
        self.git("init", "--quiet")
        for path, text in RECIPES[recipe].files(recipe).items():
            self.write(path, text)

    def git(self, *arguments):
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=self.environ, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, **files):
        for path, text in files.items():
            self.write(path, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A day's work")
        return self.git("rev-parse", "--short", "HEAD")

    def script(self, kind):
        file = f"prompts/{self.recipe}.{kind}.sh"
        done = subprocess.run(
            [*self.shell.split(), file], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def check(self, told=""):
        """What the check says. It must be red and say `told`, or be green if that is empty."""
        code, said = self.script("check")
        assert (code != 0) == bool(told), said
        assert told in said
        return said


# `sh` is one of them on each machine.
OTHERS = ("dash", "bash --posix", "busybox sh", "mksh", "zsh --emulate sh")


@pytest.fixture(params=["sh", *(pytest.param(shell, marks=pytest.mark.thorough) for shell in OTHERS)])
def shell(request):
    if shutil.which(request.param.split()[0]) is None:
        pytest.skip(f"no {request.param}")
    return request.param


@pytest.fixture
def work(tmp_path, request, shell):
    return Work(tmp_path, request.param, shell)


def of(recipe):
    return pytest.mark.parametrize("work", [recipe], indirect=True)


@of("docs")
def test_links_of_changed_pages_must_lead_somewhere(work):
    work.commit(**{"README.md": "[old](gone.md)\n", "docs/a.md": "a\n", "src/a b.py": ""})
    work.check()
    good = (
        "[a](a.md#part) [b](<../src/a b.py>) [c](/README.md) [d](https://x.test/y) [e](#here) ![f](../src/a%20b.py)\n"
    )
    work.write("docs/new.md", f"{good}```\n[code](nowhere.md)\n```\n`[code](nowhere.md)`\n")
    work.check()
    work.write("docs/new.md", "[x](nowhere.md)\n")
    work.check("docs/new.md: nowhere.md leads nowhere")
    work.write("docs/new.md", good)
    work.write("README.md", "[old](gone.md) and more\n")
    work.check("README.md: gone.md leads nowhere")


@of("release-notes")
def test_entries_of_the_notes_name_commits_and_releases_stay(work):
    released = "## 1.0.0\n\n- Began (0000000)\n"
    commit = work.commit(**{"CHANGELOG.md": f"# Changelog\n\n## Unreleased\n\n- By hand\n\n{released}"})
    work.check()

    def notes(*entries, after=released):
        lines = "".join(f"- {entry}\n" for entry in entries)
        work.write("CHANGELOG.md", f"# Changelog\n\n## Unreleased\n\n### Added\n\n{lines}\n{after}")

    notes("By hand", f"`list` shows names ({commit})", f"Two (in one) ({commit}, {commit})")
    work.check()
    notes("Invented (deadbee1)")
    work.check("there is no commit deadbee1")
    notes("Without one")
    work.check("it names no commit: - Without one")
    notes(f"Good ({commit})", after=released.replace("Began", "Was begun"))
    work.check("a section of a release is not as it was")
    notes(f"Good ({commit})", after="")
    work.check("a section of a release is not as it was")


@of("release-notes")
def test_a_first_changelog_is_judged_too(work):
    commit = work.commit()
    work.check()
    work.write("CHANGELOG.md", f"# Changelog\n\n## Unreleased\n\n- First ({commit})\n")
    work.check()
    work.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- First\n")
    work.check("names no commit")


OUTPUT = """\
FAILED tests/test_a.py::test_one - assert 1 == 2
FAILED tests/test_a.py::test_two[a b] - ValueError
--- FAIL: TestGo (0.00s)
test rust::case ... FAILED
"""
NAMED = ("tests/test_a.py::test_one", "tests/test_a.py::test_two[a", "TestGo", "rust::case")


@of("test-triage")
def test_a_triage_must_fit_the_output(work):
    commit = work.commit()
    work.write("codex-input/test-triage.txt", OUTPUT)
    work.check("there is no codex-report/test-triage.md")

    def report(*names, kind="regression", since=commit, more=""):
        headings = "".join(f"### {name}\n" for name in names)
        head = f"# Test triage\n\nAll.\n\n## A reason\n\n- Kind: {kind}\n- Since: {since}\n- Confidence: high\n"
        work.write("codex-report/test-triage.md", f"{head}\n{headings}{more}")

    report(*NAMED)
    work.check()
    report(*NAMED, since="unknown")
    work.check()
    report(*NAMED[:-1])
    work.check("the report leaves out rust::case")
    report(*NAMED, "tests/test_b.py::test_invented")
    work.check("the output has no test tests/test_b.py::test_invented")
    report(*NAMED, kind="bad luck")
    work.check("no such kind: bad luck")
    report(*NAMED, since="deadbee1")
    work.check("there is no commit deadbee1")
    report(*NAMED, more="\n## Another reason\n")
    work.check("each reason has one line Kind")
    report()
    work.check("the report names no failing test")


@of("test-triage")
def test_the_input_of_a_triage_is_empty_if_the_tests_pass(work):
    work.commit(**{"tests/test_a.py": "def test_one():\n    assert 1 == 1\n"})
    work.write("codex-report/test-triage.md", "of the last night")
    output = work.folder / "codex-input/test-triage.txt"
    assert work.script("input") == (0, "")
    assert output.read_text() == ""
    assert not (work.folder / "codex-report/test-triage.md").exists()
    work.write("tests/test_a.py", "def test_one():\n    assert 1 == 2\n")
    assert work.script("input") == (0, "")
    assert "FAILED tests/test_a.py::test_one" in output.read_text()


LIST = """\
Package Version Latest Type
------- ------- ------ -----
httpx   0.27.0  0.28.1 wheel
rich    13.0.0  14.1.0 wheel
"""


@of("dependency-report")
def test_a_report_of_dependencies_must_fit_the_list(work):
    work.commit(**{"src/a.py": "import httpx\n"})
    work.write("codex-input/dependency-report.txt", LIST)
    work.check("there is no codex-report/dependency-report.md")

    def report(**risks):
        parts = (
            f"### {name}\n\n- Update: 1 to 2\n- Risk: {risk}\n- Used in: {used}\n"
            for name, (risk, used) in risks.items()
        )
        work.write("codex-report/dependency-report.md", "# Dependency report\n\nTwo.\n\n" + "\n".join(parts))

    report(rich=("low", "nowhere"), httpx=("high", "`src/a.py`"))
    work.check()
    report(http=("low", "nowhere"))
    work.check("the list has no http")
    report(rich=("none", "nowhere"))
    work.check("no such risk: none")
    report(rich=("low", "`src/a.py`, `src/b.py`"))
    work.check("there is no file src/b.py")
    report()
    work.check("the report names no dependency")


@of("reproduce-bug")
def test_a_reproduction_must_fail_as_a_test(work):
    work.commit(**{"calculation.py": "def add(a, b):\n    return a - b\n", "tests/test_old.py": "def test(): pass\n"})
    assert "no test was written" in work.check()
    header = "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parents[1]))\nimport calculation\n"

    def new(text, name="tests/test_new.py"):
        work.write(name, header + text)

    new("def test_add():\n    assert calculation.add(1, 1) == 2\n")
    work.check()
    new("def test_add():\n    assert calculation.add(1, 1) == 0\n")
    work.check("they reproduce nothing")
    new("import nothing_of_that_name\ndef test_add():\n    assert False\n")
    work.check("the new tests cannot be loaded")
    new("def test_add(no_such_fixture):\n    assert False\n")
    work.check("the new tests cannot be loaded")
    (work.folder / "tests/test_new.py").unlink()
    work.write("tests/data.json", "{}")
    work.check("none is a test")


@of("reproduce-bug")
def test_without_a_test_runner_nothing_is_reproduced(work):
    work.commit()
    work.write("tests/test_new.py", "def test_add():\n    assert False\n")
    program = work.folder / "bin" / "python3"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'No module named pytest' >&2\nexit 1\n")
    program.chmod(0o755)
    work.environ["PATH"] = f"{program.parent}:{PATH}"
    work.check("no test has run")


@of("reproduce-bug")
def test_the_issue_is_read_by_githubs_command_line_and_its_failure_is_one(work):
    program = work.folder / "bin" / "gh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1 $2" = "api graphql" ] && echo "Issue #12" && exit "$CODE"\n')
    program.chmod(0o755)
    work.environ |= {"PATH": f"{program.parent}:{PATH}", "CODE": "0"}
    assert work.script("input") == (0, "")
    assert (work.folder / "codex-input/reproduce-bug.txt").read_text() == "Issue #12\n"
    work.commit()
    assert work.git("status", "--porcelain", "--untracked-files=all") == "", "git ignores the input"
    work.environ["CODE"] = "1"
    assert work.script("input")[0] == 1
