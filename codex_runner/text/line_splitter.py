"""Streaming line splitter: bytes to lines with offsets. The same bytes give the same lines, however they are split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = 8 * 1024 * 1024
"""The length in bytes of the longest line that is held whole. codex prints at most 1 MiB of a command's output."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stream: `data` without its newline, the offset `end` behind it, and whether it had one: `whole`."""

    data: bytes
    end: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line that is longer than the bound: `data` without the newline, and the offset `end` behind it.

    `size` is the length of the line up to here. The `last` part may be empty; `whole` says whether a newline ended it.
    """

    data: bytes
    end: int
    size: int
    last: bool = False
    whole: bool = False


class LineSplitter:
    """Splits a stream of bytes into lines. `offset` is where the stream begins: the end of a line, or 0.

    Holds `bound` bytes at most. A longer line comes in parts.
    """

    def __init__(self, offset: int = 0, bound: int = BOUND) -> None:
        """Begin at `offset`, in bytes."""
        self._end, self._bound = offset, bound
        self._parts: list[bytes] = []
        self._held = 0
        self._told = 0

    @property
    def received(self) -> int:
        """The offset behind the last byte that came, in bytes."""
        return self._end + self._held

    def feed(self, data: bytes) -> Iterator[Line | Part]:
        """Take more bytes; yield the lines that are now complete, and the parts of a line beyond the bound."""
        # A line may have megabytes and come in many pieces: join them once, when its newline has come.
        *complete, rest = data.split(b"\n")
        for piece in complete:
            if self._told or self._held + len(piece) > self._bound:
                yield self._part(piece, last=True, whole=True)
                continue
            line = b"".join([*self._parts, piece])
            self._parts.clear()
            self._held = 0
            self._end += len(line) + 1
            yield Line(line, self._end)
        if not rest:
            return
        if self._told or self._held + len(rest) > self._bound:
            yield self._part(rest)
        else:
            self._parts.append(rest)
            self._held += len(rest)

    def finish(self) -> Iterator[Line | Part]:
        """Yield the rest after the last newline, if there is one. The stream has ended."""
        if self._told:
            yield self._part(b"", last=True)
        elif self._parts:
            rest = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
            self._end += len(rest)
            yield Line(rest, self._end, whole=False)

    def _part(self, piece: bytes, *, last: bool = False, whole: bool = False) -> Part:
        data = b"".join([*self._parts, piece])
        self._parts.clear()
        self._held = 0
        self._end += len(data) + whole
        size = self._told + len(data)
        self._told = 0 if last else size
        return Part(data, self._end, size, last, whole)
