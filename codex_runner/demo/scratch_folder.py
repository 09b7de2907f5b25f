"""A scratch git repository with a short history, for an agent that writes release notes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError

_AUTHORS = {"Ada": "ada@example.com", "Ben": "ben@example.com"}
_FIRST_COMMIT = 1_767_258_000  # 2026-01-01 09:00 UTC; one commit a day from then on


@dataclass(frozen=True, slots=True)
class _Commit:
    author: str
    subject: str
    files: dict[str, str]


_PYPROJECT = """\
[project]
name = "tally"
version = "{version}"
description = "Counts words in text files."
requires-python = ">=3.11"
"""

_COUNT = '''\
"""Count the words of a text."""

from collections import Counter


def count(text):
    """Return how often each word occurs in `text`."""
    return Counter(text.split())
'''

_COUNT_FOLDED = _COUNT.replace(
    'each word occurs in `text`."""\n    return Counter(text.split())',
    'each word occurs in `text`, whatever its case."""\n    return Counter(text.casefold().split())',
)

_COUNT_TOP = (
    _COUNT_FOLDED
    + '''

def top(text, limit=10):
    """Return the `limit` most frequent words with their counts, most frequent first."""
    return count(text).most_common(limit)
'''
)

_TEST = """\
from tally.count import count


def test_counts_words():
    assert count("a b a") == {"a": 2, "b": 1}
"""

_TEST_FOLDED = _TEST + '\n\ndef test_case_does_not_matter():\n    assert count("The the") == {"the": 2}\n'

_README = "# tally\n\nCounts words in text files.\n"

_COMMITS = (
    _Commit(
        "Ada",
        "Add a word counter",
        {
            "pyproject.toml": _PYPROJECT.format(version="0.1.0"),
            "README.md": _README,
            "tally/__init__.py": '"""Counts words in text files."""\n',
            "tally/count.py": _COUNT,
        },
    ),
    _Commit("Ben", "Add a first test", {"tests/test_count.py": _TEST}),
    _Commit("Ben", "Fix counts of words that differ only in case", {"tally/count.py": _COUNT_FOLDED}),
    _Commit("Ben", "Test that case does not matter", {"tests/test_count.py": _TEST_FOLDED}),
    _Commit("Ada", "Add top(), the most frequent words", {"tally/count.py": _COUNT_TOP}),
    _Commit(
        "Ada",
        "Document how to use tally",
        {"README.md": _README + "\n```python\nfrom tally.count import top\n\ntop(open('book.txt').read())\n```\n"},
    ),
    _Commit("Ada", "Release 0.2.0", {"pyproject.toml": _PYPROJECT.format(version="0.2.0")}),
)

SUBJECTS = tuple(commit.subject for commit in _COMMITS)
"""The subjects of the commits, oldest first."""


def make_repository(path: Path) -> None:
    """Make a git repository in `path`, on branch `main` with a clean work tree. `path` may exist if it is empty.

    Its commits, hashes included, are the same on every machine: the user's git configuration and the environment have
    no effect. Raises ConfigurationError if git is missing or fails, or if `path` is not empty.
    """
    if path.exists() and any(path.iterdir()):
        raise ConfigurationError(f"{path} is not empty.", remedy="Name a new folder for the scratch repository.")
    path.mkdir(parents=True, exist_ok=True)
    # No template, so no hooks. The environment in _git excludes the rest of the user's configuration.
    _git(path, "init", "--quiet", "--template=", "--initial-branch=main", ".")
    for day, commit in enumerate(_COMMITS):
        for name, text in commit.files.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        _git(path, "add", "--all")
        _git(
            path,
            "commit",
            "--quiet",
            "--message",
            commit.subject,
            author=commit.author,
            time=_FIRST_COMMIT + day * 86400,
        )


def _git(path: Path, *arguments: str, author: str = "Ada", time: int = _FIRST_COMMIT) -> None:
    git = shutil.which("git")
    if git is None:
        raise ConfigurationError("git is not installed.", remedy="Install git and put it on PATH.")
    identity = {"NAME": author, "EMAIL": _AUTHORS[author], "DATE": f"@{time} +0000"}
    environment = {
        "PATH": str(Path(git).parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()},
    }
    done = subprocess.run(
        [git, *arguments], cwd=path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise ConfigurationError(
            f"git {arguments[0]} failed in {path}: {done.stderr.decode(errors='replace').strip()}",
            remedy="Install git 2.28 or later, and name a writable folder.",
        )
