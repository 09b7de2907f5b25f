"""A growing file, read from an offset on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codex_runner.domain.host import Output

if TYPE_CHECKING:
    from typing import BinaryIO

    from codex_runner.domain.host import Stream

_READ = 1 << 18  # bytes; signals and deadlines wait until the runner has processed what it read at once


class Tail:
    """One stream's file. The caller opens and closes it."""

    def __init__(self, stream: Stream, file: BinaryIO, offset: int) -> None:
        """Begin at this offset, in bytes."""
        self.file = file
        self._stream, self._offset = stream, offset

    def read(self) -> Output | None:
        """Return the next bytes. Returns None if there are none now."""
        data = os.pread(self.file.fileno(), _READ, self._offset)
        if not data:
            return None
        piece = Output(self._stream, self._offset, data)
        self._offset += len(data)
        return piece
