"""A repository at the small forge in which the nightly examples run: one branch and one pull request."""

import json
import shutil
import subprocess

from support.pipelines import REPOSITORY, ROOT


def begin(forge, world):
    """Make the repository the forge's, as its clone by a pipeline has it."""
    forge.repository.take_branch(world.repository, "main")


def a_day_passes(forge, world):
    """Somebody works on the base, and the pipeline's clone is made anew."""
    forge.repository.commit_files("main", {"work.txt": b"a day's work\n"}, "Add a day's work")
    fetch = ["fetch", "--quiet", forge.repository.path, "main"]
    for command in (fetch, ["reset", "--quiet", "--hard", "FETCH_HEAD"], ["clean", "-fdxq"]):
        subprocess.run(["git", *command], cwd=world.repository, check=True)


def check_one(forge, job, *, updated):
    """There is one branch with the agent's notes on the base, and one open pull request with the label."""
    branch = f"codex/{REPOSITORY}/{job}"
    refs = forge.repository.git("for-each-ref", "--format=%(refname)", "refs/heads").split()
    assert refs == [f"refs/heads/{branch}", "refs/heads/main"]
    (pull,) = forge.project.pulls
    assert (pull.branch, pull.base, pull.state, pull.labels) == (branch, "main", "open", ["documentation"])
    assert pull.tip == forge.repository.tip(branch)
    assert forge.repository.commit(pull.tip).parents == (forge.repository.tip("main"),)
    notes = forge.repository.git("show", f"{branch}:RELEASE_NOTES.md")
    assert ("a day's work" in notes) is updated
    return pull


def bring_the_action(repository):
    """Have this checkout's action in the repository, as the examples call it: `./ci/github`."""
    for name in ("codex_runner", "ci/github"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository)


def the_runs(folder):
    """What each run.json in a folder says, the oldest first."""
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("run.json"))]
