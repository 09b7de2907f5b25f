"""The docs of each pipeline, followed from nothing: the commands in them run, and the configuration in them loads."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from codex_runner.config import load

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("github-actions", "gitlab-ci", "jenkins", "cron", "systemd")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """Runs a line of the docs in an empty repository, as a user with this codex-runner would."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "codex-runner").symlink_to(Path(sys.executable).with_name("codex-runner"))
    folder = tmp_path / "app"
    folder.mkdir()
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "USER": "root"}

    def run(line):
        done = subprocess.run(
            line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done

    run.folder = folder
    return run


@pytest.mark.parametrize("page", PAGES)
def test_the_first_commands_run_and_write_what_they_say(shell, page):
    for line in blocks(page, "sh")[0].splitlines():
        command, _, comment = line.partition(" #")
        program = command.split()[0]
        if program == "pip" or (shutil.which(program) is None and program != "codex-runner"):
            continue
        done = shell(command)
        if program == "systemd-analyze":
            assert done.stderr == ""
        for name in re.findall(r"writes (\S+?)[,]? ?(?:and (\S+))?(?:,|$)", comment):
            for each in filter(None, name):
                wanted = each if (shell.folder / each).exists() else f"codex-runner-overview{each}"
                assert (shell.folder / wanted).is_file(), each


@pytest.mark.parametrize("page", PAGES)
def test_every_vault_setup_that_is_shown_is_understood(shell, page):
    for line in re.findall(r"^codex-runner vault setup .*$", (DOCS / f"{page}.md").read_text(), re.MULTILINE):
        # Without its number, GitHub would be asked for it.
        assert "policy write" in shell(line + (" --repository-id 4711" if "--repo " in line else "")).stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_configuration_that_is_shown_loads(tmp_path, page):
    for text in blocks(page, "toml"):
        assert tomllib.loads(text)
        job = "\n[jobs.overview]\n" if "[jobs.overview]" not in text else "\n"
        file = tmp_path / "codex-runner.toml"
        file.write_text("version = 1\n" + text + job + 'prompt = "x"\n')
        assert "overview" in load(file, tmp_path, {}).jobs


def test_the_actions_inputs_and_outputs_are_all_explained():
    action = (DOCS.parent / "ci/github/action.yml").read_text()
    told = (DOCS / "github-actions.md").read_text()
    inputs, _, rest = action.partition("\noutputs:\n")
    outputs = rest.partition("\nruns:\n")[0]
    names = re.findall(r"^  ([a-z0-9-]+):$", inputs.partition("\ninputs:\n")[2] + outputs, re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in told] == []


def test_gitlabs_inputs_are_all_explained():
    header = (DOCS.parent / "ci/gitlab/codex-runner.yml").read_text().partition("\n---\n")[0]
    told = (DOCS / "gitlab-ci.md").read_text()
    assert [name for name in re.findall(r"^    ([a-z-]+):$", header, re.MULTILINE) if f"`{name}`" not in told] == []
