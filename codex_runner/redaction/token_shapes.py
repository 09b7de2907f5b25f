"""What common tokens look like: the second line of defence, for secrets that nobody told the runner of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.redaction.unseen import CONTROLS

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = b"***token***"
KEY_BEGINS = b"-----BEGIN"

# Letters that stand in long rows in tokens and in every usual encoding of one, and seldom elsewhere: no / and no dot.
_LETTERS = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")
ALPHABET = bytes({*_LETTERS, ord(".")})  # all that may stand in a shape; a private key has lines of its own

# What `classes` makes of each byte: one look at a line tells where rows are, and whether there is a control character.
_LETTER, _OTHER, CONTROL = b"a", b" ", b"\1"
_CLASSES = bytes(ord(_LETTER if byte in _LETTERS else CONTROL if byte in CONTROLS else _OTHER) for byte in range(256))
_ROW = re.compile(rb"[0-9A-Za-z_-]+")

# No shape has a shorter row of letters: an AWS access key id, the first part of a JSON Web Token.
SHORTEST = 20

# How the shapes begin: two bytes before the row, or in it. Where none of these is, nothing can be.
_BEFORE = 2
_BEGINNINGS = (
    *(b"at-", b"sk-", b"pplx-", b" s.", b" b.", b" r.", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    *(b"glpat-", b"glptt-", b"glrt-", b"glcbt-", b"gldt-", b"glft-", b"glimt-", b"glsoat-", b"AKIA", b"ASIA"),
    *(b"xox", b"xapp-", b"npm_", b"pypi-", b"eyJ", b"eyK"),
)

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
    rb"(?:(?!-----BEGIN)[^\"])*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|(?=\"|-----BEGIN)|\Z)"
)


def longest_row(needle: bytes) -> bytes:
    """Return the longest row of a token's letters in `needle`, empty without any."""
    return max(_ROW.findall(needle), key=len, default=b"")


def classes_of(data: bytes) -> bytes:
    """Return the class of each byte: a token's letter, CONTROL, or neither."""
    return data.translate(_CLASSES)


def rows(data: bytes, classes: bytes, shortest: int) -> bytes:
    """Return all rows of `shortest` or more of a token's letters, each with a space and two bytes before it.

    Most text has few: looking for many needles there makes them cost little more than one.
    """
    if CONTROL in classes:
        classes = classes.replace(CONTROL, _OTHER)
    wanted = _LETTER * shortest
    found = []
    at = classes.find(wanted)
    while at >= 0:
        start = classes.rfind(_OTHER, 0, at) + 1
        end = classes.find(_OTHER, at)
        end = len(data) if end < 0 else end
        found.append(data[max(0, start - _BEFORE) : end])
        at = classes.find(wanted, end)
    return b" " + b" ".join(found) if found else b""


def spans(data: bytes, narrowed: bytes) -> Iterator[tuple[int, int]]:
    """Yield where something that looks like a token stands, given the rows of SHORTEST or more."""
    if any(map(narrowed.__contains__, _BEGINNINGS)):
        for found in _SHAPE.finditer(data):
            yield found.span()
    if narrowed and b"PRIVATE KEY-----" in data:
        for found in _PRIVATE_KEY.finditer(data):
            yield found.span()
