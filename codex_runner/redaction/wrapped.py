"""Text without the ends of lines at which programs wrap base64 and hexadecimal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction.derived import Step, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

# Programs wrap at 60 to 76 letters.
_LINE = rb"[A-Za-z0-9+/_-]{48}"
# As they are, and as JSON escapes them, twice too. What stands before one is looked at second: that is faster.
_ENDS = [rb"\n", rb"\r\n", rb"\\n", rb"\\r\\n", rb"\\\\n", rb"\\\\r\\\\n"]
_BREAK = re.compile(b"(?:" + b"|".join(end + b"(?<=" + _LINE + end + b")" for end in _ENDS) + rb")(?=[A-Za-z0-9+/=_-])")
_STEP = Step(_BREAK, lambda _: b"")


def readings(data: bytes) -> Iterator[Text]:
    """Yield `data` in one piece, if something in it is wrapped."""
    if (plain := _STEP.of(data)) != data:
        yield Text(plain, data, (_STEP,))
