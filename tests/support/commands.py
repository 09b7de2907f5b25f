"""The command line as a process of its own, with exactly the environment that a test gives it."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from support import warm

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


def _environment(given):
    passed = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))}
    return {"PATH": os.environ["PATH"], **passed, **given}


def start(*arguments, cwd, environ, stdin=subprocess.DEVNULL):
    """Start a command. The caller ends it."""
    return subprocess.Popen(
        [RUNNER, *map(str, arguments)],
        cwd=cwd,
        env=_environment(environ),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(*arguments, cwd, environ, stdin=b"", cold=False):
    """Run a command to its end. `cold`: see support/warm.py."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = warm.start(
            [RUNNER, *map(str, arguments)],
            cold=cold,
            cwd=cwd,
            env=_environment(environ),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
        )

        def said():
            return [os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0).decode() for each in (out, err)]

        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
        process.stdin.close()
        try:
            code = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it took too long: {''.join(said())}") from None
        return Said(code, *said(), time.monotonic() - began)
