"""From bytes as they come to lines with offsets. Any split of the bytes gives the same lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stream: `data` without its newline, the offset `end` behind it, and whether it had one: `whole`."""

    data: bytes
    end: int
    whole: bool = True


class LineSplitter:
    """Splits a stream of bytes into lines. `offset` is where the stream begins: the end of a line, or 0."""

    def __init__(self, offset: int = 0) -> None:
        """Begin at `offset`, in bytes."""
        self._end = offset
        self._parts: list[bytes] = []

    @property
    def received(self) -> int:
        """The offset behind the last byte that came, in bytes."""
        return self._end + sum(map(len, self._parts))

    def feed(self, data: bytes) -> Iterator[Line]:
        """Take more bytes in; yield the lines that are now complete."""
        # A line may be megabytes and come in pieces: they are joined once, when its newline is there.
        *complete, rest = data.split(b"\n")
        for piece in complete:
            line = b"".join([*self._parts, piece])
            self._parts.clear()
            self._end += len(line) + 1
            yield Line(line, self._end)
        if rest:
            self._parts.append(rest)

    def finish(self) -> Iterator[Line]:
        """The stream is over: yield what came after its last newline, if anything did."""
        rest = b"".join(self._parts)
        self._parts.clear()
        if rest:
            self._end += len(rest)
            yield Line(rest, self._end, whole=False)
