"""`codex-runner demo`: a whole run with the real codex and a real Vault, which ends with a pull request."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import commands

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_vault]


def test_the_demo_ends_with_a_branch_and_a_pull_request(codex_home, tmp_path):
    environ = {"HOME": str(codex_home), "TMPDIR": str(tmp_path)}
    done = commands.run("demo", "--keep", "-o", tmp_path / "out", cwd=tmp_path, environ=environ)
    assert done.code == 0, done.text
    (run,) = (path.parent for path in (tmp_path / "out").glob("*/run.json"))
    delivery = json.loads((run / "run.json").read_text())["delivery"]
    assert (delivery["state"], delivery["number"], delivery["signed"]) == ("delivered", 1, True)
    assert delivery["branch"] == "codex/acme/spacing/release-notes"
    assert (
        "demo: the forge has pull request 1 (draft, open) of release-notes[bot], with a signed commit on" in done.text
    )
    assert re.search(r"^    \+- Add a word counter \([0-9a-f]{7}\)$", done.text, re.MULTILINE)
    assert "Traceback" not in done.text
    assert f"  kill %1 %2; rm -rf {tmp_path}/codex-runner-demo-" in done.text
    assert list((codex_home / ".local/state/codex-runner/deliveries").iterdir()) == []
    scratch = Path(re.search(r"The scratch folder is kept: (.*)", done.text)[1])
    forge = ["git", "-C", scratch / "forge/acme/spacing.git"]
    branch = subprocess.run([*forge, "rev-parse", delivery["branch"]], capture_output=True, text=True, check=True)
    assert branch.stdout.strip() == delivery["commit"]
    runner = re.search(
        r"^  CODEX_ACCESS_TOKEN=\S+ DEMO_FORGE_TOKEN=\S+ (\S+) run release-notes ", done.text, re.MULTILINE
    )
    assert os.access(runner[1], os.X_OK), "whatever is in PATH"
    command = shlex.split(re.search(r"^  (\S+ -m codex_runner.demo.forge .*) &$", done.text, re.MULTILINE)[1])
    check_the_forge_by_hand([sys.executable, *command[1:]])
    shutil.rmtree(scratch)


def check_the_forge_by_hand(command):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            api = next(line for line in iter(child.stdout.readline, "") if line.startswith("GitHub's API: "))
            port = int(re.search(r":(\d+)/api/v3$", api.strip())[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            token = command[command.index("--token") + 1]
            connection.request("GET", "/api/v3/repos/acme/spacing", headers={"authorization": f"Bearer {token}"})
            assert json.loads(connection.getresponse().read())["default_branch"] == "main"
            connection.close()
        finally:
            child.send_signal(signal.SIGINT)
    assert child.returncode == 0
