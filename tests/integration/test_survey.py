"""survey.sh in the shells that hosts have: what a repository would tell codex, whatever its folders are called."""

import os
import subprocess

import pytest

from codex_runner.codex.survey import functions, read_survey, wanted

SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"]]
NAMES = [
    "plain",
    "two words",
    "back\\slash",
    "new\nline",
    "tab\there",
    "star*",
    "-dash",
    "quo'te\"",
    "ünï",
    "$(touch x)",
]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def survey(request):
    """Look at a folder, in a shell."""

    def look(folder, mode="workspace", bases=()):
        text = wanted(mode, 1000, ["AGENTS.override.md", "AGENTS.md"], bases)
        script = functions() + '\nsurvey "$1" "$2"\n'
        command = [*request.param, "-c", script, "sh", folder, text]
        done = subprocess.run(command, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.stderr == b""
        return read_survey(os.fsdecode(done.stdout).split("\n"))

    return look


def git(folder, *arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", NAMES)
def test_names(survey, tmp_path, name):
    top = tmp_path.resolve() / name
    folder = top / name
    for place in (top, folder):
        (place / ".codex").mkdir(parents=True)
        (place / ".codex" / "config.toml").touch()
        (place / "AGENTS.md").write_bytes(b"\0\xff\r\nlast")
    (top / ".agents" / "skills" / "tidy").mkdir(parents=True)
    (top / ".agents" / "skills" / "tidy" / "SKILL.md").touch()
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    found = survey(folder)
    assert (found.at, found.root) == (str(folder), str(top))
    assert found.project == (f"{top}/.codex/config.toml", f"{folder}/.codex/config.toml")
    assert [(each.path, each.size, each.data) for each in found.documents] == [
        (f"{place}/AGENTS.md", 8, b"\0\xff\r\nlast") for place in (top, folder)
    ]
    if "\n" in name:  # lines of `find` cannot say it: the skills are not told of, nor handed over
        assert found.unlisted_skills == (f"{top}/.agents/skills",)
    else:
        assert found.skills == (f"{top}/.agents/skills/tidy/SKILL.md",)
        assert found.sources == (f"folder {top}/.agents/skills",)
    based = survey(folder, "base", ["commit " + git(top, "rev-parse", "HEAD")])
    assert based.commit
    assert [each.path for each in based.documents] == (
        [f"{top}/AGENTS.md"] if "\n" in name else [f"{top}/AGENTS.md", f"{folder}/AGENTS.md"]
    )
    assert not (tmp_path / "x").exists()


def test_the_limit_is_of_all_files_together(survey, tmp_path):
    top = tmp_path.resolve()
    (top / "sub").mkdir()
    (top / "AGENTS.md").write_text("a" * 600)
    (top / "sub" / "AGENTS.md").write_text("b" * 600)
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    for mode, bases in (("workspace", ()), ("base", ["merge-parent", "commit " + git(top, "rev-parse", "HEAD")])):
        found = survey(top / "sub", mode, bases)
        assert [(len(each.data), each.size) for each in found.documents] == [(600, 600), (400, 600)]


def test_links_that_never_end(survey, tmp_path):
    top = tmp_path.resolve()
    git(top, "init", "-q")
    skills = top / ".agents" / "skills"
    (skills / "tidy").mkdir(parents=True)
    (skills / "tidy" / "SKILL.md").touch()
    (skills / "tidy" / "up").symlink_to("../..")
    (skills / "loop").symlink_to("loop")
    (top / "AGENTS.md").symlink_to("AGENTS.md")
    found = survey(top)
    assert found.documents == ()
    assert f"{skills}/tidy/SKILL.md" in found.skills or found.unlisted_skills
    assert survey(tmp_path / "missing").at == ""


def test_no_base(survey, tmp_path):
    found = survey(tmp_path, "base", ["commit " + "0" * 40, "ref refs/remotes/origin/main", "merge-parent"])
    assert found.commit == ""
    assert "not a git repository" in found.no_base
