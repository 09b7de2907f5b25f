"""Unwrapping of base64 and hexadecimal text that programs have wrapped into lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction.derived import Step, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

# Programs wrap at 60 to 76 characters.
_LINE = rb"[A-Za-z0-9+/_-]{48}"
# Line ends, raw and as JSON escapes them once or twice. The lookbehind comes after the line end: that is faster.
_ENDS = [rb"\n", rb"\r\n", rb"\\n", rb"\\r\\n", rb"\\\\n", rb"\\\\r\\\\n"]
_BREAK = re.compile(b"(?:" + b"|".join(end + b"(?<=" + _LINE + end + b")" for end in _ENDS) + rb")(?=[A-Za-z0-9+/=_-])")
_STEP = Step(_BREAK, lambda _: b"")


def readings(data: bytes) -> Iterator[Text]:
    """Yield the unwrapped text of `data`, if it has a wrapped line."""
    if (plain := _STEP.of(data)) != data:
        yield Text(plain, data, (_STEP,))
