"""Secret scan of the lines that an agent has added: reports credentials by file and line, and masks them in artifacts.

A detector knows what credentials look like. The lines come from git's patch of all changes, new files included. Binary
files have no lines, and are not scanned.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import show_path
from codex_runner.domain.event import CheckEnded
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.job import SCAN
from codex_runner.git.diff_reader import unquote
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.domain.ports import Detector
    from codex_runner.engine.recorder import Recorder

_MASK = b"***secret_scan***"
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_PIECE = 4096  # characters that a detector gets at once
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Added:
    """An added line: its file's path from the repository's top, its number in that file, its text without newline."""

    path: str
    number: int
    text: bytes


def added_lines(patch: bytes) -> Iterator[Added]:
    """Yield every line that git's patch adds, in order. An added line cannot imitate the patch's own headers."""
    path, number, before, after = "", 0, 0, 0
    for line in patch.split(b"\n"):
        if before > 0 or after > 0:
            sign = line[:1]
            if sign == b"+":
                yield Added(path, number, line[1:])
            before -= sign in (b"-", b" ", b"")
            after -= sign in (b"+", b" ", b"")
            number += sign in (b"+", b" ", b"")
        elif hunk := _HUNK.match(line):
            before, number, after = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
        elif line.startswith(b"+++ "):
            name = unquote(line[4:].removesuffix(b"\t")).decode("utf-8", "surrogateescape")
            path = name.removeprefix("b/")


class SecretScan:
    """The secret scan of one run. It keeps the lines that it has found, in memory only."""

    def __init__(self, detector: Detector, *, patience: float = 300.0) -> None:
        """`patience` is in seconds: after it, the rest of the patch counts as a find."""
        self._detector, self._patience = detector, patience
        self._lines: set[bytes] = set()

    async def search(self, patch: bytes, recorder: Recorder) -> None:
        """Scan the lines that a patch adds, and record the result as a check, unless an earlier runner has.

        The result names file, line and kind of each credential, and none of its text.
        """
        began = time.monotonic()
        sentences = []
        for line in added_lines(patch):
            where = f"{show_path(line.path)}, line {line.number}"
            if time.monotonic() - began > self._patience:
                sentences.append(
                    f"{where}, and all after it: not searched, since the scan took over "
                    f"{format_duration(self._patience)}."
                )
                break
            if kinds := await self._kinds(line):
                self._lines.add(recorder.redactor(line.text).strip())
                sentences.append(f"{where}: looks like a credential ({', '.join(sorted(kinds))}).")
        if len(sentences) > _TOLD:
            sentences[_TOLD:] = [f"And {len(sentences) - _TOLD:,} more."]
        if SCAN not in recorder.state.checks:
            output = recorder.redactor.text("\n".join(sentences))
            code = ExitCode.FORBIDDEN_CHANGE if sentences else ExitCode.SUCCEEDED
            recorder.emit(CheckEnded(SCAN, not sentences, int(code), time.monotonic() - began, output))

    async def _kinds(self, line: Added) -> set[str]:
        kinds: set[str] = set()
        for piece in pieces(line.text.decode("utf-8", "replace"), _PIECE):
            kinds |= set(self._detector.kinds(line.path, piece))
            await asyncio.sleep(0)  # lets a stop request through
        return kinds

    def hide(self, data: bytes) -> bytes:
        """Return a redacted text, or a patch of one, with the found lines masked."""
        if not self._lines:
            return data
        return b"\n".join(map(self._hidden, data.split(b"\n")))

    def _hidden(self, line: bytes) -> bytes:
        if line.strip() in self._lines:
            return _MASK
        return line[:1] + _MASK if line[:1] in b"+- " and line[1:].strip() in self._lines else line


def pieces(line: str, size: int) -> Iterator[str]:
    """Yield parts of a line, at most `size` characters each. They overlap by half, so that no cut hides a match."""
    yield line[:size]
    for start in range(size // 2, len(line) - size // 2, size // 2):
        yield line[start : start + size]
