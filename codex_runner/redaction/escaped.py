r"""Unescaping of text whose characters are escaped, all or some, once or several times: `%73%6b`, `\u0073`, `\x73`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction.derived import Step, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDEST = 9
"""The most bytes of one escaped character: `\\\\\\u0041`, with backslashes that are escaped themselves."""

# Escapes of letters and digits, which no program needs to escape. `%25` is a percent sign that was escaped again.
_HINT = re.compile(rb"%(?:25)*(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9aA])|\\(?:u00|x)(?:3[0-9]|[46][1-9a-fA-F]|[57][0-9aA])")
_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})|\\+x([0-9A-Fa-f]{2})|\\+u([dD][89abAB][0-9a-fA-F]{2})\\+u([dD][c-fC-F][0-9a-fA-F]{2})|\\+u([0-9a-fA-F]{4})"
)
_ROUNDS = 3


def regions(data: bytes, reach: int) -> list[tuple[int, int]]:
    """Return the parts of `data` in which an escape may belong to a secret, with `reach` bytes around each."""
    if b"%" not in data and b"\\" not in data:
        return []
    found: list[tuple[int, int]] = []
    for hint in _HINT.finditer(data):
        begin, behind = max(0, hint.start() - reach), hint.end() + reach
        if found and begin <= found[-1][1]:
            begin = found.pop()[0]
        found.append((begin, behind))
    return found


def readings(data: bytes) -> Iterator[Text]:
    """Yield the unescaped text, then unescape it again while escapes are left, for at most _ROUNDS rounds."""
    plain = data
    for done in range(1, _ROUNDS + 1):
        if not _HINT.search(plain):
            return
        plain = _STEP.of(plain)
        yield Text(plain, data, (_STEP,) * done)


def _character(found: re.Match[bytes]) -> bytes:
    if byte := found[1] or found[2]:
        return bytes([int(byte, 16)])
    if found[3]:
        return bytes.fromhex((found[3] + found[4]).decode()).decode("utf-16-be").encode()
    return chr(int(found[5], 16)).encode("utf-8", "surrogatepass")


_STEP = Step(_ESCAPE, _character)
