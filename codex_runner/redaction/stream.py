"""Streaming redaction of an overlong line: the same result as the Redactor's, with a sliding window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction import token_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.redaction.redactor import Redactor

# New bytes in each window.
_WINDOW = 1 << 20

# Bytes at a window's end that are searched again with the next one. Invisible text within a secret (a terminal's title
# may have 4 kB) makes it longer.
OVERLAP = 1 << 16

# Bytes before a token's first letter that its shape needs.
_CONTEXT = 64

# The continuation of a token, or of a private key, that does not end within the window.
_TOKEN_GOES_ON = re.compile(rb"[A-Za-z0-9_.-]*")
_KEY_GOES_ON = re.compile(rb'[^"]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|(?="|-----BEGIN)|\Z)')


class StreamRedactor:
    """Redacts one line that comes in pieces. Each secret is masked once, wherever the pieces are cut.

    A redacted line of JSON may be invalid JSON, since a secret may begin within an escape.
    """

    def __init__(self, redactor: Redactor, *, window: int = _WINDOW, overlap: int = OVERLAP) -> None:
        """Redact the secrets of `redactor`. Memory is in proportion to `window` and `overlap`, both in bytes."""
        self._redactor, self._window, self._overlap = redactor, window, overlap
        self._buffer = b""
        self._fresh: list[bytes] = []
        self._waiting = 0
        # The offset in the buffer up to which all has been returned; the bytes before it are context for what follows.
        self._done = 0
        self._masked = False  # whether the last returned bytes are a mask
        self._trimmed = False
        self._goes_on: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take more of the line; return the bytes that are redacted by now, perhaps none."""
        out = []
        for at in range(0, len(data), self._window):
            self._fresh.append(data[at : at + self._window])
            self._waiting += len(self._fresh[-1])
            if self._waiting >= self._window:
                out.append(self._hand_on(final=False))
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the rest, redacted. The line has ended."""
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
        """Whether all of `buffer` continues a token that is masked already."""
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
        """Search the last bytes again with the next ones: the END line of a key may have begun there."""
        if self._goes_on is _KEY_GOES_ON:
            self._done = max(0, self._done - _CONTEXT)

    def _redacted(self, buffer: bytes, cut: int) -> Iterator[bytes]:
        """Yield the bytes before `cut`, with a mask for each secret that begins before it."""
        for start, end, mask in self._redactor.spans(buffer):
            if start >= cut:
                break
            # At the buffer's start, a word may be cut. The previous window has searched it whole.
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
