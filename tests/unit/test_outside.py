"""What runs outside of the agent's sandbox, where the agent may write: how it is found, and which rules keep it."""

import subprocess
import sys

import pytest

from codex_runner.app.imports import forget_sources, places
from codex_runner.codex import outside, survey
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import Job, Sandbox
from codex_runner.domain.outside import Outside, OutsidePath


def found(roots, path="/usr/bin", places="", codex="/usr/bin/codex", cwd="/", **environ):
    """What the host's script finds."""
    script = f'{survey.functions()}\n{outside.functions()}\nlook_outside "$1" "$2" "$3" "$4"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", "\n".join(map(str, roots)), places, str(codex), str(cwd)],
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": "/", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return outside.read_outside(done.stdout.splitlines())


def kept(found):
    return {path for path, rule in outside.rules(found, {}, widen=True).items() if rule == "read"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "project" / "tools" / "bin").mkdir(parents=True)
    return tmp_path / "project"


def test_a_folder_of_path_is_kept_and_those_around_it_cannot_be_renamed(root):
    rules = outside.rules(found([root], root / "tools" / "bin"), {}, widen=True)
    assert rules == {f"{root}/tools/bin": "read", f"{root}/tools": "write"}


def test_a_folder_that_is_missing_is_kept_too(root):
    seen = found([root], root / "node_modules" / ".bin")
    assert outside.missing_folders(seen) == (f"{root}/node_modules/.bin",)


def test_a_relative_entry_is_one_of_the_jobs_folder(root):
    assert kept(found([root], "tools/bin", cwd=root)) == {f"{root}/tools/bin"}


def test_a_link_to_a_program_of_the_agents(root, tmp_path):
    (root / "git").write_text("")
    (root / "tools" / "bin" / "git").symlink_to("../../git")
    assert kept(found([root], root / "tools" / "bin")) == {f"{root}/tools/bin", f"{root}/git"}


def test_a_codex_behind_links(root, tmp_path):
    (root / "tools" / "codex").write_text("")
    (root / "tools" / "bin" / "codex").symlink_to(root / "tools" / "codex")
    (tmp_path / "codex").symlink_to(root / "tools" / "bin" / "codex")
    seen = kept(found([root], codex=tmp_path / "codex"))
    assert {f"{root}/tools/bin", f"{root}/tools"} <= seen


def test_a_codex_with_the_helpers_that_it_starts(root):
    """A package of PyPI in a venv of the workspace."""
    (root / "package" / "bin").mkdir(parents=True)
    (root / "package" / "bin" / "codex").write_text("")
    (root / "package" / "codex-resources").mkdir()
    assert f"{root}/package" in kept(found([root], codex=root / "package" / "bin" / "codex"))


@pytest.mark.parametrize("what", ["root", "link"])
def test_what_no_rule_can_keep_is_refused(root, tmp_path, what):
    (tmp_path / "elsewhere" / "bin").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="PATH"):
        outside.check(found([root], root if what == "root" else root / "link" / "bin"))


def test_nothing_is_kept_that_the_agent_cannot_write(root):
    assert outside.rules(found([root]), {}, widen=True) == {}


def test_a_profile_of_the_jobs_own_is_not_widened():
    seen = Outside(("/work", "/tmp"), (OutsidePath("PATH", "/work/tools/bin"),))
    assert outside.rules(seen, {}, widen=False) == {"/work/tools/bin": "read", "/work/tools": "read"}


def test_start_up_files_of_a_home_in_which_the_agent_works(root):
    seen = kept(found([root], cwd=root, HOME=str(root)))
    assert {f"{root}/.bashrc", f"{root}/.zshenv", f"{root}/.ssh", f"{root}/.config"} <= seen


def test_only_a_command_changes_where_this_process_imports_from(tmp_path, monkeypatch):
    """A run only looks: another one of this process may have its own folders there."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = list(sys.path)
    job = Job("docs", "do it", str(tmp_path), sandbox=Sandbox.WORKSPACE_WRITE)
    assert str(tmp_path) in [place.path for place in places(job, tmp_path / "out", {})]
    assert sys.path == before
    forget_sources(job, {})
    assert sys.path == [entry for entry in before if entry not in ("", str(tmp_path))]
