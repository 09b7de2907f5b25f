"""What common tokens look like: the second line of defence, for secrets that nobody told the runner of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = b"***token***"

# Letters of which tokens, and every usual encoding of one, consist.
_LETTERS = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + b"+/=_-.%~"
_CLASSES = bytes(0x61 if byte in _LETTERS else 0x20 for byte in range(256))
_OTHER = re.compile(rb"[^0-9A-Za-z+/=_.%~-]")

# The shortest of the shapes: an AWS access key id.
SHORTEST = 20

_SHAPE = re.compile(
    rb"(?:(?<![0-9A-Za-z_.-])|(?<=\\[nrt]))(?:"  # in JSON a line's first word stands behind the letter of an escape
    rb"(?:at|sk|pplx)-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{24,}"  # OpenAI and those who name theirs alike
    rb"|hv[sbr]\.[A-Za-z0-9_-]{24,}"  # Vault
    rb"|[sb]\.(?=[A-Za-z]*[0-9])[A-Za-z0-9]{24}(?![A-Za-z0-9])"  # Vault until 1.10, OpenBao
    rb"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"
    rb"|gl(?:pat|ptt|rt|cbt|dt|ft|imt|soat)-[A-Za-z0-9_.-]{20,}"
    rb"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    rb"|xox[abeoprs]-[A-Za-z0-9-]{20,}|xapp-[A-Za-z0-9-]{20,}"  # Slack
    rb"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}"
    rb"|ey[JK][A-Za-z0-9_-]{10,}\.ey[JK][A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a JSON Web Token
    rb")"
)
# A newline within it is escaped in an event; where it is a real one, only the first line can be told.
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    rb"(?:(?!-----BEGIN)[^\"])*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|(?=\")|\Z)"
)


def is_wordy(needle: bytes) -> bool:
    """Whether every byte is one that tokens consist of, so that `runs` cannot miss it."""
    return _OTHER.search(needle) is None


def runs(data: bytes, shortest: int) -> Iterator[tuple[int, int]]:
    """Yield where `shortest` or more bytes in a row are letters of tokens: each longest run's start and end.

    Most text has few of them: looking for needles there alone makes many needles cost little more than one.
    """
    classes = data.translate(_CLASSES)
    wanted = b"a" * shortest
    at = classes.find(wanted)
    while at >= 0:
        start = classes.rfind(b" ", 0, at) + 1
        end = classes.find(b" ", at)
        end = len(data) if end < 0 else end
        yield start, end
        at = classes.find(wanted, end)


def spans(data: bytes, where: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield where something that looks like a token stands, given the runs of SHORTEST or more."""
    for start, end in where:
        for found in _SHAPE.finditer(data, start, end):
            yield found.span()
    if b"PRIVATE KEY-----" in data:
        for found in _PRIVATE_KEY.finditer(data):
            yield found.span()
