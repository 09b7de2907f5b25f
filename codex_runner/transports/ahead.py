"""A question to this machine that is asked before there is an event loop. `LocalTransport.ask` takes its answer.

What is asked ends with this process.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import IO, TYPE_CHECKING

from codex_runner.domain.surroundings import for_git
from codex_runner.shell.scratch import scratch_file
from codex_runner.transports.asked import answered, end_of, ending_with_us, home, marked
from codex_runner.transports.directory import runs_root
from codex_runner.transports.request import new_nonce

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.host import Completed


class AskedAhead:
    """A script that runs since this was made. A transport that gets this ends it."""

    def __init__(self, script: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """`environ` is the runner's environment; only its harmless part is passed on. Raises OSError, ValueError."""
        runs = runs_root(environ)
        self._question = (script, tuple(arguments))
        self._mark = new_nonce()
        with contextlib.ExitStack() as files:
            self._answer: IO[bytes] = files.enter_context(scratch_file(runs))
            self._complaint: IO[bytes] = files.enter_context(scratch_file(runs))
            self._began = time.monotonic()
            self.process = subprocess.Popen(
                ending_with_us(marked(script, self._mark), arguments),
                cwd=home(environ),
                env=for_git(environ),
                stdin=subprocess.PIPE,
                stdout=self._answer,
                stderr=self._complaint,
                start_new_session=True,
            )
            self._files = files.pop_all()

    @property
    def seconds(self) -> float:
        """The seconds since the script began."""
        return time.monotonic() - self._began

    def is_of(self, script: str, arguments: Sequence[str]) -> bool:
        """Return True if this is the question."""
        return self._question == (script, tuple(arguments))

    def answer(self, exit_code: int | None, seconds: float) -> Completed:
        """Return the answer of the script, which has ended."""
        return answered(self._mark, exit_code, end_of(self._answer), end_of(self._complaint), seconds)

    def close(self) -> None:
        """Close the files of the answer. Idempotent."""
        self._files.close()
