"""The bill of materials, in CycloneDX: what pipelines and the image install with the wheel, and codex."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packages import LOCKS, TOP, digest, epoch


def write(wheel: Path, bill: Path) -> None:
    """Install the wheel as pipelines do, and write down what is there. SystemExit if a step of it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = install(wheel, Path(scratch) / "environment")
        listed = Path(scratch) / "listed.json"
        command = ["environment", str(environment / "bin" / "python"), "--pyproject", str(TOP / "pyproject.toml")]
        options = ["--output-reproducible", "--spec-version", "1.6", "--output-file", str(listed)]
        _run([sys.executable, "-m", "cyclonedx_py", *command, *options], SOURCE_DATE_EPOCH=epoch())
        data = json.loads(listed.read_text(encoding="utf-8"))
    version = wheel.name.split("-")[1]
    # The list takes the project from pyproject.toml, which leaves the version to the package.
    data["metadata"]["component"] |= {
        "version": version,
        "purl": f"pkg:pypi/codex-runner@{version}",
        "hashes": [{"alg": "SHA-256", "content": digest(wheel)}],
    }
    text = json.dumps(data, indent=2) + "\n"
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"The bill of materials is not CycloneDX 1.6: {wrong}")
    bill.write_text(text, encoding="utf-8")


def install(wheel: Path, environment: Path, *more: str) -> Path:
    """Make an environment with the wheel, its locked packages and codex in it, by hash. It has no pip of its own.

    `more` are requirements that pip takes by the versions of ci/constraints.txt.
    """
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)])
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    locked = [argument for lock in LOCKS for argument in ("--requirement", str(lock))]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", *locked])
    _run([*pip, "--no-deps", "--no-index", str(wheel)])
    if more:
        _run([*pip, "--constraint", str(TOP / "ci" / "constraints.txt"), *more])
    return environment


def _run(command: list[str], **variables: str) -> None:
    if subprocess.run(command, env={**os.environ, **variables}, check=False).returncode != 0:
        sys.exit(f"{' '.join(command)} failed; the lines above say why.")
