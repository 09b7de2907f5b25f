"""Incremental POSIX `cksum`: verifies received bytes against the checksum that the host gives for the whole file.

zlib's CRC-32 has the same polynomial, reflected. Reversing the bits of each input byte and of the result turns one into
the other. The state is one integer, so that it can be stored with an offset.
"""

from __future__ import annotations

import zlib

START = 0xFFFFFFFF

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def advance(state: int, data: bytes) -> int:
    """Return the state after more bytes. The first state is START."""
    return zlib.crc32(data.translate(_REVERSED), state)


def finish(state: int, size: int) -> int:
    """Return the checksum that `cksum` prints for a file of `size` bytes that led to `state`."""
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    return int(f"{advance(state, length):032b}"[::-1], 2)


def cksum(data: bytes) -> int:
    """Return what `cksum` prints for a file that holds `data`."""
    return finish(advance(START, data), len(data))
