"""The command line as a process of its own, with exactly the environment that a test gives it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

RUNNER = Path(sys.executable).with_name("codex-runner")
PATIENCE = 300.0  # seconds: far above what any of these commands takes


@dataclass
class Said:
    """What a command answered, and how it ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def text(self):
        return self.stdout + self.stderr


def start(*arguments, cwd, environ, stdin=subprocess.DEVNULL):
    """Start a command. The caller ends it."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))}
    return subprocess.Popen(
        [RUNNER, *map(str, arguments)],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **passed, **environ},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(*arguments, cwd, environ, stdin=b""):
    """Run a command to its end."""
    began = time.monotonic()
    process = start(*arguments, cwd=cwd, environ=environ, stdin=subprocess.PIPE)
    try:
        out, err = process.communicate(stdin, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it took too long: {(out + err).decode()}") from None
    return Said(process.returncode, out.decode(), err.decode(), time.monotonic() - began)
