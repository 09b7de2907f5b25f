"""The example that the files below `ci` are: what `codex-runner init` writes for one job on one machine."""

import tempfile
from pathlib import Path

from codex_runner.ci_systems.starter import Machine
from codex_runner.cli.pipelines import STARTERS, WantedStarter, plan
from codex_runner.config import load

ROOT = Path(__file__).parents[2]
PLACE = Machine(
    folder="/srv/app",
    runner="/opt/codex-runner/bin/codex-runner",
    path="/opt/codex-runner/bin:/usr/local/bin:/usr/bin:/bin",
    state="/var/lib/codex-runner",
    user="codex-runner",
)
EXAMPLE_JOB = "nightly-docs"
SETTINGS = """\
version = 1
[vault]
address = "https://vault.example.com:8200"
auth = { method = "approle", role = "nightly-docs", role_id = "7c9f0a3e-5b1d-4b7e-9f5e-2f4f4f0f7a11" }
[jobs.nightly-docs]
prompt = "Bring the documentation up to date."
credential = { path = "acme/app/nightly-docs" }
"""


def examples():
    """Each file below `ci` that a user copies, with what it must be."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "codex-runner.toml").write_text(SETTINGS)
        config = load(None, root, {})
        request = WantedStarter(config, config.jobs[EXAMPLE_JOB], root, PLACE)
        made = {}
        for place in ("azure", "jenkins", "cron", "systemd"):
            files = plan(STARTERS[place], request).files
            made |= {f"ci/{place}/{name}": text for name, text in files.items() if not name.startswith(".")}
        files = plan(STARTERS["forgejo"], request).files
        made[f"ci/forgejo/{EXAMPLE_JOB}.yml"] = files[f".forgejo/workflows/{EXAMPLE_JOB}.yml"]
        files = plan(STARTERS["gitlab"], request).files
        # The one that a repository includes, and the one that GitLab's catalogue looks for.
        for place in ("ci/gitlab", "templates"):
            made[f"{place}/codex-runner.yml"] = files[".gitlab/codex-runner.yml"]
    return made
