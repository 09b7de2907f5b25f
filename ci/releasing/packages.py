"""The sdist and the wheel: built from a commit, twice, with the same bytes, and checked.

hatchling builds them, with the versions that ci/constraints.txt pins and without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TOP = Path(__file__).parents[2]

# What pipelines install with the wheel, by hash: its dependencies, and codex.
LOCKS = [TOP / "codex_runner" / "cli" / "starters" / name for name in ("requirements.txt", "codex.txt")]

# Two machines that differ in all that a build may pick up: the zone, the locale, the order of hashes, the umask.
_FIRST = ({"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"}, 0o022)
_SECOND = ({"TZ": "Pacific/Apia", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}, 0o077)


def revision() -> str:
    """Return the commit that is released: the one that is checked out."""
    return _git("rev-parse", "HEAD")


def epoch() -> str:
    """Return its time in seconds, which all that is built bears in place of today's."""
    return _git("log", "-1", "--format=%ct")


def is_dirty() -> bool:
    """Whether the working tree has changes that the commit lacks."""
    return bool(_git("status", "--porcelain"))


def build(folder: Path) -> list[Path]:
    """Build the sdist and the wheel of the commit into an empty or new folder, and return their paths.

    SystemExit, with words, if a second build on another machine would have other bytes, or if the sdist does not make
    the same wheel.
    """
    require_empty(folder)
    with tempfile.TemporaryDirectory() as scratch:
        first, second, third = Path(scratch) / "a", Path(scratch) / "another" / "place", Path(scratch) / "sdist"
        made = _hatch(_tree(first, 0o022), first.with_name("first"), *_FIRST)
        again = _hatch(_tree(second, 0o077), second.with_name("second"), *_SECOND)
        with tarfile.open(next(made.glob("*.tar.gz"))) as archive:
            archive.extractall(third, filter="data")
        unpacked = _hatch(next(third.iterdir()), third.with_name("third"), *_FIRST)
        for path in sorted(made.iterdir()):
            for other, where in ((again, "a second build"), (unpacked, "a build from the sdist")):
                if digest(other / path.name) != digest(path):
                    sys.exit(f"{path.name} has other bytes in {where}. Compare both with `diffoscope`.")
            shutil.copy(path, folder)
    return sorted(folder.iterdir())


def require_empty(folder: Path) -> None:
    """Make a folder, or take an empty one. SystemExit for any other: what is in it would be published too."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: what is in it would be published too. Empty it.")


def lint(packages: list[Path]) -> None:
    """Check metadata, description and contents, as PyPI and its reviewers would. SystemExit if one is wrong."""
    wheels = [str(path) for path in packages if path.suffix == ".whl"]
    for command in (["twine", "check", "--strict", *map(str, packages)], ["check_wheel_contents", *wheels]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=TOP, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command[:2])} refuses what was built; the lines above say why.")


def wheel(folder: Path) -> Path:
    """Return the one wheel in a folder. SystemExit if there is none."""
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        sys.exit(f"{folder} has {len(found)} wheels: `ci/release packages {folder}` builds the one.")
    return found[0]


def digest(path: Path) -> str:
    """Return a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tree(place: Path, umask: int) -> Path:
    """Put the files of a commit, and nothing else that lies in the working tree, into a new folder."""
    place.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=TOP, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=place, input=archive, umask=umask, check=True)
    return place


def _hatch(tree: Path, output: Path, environment: dict[str, str], umask: int) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(output), "-t", "sdist", "-t", "wheel"]
    everything = {**os.environ, **environment, "SOURCE_DATE_EPOCH": epoch()}
    done = subprocess.run(command, cwd=tree, env=everything, umask=umask, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"hatchling cannot build {tree}:\n{done.stdout}{done.stderr}")
    return output


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, capture_output=True, text=True).stdout.strip()
