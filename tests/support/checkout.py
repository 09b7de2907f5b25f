"""A clone of codex-runner as it stands here, with what is not committed yet."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main")


def git(folder, *arguments):
    """Run git in a folder; return what it prints."""
    done = subprocess.run(["git", "-C", folder, *ADA, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def clone_of_this(folder):
    """Make a repository in `folder` with one commit, which has every file of this tree that git does not ignore."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "As it stands")
    return git(folder, "rev-parse", "HEAD")
