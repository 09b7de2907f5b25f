"""A log whose reader may stall: a paused `less`, a CI system's collector that hangs. It must not hold up the run."""

from __future__ import annotations

import errno
import io
import os
import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

PATIENCE: Final = 5.0  # seconds: while it lasts, nobody watches the agent, nor hears a signal


def patient(stream: TextIO) -> TextIO:
    """Return a stream to the same place that raises TimeoutError where nothing is taken for PATIENCE seconds.

    What is written after that is dropped. A terminal stays as it is: whoever pauses it is there to go on.
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
        # Where poll says that a pipe can be written, so much does not block.
        for start in range(0, len(view), select.PIPE_BUF):
            if not self._given_up and not self._poll.poll(PATIENCE * 1000):
                self._given_up = True
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
            if not self._given_up:
                os.write(self._descriptor, view[start : start + select.PIPE_BUF])
        return len(view)
