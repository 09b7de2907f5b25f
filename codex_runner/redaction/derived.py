"""Derived texts: a text made by replacements in another, with a map from each of its bytes to the original."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable

from codex_runner.dataclass import dataclass

Replacement = Callable[[re.Match[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One round of replacements: a pattern, and what replaces its matches."""

    pattern: re.Pattern[bytes]
    replacement: Replacement

    def of(self, text: bytes) -> bytes:
        """Return `text` after this round."""
        return self.pattern.sub(self.replacement, text)


@dataclass(frozen=True, slots=True)
class Text:
    """The text `plain`, made from `raw` by these steps."""

    plain: bytes
    raw: bytes
    steps: tuple[Step, ...]

    def origins(self) -> tuple[array[int], array[int]]:
        """Return the offsets in `raw` at which each byte of `plain` begins, and at which it ends."""
        text, starts, ends = self.raw, array("L", range(len(self.raw))), array("L", range(1, len(self.raw) + 1))
        for step in self.steps:
            text, starts, ends = _replaced(step, text, starts, ends)
        return starts, ends


def _replaced(step: Step, text: bytes, starts: array[int], ends: array[int]) -> tuple[bytes, array[int], array[int]]:
    plain, begins, behind, done = bytearray(), array("L"), array("L"), 0
    for found in step.pattern.finditer(text):
        plain += text[done : found.start()]
        begins += starts[done : found.start()]
        behind += ends[done : found.start()]
        done = found.end()
        replacement = step.replacement(found)
        plain += replacement
        begins.extend([starts[found.start()]] * len(replacement))
        behind.extend([ends[done - 1]] * len(replacement))
    return bytes(plain + text[done:]), begins + starts[done:], behind + ends[done:]
