"""The command line as a process of its own, with exactly the environment that a test gives it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
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
    """Run a command to its end. Its output goes into pipes. `cold`: see support/warm.py."""
    began = time.monotonic()
    out, err = _Pipe(), _Pipe()
    process = warm.start(
        [RUNNER, *map(str, arguments)],
        cold=cold,
        cwd=cwd,
        env=_environment(environ),
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
    )
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(stdin)
    process.stdin.close()
    try:
        code = process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"it took too long: {out.read()}{err.read()}") from None
    return Said(code, out.read(), err.read(), time.monotonic() - began)


class _Pipe:
    """A pipe that is read at once, however much comes. A command gets its end by `fileno`."""

    def __init__(self):
        self._reading, self._writing = os.pipe()
        self._data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def fileno(self):
        return self._writing

    def read(self):
        """Return all that was written. Call it once the command has ended."""
        os.close(self._writing)
        self._thread.join(PATIENCE)  # what the command has left may hold it open
        return self._data.decode()

    def _read(self):
        with os.fdopen(self._reading, "rb") as file:
            self._data = file.read()
