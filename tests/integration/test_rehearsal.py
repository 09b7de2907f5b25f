"""`ci/release --dry-run`: everything that a tag releases, made here, down to the image and a registry that has it."""

import faulthandler
import json
import os
import subprocess
from pathlib import Path

import pytest
from support.places import build_folder

import codex_runner

TOP = Path(__file__).parents[2]


@pytest.mark.thorough
@pytest.mark.skipif(os.geteuid() != 0, reason="the image needs root")
def test_a_release_is_rehearsed(tmp_path):
    faulthandler.cancel_dump_traceback_later()  # ten minutes, which a busy machine needs more of: see `timeout` below
    environ = {**os.environ, "VENV_FOLDER": str(build_folder() / "release-environment")}
    command = [TOP / "ci" / "release", "--dry-run", tmp_path / "made"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr
    version = codex_runner.__version__
    assert {path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.*")} == {
        *(f"packages/codex_runner-{version}{end}" for end in ("-py3-none-any.whl", ".tar.gz")),
        *("notes.md", "image.tar", f"codex-runner-{version}.cdx.json"),
    }
    bill = json.loads((tmp_path / "made" / f"codex-runner-{version}.cdx.json").read_text())
    assert bill["metadata"]["component"]["version"] == version
    assert {"hvac", "openai-codex-cli-bin"} <= {component["name"] for component in bill["components"]}
    not_done = done.stdout.partition("\nNot done:\n")[2]
    assert "upload to PyPI" in not_done
    assert "pushed to a registry here" in done.stderr
