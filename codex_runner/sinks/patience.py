"""Write timeout for a log: its reader may stall (a paused `less`, a hung CI collector), but must not block the run."""

from __future__ import annotations

import errno
import io
import os
import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

PATIENCE: Final = 5.0  # seconds: meanwhile the runner neither watches the agent nor handles a signal


def patient(stream: TextIO) -> TextIO:
    """Return a stream to the same file that raises TimeoutError if its reader takes nothing for PATIENCE seconds.

    It drops all writes after that. A terminal is returned as it is: the user who paused it is there to resume it.
    """
    if stream.isatty():
        return stream
    stream.flush()
    return io.TextIOWrapper(  # type: ignore[type-var] # over a raw stream: it keeps nothing, and writes all or raises
        _Patient(stream.fileno()),
        encoding=stream.encoding,
        errors=stream.errors,
        newline="",
        write_through=True,
    )


class _Patient(io.RawIOBase):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._given_up = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        # If poll says that a pipe is writable, a write of PIPE_BUF bytes does not block.
        for start in range(0, len(view), select.PIPE_BUF):
            if not self._given_up and not self._poll.poll(PATIENCE * 1000):
                self._given_up = True
                raise TimeoutError(errno.ETIMEDOUT, "its reader takes nothing")
            if not self._given_up:
                os.write(self._descriptor, view[start : start + select.PIPE_BUF])
        return len(view)
