"""HEAD that is not where it was: the warning says what is known of it, and names no cause that is not."""

import subprocess

import pytest

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

GIT = "git -c user.name=Ada -c user.email=ada@example.com"


@pytest.mark.one_case("last")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"{GIT} commit -q --allow-empty -m third", "a commit, a reset or another branch moved it"),
        ("git checkout -q HEAD^", "a commit, a reset or another branch moved it"),
        ("git update-ref -d HEAD", "names no commit any more"),
        ("git checkout -q --orphan fresh", "names no commit any more"),
        ("rm .git/HEAD", "names no commit any more"),
    ],
)
def test_what_is_known_of_it(project, service, command, words):
    (project.cwd / ".gitignore").write_text("codex-runner-out\ncodex-runner.toml\n")
    project.git_init()
    subprocess.run(f"{GIT} commit -q --allow-empty -m second", shell=True, cwd=project.cwd, check=True)
    service.scenario("move", script(shell(command), message("moved")))
    project.configure(prompt="SCN:move", sandbox="danger-full-access")
    told = project.run().run.warnings["head-moved"]
    assert words in told
    assert "the agent made commits" not in told
