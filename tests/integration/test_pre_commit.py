"""The hook of .pre-commit-hooks.yaml: in the real pre-commit, from a repository on disk."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.checkout import ROOT, clone_of_this, git
from support.places import build_folder
from support.tools import tool

(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
GOOD = 'version = 1\n[jobs.docs]\nprompt = "Write."\n'


@pytest.mark.parametrize(
    ("path", "is_ours"), [("codex-runner.toml", True), ("a/codex-runner.toml", True), ("not-codex-runner.toml", False)]
)
def test_the_hook_takes_configurations_alone(path, is_ours):
    assert bool(re.search(HOOK["files"], path)) == is_ours


def test_the_hooks_command_checks_the_file_that_it_is_given(tmp_path):
    (tmp_path / "codex-runner.toml").write_text(GOOD)
    program, *arguments = HOOK["entry"].split()
    command = [Path(sys.executable).with_name(program), *arguments, "codex-runner.toml"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.thorough
def test_a_commit_with_a_mistake_is_refused(tmp_path):
    program = tool("pre-commit", build_folder())
    if program is None:
        pytest.skip("pre-commit cannot be installed")
    ours, theirs = tmp_path / "codex-runner", tmp_path / "app"
    ours.mkdir()
    theirs.mkdir()
    revision = clone_of_this(ours)
    git(theirs, "init", "--quiet")
    hooks = f"repos:\n  - repo: {ours}\n    rev: {revision}\n    hooks:\n      - id: {HOOK['id']}\n"
    (theirs / ".pre-commit-config.yaml").write_text(hooks)
    passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environ = passed | {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def run():
        git(theirs, "add", "--all")
        return subprocess.run([program, "run"], cwd=theirs, env=environ, capture_output=True, text=True, check=False)

    (theirs / "codex-runner.toml").write_text(GOOD)
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{re.escape(HOOK['name'])}\.+Passed$", done.stdout, re.MULTILINE)
    (theirs / "codex-runner.toml").write_text(f"{GOOD}timout = 3\n")
    done = run()
    assert done.returncode == 1
    assert "codex-runner.toml: jobs.docs.timout: unknown key; did you mean `timeout`?" in done.stdout
