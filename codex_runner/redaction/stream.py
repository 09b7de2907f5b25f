"""Takes secrets out of a line that is too long to be held: the same bytes as the Redactor's, from a window of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction import token_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.redaction.redactor import Redactor

# How many new bytes are looked at together.
_WINDOW = 1 << 20

# How far before its end a window is looked at again with the next one, in bytes. What hides within a secret
# (a terminal's title takes 4 kB) makes it longer than it is.
OVERLAP = 1 << 16

# What a shape looks for before its first letter.
_CONTEXT = 64

# What looks like a token may have no end within the window: so it goes on.
_TOKEN_GOES_ON = re.compile(rb"[A-Za-z0-9_.-]*")
_KEY_GOES_ON = re.compile(rb'[^"]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|(?="|-----BEGIN)|\Z)')


class StreamRedactor:
    """One line, fed in pieces. A find is masked once, wherever the pieces are cut.

    The line of JSON that comes out need not be JSON any more: a find may begin within an escape.
    """

    def __init__(self, redactor: Redactor, *, window: int = _WINDOW, overlap: int = OVERLAP) -> None:
        """Look for what `redactor` knows. Memory is in proportion to `window` and `overlap`, both in bytes."""
        self._redactor, self._window, self._overlap = redactor, window, overlap
        self._buffer = b""
        self._fresh: list[bytes] = []
        self._waiting = 0
        # Up to here in the buffer all has been handed on; what stands before it helps to see what comes.
        self._done = 0
        self._masked = False  # whether what was handed on last is a mask
        self._trimmed = False
        self._goes_on: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take more of the line in; return what can be told by now, redacted. It may be nothing yet."""
        out = []
        for at in range(0, len(data), self._window):
            self._fresh.append(data[at : at + self._window])
            self._waiting += len(self._fresh[-1])
            if self._waiting >= self._window:
                out.append(self._hand_on(final=False))
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the rest, redacted. The line is over."""
        return self._hand_on(final=True)

    def _hand_on(self, *, final: bool) -> bytes:
        buffer = b"".join([self._buffer, *self._fresh])
        self._fresh.clear()
        self._waiting = 0
        overlap = max(self._overlap, 2 * self._redactor.longest)
        out = b""
        if not self._is_within(buffer, final=final):
            cut = len(buffer) if final else max(self._done, len(buffer) - overlap)
            out = b"".join(self._redacted(buffer, cut))
        trim = max(0, len(buffer) - overlap - _CONTEXT)
        self._trimmed = self._trimmed or trim > 0
        self._buffer, self._done = buffer[trim:], self._done - trim
        return out

    def _is_within(self, buffer: bytes, *, final: bool) -> bool:
        """Whether all of `buffer` belongs to a find that was masked before, and that goes on."""
        more = self._goes_on.match(buffer, self._done) if self._goes_on is not None else None
        if more is None:
            return False
        self._done = more.end()
        if final or self._done < len(buffer):
            self._goes_on = None
            return False
        self._leave_room()
        return True

    def _leave_room(self) -> None:
        """Look at the last bytes again with what follows: the line that ends a key may have begun there."""
        if self._goes_on is _KEY_GOES_ON:
            self._done = max(0, self._done - _CONTEXT)

    def _redacted(self, buffer: bytes, cut: int) -> Iterator[bytes]:
        """Yield what stands before `cut`, and the masks of all that begins before it."""
        for start, end, mask in self._redactor.spans(buffer):
            if start >= cut:
                break
            # Where the buffer begins, a word may have lost its head: what begins there was looked at with its head.
            if end <= self._done or (start == 0 and self._trimmed and not self._masked):
                continue
            if start >= self._done:
                yield buffer[self._done : start]
                yield mask
            elif not self._masked:
                yield mask
            self._done, self._masked = end, True
            if end == len(buffer) and mask == token_shapes.MASK:
                key = buffer.rfind(token_shapes.KEY_BEGINS, start, end) >= 0
                self._goes_on = _KEY_GOES_ON if key else _TOKEN_GOES_ON
                self._leave_room()
        if self._done < cut and self._goes_on is None:
            yield buffer[self._done : cut]
            self._done, self._masked = cut, False
