"""Installs the action's own checkout into an environment of its own: what pip fetches must have the locked hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from commands import add_path, stop  # noqa: E402 - isolated mode leaves the script's folder out of sys.path

CONFIGURATION = 3  # an exit code


def main() -> None:
    folder = Path(os.environ["FOLDER"])
    venv = folder / "venv"
    environment = dict(os.environ)
    if index := os.environ["INPUT_PIP_INDEX_URL"]:
        environment["PIP_INDEX_URL"] = index  # not an argument: it may hold a password
    requirements = ["-r", str(folder / "requirements.txt")]
    if not os.environ["INPUT_CODEX_PATH"] and os.environ["INPUT_HOST"] in {"", "local"}:
        requirements += ["-r", str(folder / "codex.txt")]
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    steps = [
        [sys.executable, "-m", "venv", str(venv)],
        [*pip, "--require-hashes", "--only-binary", ":all:", *requirements],
        [*pip, "--no-deps", "--no-index", "--no-build-isolation", str(HERE.parents[1])],
        [str(venv / "bin" / "codex-runner"), "--version"],
    ]
    for step in steps:
        if subprocess.run(step, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            stop(
                f"codex-runner could not be installed: {' '.join(step)} failed; the log above says why.", CONFIGURATION
            )
    if not os.environ["INPUT_JOB"]:
        programs = folder / "bin"
        programs.mkdir()
        (programs / "codex-runner").symlink_to(venv / "bin" / "codex-runner")
        add_path(programs)


main()
