"""A text that was made from another by replacing pieces of it, and where in the other each of its bytes stands."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable

from codex_runner.dataclass import dataclass

Replacement = Callable[[re.Match[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One round of replacing: of what, and by what."""

    pattern: re.Pattern[bytes]
    replacement: Replacement

    def of(self, text: bytes) -> bytes:
        """Return `text` after this round."""
        return self.pattern.sub(self.replacement, text)


@dataclass(frozen=True, slots=True)
class Text:
    """What these rounds made of `raw`."""

    plain: bytes
    raw: bytes
    steps: tuple[Step, ...]

    def origins(self) -> tuple[array[int], array[int]]:
        """Return where each byte of `plain` begins in `raw`, and where it ends."""
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
