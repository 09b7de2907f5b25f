"""A runner of GitHub Actions on this machine: nektos/act, with stand-ins for the actions that only GitHub can serve."""

import json
import os
import re
import shutil
import subprocess
import sys

from support.pipelines import ROOT

PINNED = re.compile(r"uses: ((?:actions|forgejo)/[\w-]+@[0-9a-f]{40})")
LABELS = ("ubuntu-latest", "ubuntu-24.04", "docker")

# Instead of the actions that only GitHub can serve. What they are given is kept, to look at.
STAND_IN = """\
name: stand-in
description: Stands in for NAME.
inputs:
  path: { default: "" }
  key: { default: "" }
  name: { default: "" }
  retention-days: { default: "" }
outputs:
  python-path:
    description: The Python of the tests.
    value: PYTHON
runs:
  using: composite
  steps:
    - shell: bash
      env:
        GIVEN: ${{ toJSON(inputs) }}
        KEPT: ${{ inputs.path }}
      run: |
        printf '%s\\n' "$GIVEN" >>FOLDER/NAME.json
        if [ NAME = upload-artifact ]; then mkdir -p FOLDER/uploaded && cp -R "$KEPT" FOLDER/uploaded/; fi
"""


class Act:
    """A runner in a scratch folder. `action` is what workflows call this checkout's action.

    `workflows` is a folder of workflows that use further actions which only another server has.
    """

    def __init__(self, folder, program, action, workflows=None):
        self.folder, self.program, self.action = folder, program, action
        self.look = folder / "look"
        self.home = folder / "home"
        (self.home / ".config" / "act").mkdir(parents=True)
        (self.home / ".config" / "act" / "actrc").touch()
        self.look.mkdir()
        self.checkout = folder / "checkout"
        for name in ("codex_runner", "ci/github", "ci/releasing"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("action.yml", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.checkout)
        files = [ROOT / "action.yml", ROOT / "ci/github/action.yml", *(workflows.iterdir() if workflows else ())]
        used = {action for file in files for action in PINNED.findall(file.read_text())}
        self.pinned = sorted(used - {action for action in used if action.startswith("actions/checkout@")})
        for name in map(self._name, self.pinned):
            stand_in = (
                STAND_IN.replace("PYTHON", sys.executable).replace("FOLDER", str(self.look)).replace("NAME", name)
            )
            (folder / "stand-ins" / name).mkdir(parents=True, exist_ok=True)
            (folder / "stand-ins" / name / "action.yml").write_text(stand_in)
        # Who may change the kernel's settings on GitHub's machines needs not on this one.
        (folder / "programs").mkdir()
        (folder / "programs" / "sudo").write_text("#!/bin/sh\nexit 0\n")
        (folder / "programs" / "sudo").chmod(0o755)

    @staticmethod
    def _name(action):
        return action.partition("@")[0].rpartition("/")[2]

    def run(self, repository, event, *arguments, environ=None):
        """Have an event happen in a repository whose workflow files are committed. `environ` is what GitHub sets."""
        labels = [argument for label in LABELS for argument in ("-P", f"{label}=-self-hosted")]
        command = [self.program, event, *labels, "--no-cache-server", *arguments]
        command += ["--local-repository", f"{self.action.replace('/ci/github', '')}={self.checkout}"]
        for pinned in self.pinned:
            command += ["--local-repository", f"{pinned}={self.folder / 'stand-ins' / self._name(pinned)}"]
        for name, value in (environ or {}).items():
            command += ["--env", f"{name}={value}"]
        passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "PYTHON"))}
        return subprocess.run(
            command,
            cwd=repository,
            env=passed | {"PATH": f"{self.folder / 'programs'}:{os.environ['PATH']}", "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def given(self, action):
        """What each call of a stand-in was given."""
        text, decoder, found = (self.look / f"{action}.json").read_text().strip(), json.JSONDecoder(), []
        while text:
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].strip()
        return found
