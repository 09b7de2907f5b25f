"""Installs the action's own checkout into an environment of its own: what pip fetches must have the locked hashes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from commands import add_path, stop  # noqa: E402 - isolated mode leaves the script's folder out of sys.path

CONFIGURATION = 3  # an exit code
READY = ".codex-runner-is-installed"


def main() -> None:
    folder = Path(os.environ["FOLDER"])
    files = [folder / "requirements.txt"]
    if not os.environ["INPUT_CODEX_PATH"] and os.environ["INPUT_HOST"] in {"", "local"}:
        files.append(folder / "codex.txt")
    # A job that calls the action again finds what the first call has installed.
    made_of = b"\0".join([str(HERE).encode(), sys.executable.encode(), *(file.read_bytes() for file in files)])
    venv = folder.with_name(f"codex-runner-environment-{hashlib.sha256(made_of).hexdigest()[:16]}")
    if not (venv / READY).exists():
        _make(venv, files)
    (folder / "venv").symlink_to(venv)
    if not os.environ["INPUT_JOB"]:
        programs = folder / "bin"
        programs.mkdir()
        (programs / "codex-runner").symlink_to(venv / "bin" / "codex-runner")
        add_path(programs)


def _make(venv: Path, files: list[Path]) -> None:
    environment = dict(os.environ)
    if index := os.environ["INPUT_PIP_INDEX_URL"]:
        environment["PIP_INDEX_URL"] = index  # not an argument: it may hold a password
    locked = [argument for file in files for argument in ("-r", str(file))]
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--compile", "--quiet", "--disable-pip-version-check", "--no-input"]
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [*pip, "--require-hashes", "--only-binary", ":all:", *locked],
        [*pip, "--no-deps", "--no-index", "--no-build-isolation", str(HERE.parents[1])],
        [str(venv / "bin" / "codex-runner"), "--version"],
    ]
    for step in steps:
        if subprocess.run(step, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            told = " ".join(step)
            stop(f"codex-runner could not be installed: {told} failed; the log above says why.", CONFIGURATION)
    (venv / READY).touch()


main()
