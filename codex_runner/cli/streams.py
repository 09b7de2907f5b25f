"""Stdin, stdout and stderr in any state: closed, full, without a reader.

None of them raises. A failed write to stdout is remembered: `lost` returns it, and the command ends with it.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

_STDIN, _STDOUT, _STDERR = 0, 1, 2

# The reader has left, also of a socket; or there never was one.
_NO_READER = (errno.EPIPE, errno.ECONNRESET, errno.EBADF)

# A file's name may not be text, and a reply may contain half of a character: a strict stream gets escapes.
_REFUSING = ("strict", "surrogateescape")


class _Descriptor(io.RawIOBase):
    """A stream that writes all it is given. After a failure, which is in `failure`, it drops what follows."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.failure: OSError | None = None

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        size = len(view)
        while view and self.failure is None:
            try:
                view = view[os.write(self._number, view) :]
            except BlockingIOError:  # another process has made the pipe a non-blocking one
                _poll(self._number, select.POLLOUT).poll()
            except OSError as error:
                self.failure = error
        return size


_stdout = _Descriptor(_STDOUT)


def settle() -> None:
    """Replace Python's own streams by ones that never raise, even if a descriptor is closed."""
    closed = [number for number in (_STDIN, _STDOUT, _STDERR) if not _is_open(number)]
    for number in closed:
        # Otherwise the next file that is opened gets the number, and messages for the user are written into it.
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
    if _STDIN in closed or sys.stdin is None:
        sys.stdin = open(_STDIN, closefd=False)  # noqa: SIM115 - a descriptor, for as long as the process lives
    sys.stdout = _stream(_stdout, sys.stdout)
    sys.stderr = _stream(_Descriptor(_STDERR), sys.stderr, at_once=True)


def lost() -> OSError | None:
    """Return why a part of the output on stdout is missing. Returns None if none is, or if the reader has left."""
    sys.stdout.flush()
    failure = _stdout.failure
    return None if failure is None or failure.errno in _NO_READER else failure


def is_read() -> bool:
    """Whether stdout still has a reader, and no write has failed."""
    if _stdout.failure is not None:
        return False
    return not any(told & select.POLLERR for _, told in _poll(_STDOUT, 0).poll(0))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _poll(number: int, events: int) -> select.poll:
    poll = select.poll()
    poll.register(number, events)
    return poll


def _stream(descriptor: _Descriptor, given: TextIO | None, *, at_once: bool = False) -> TextIO:
    """Return a text stream to the descriptor, with the encoding of the `given` one."""
    errors = (given and given.errors) or "strict"
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding=(given and given.encoding) or "utf-8",
        errors="backslashreplace" if errors in _REFUSING else errors,
        line_buffering=at_once or descriptor.isatty(),
    )
