"""The output of a command of the job's own, a check or the gate's, as records and reports may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.domain.host import KEPT
from codex_runner.redaction.stream import OVERLAP

if TYPE_CHECKING:
    from codex_runner.redaction.redactor import Redactor

_TAIL: Final = 64 * 1024  # bytes
# How transports/host/keeper.sh reports processes that a command has left behind.
_KEEPER: Final = "codex-runner: "
_LEFT: Final = "this command left behind"
_ALIVE: Final = "could not be ended"


def shown_output(output: bytes, redactor: Redactor) -> str:
    """Return the end of an output, redacted."""
    # Redacted before it is cut: a cut could halve a secret and hide it from the redactor.
    return _redacted(output, redactor)[-_TAIL:].decode("utf-8", "replace")


def left_behind(output: str) -> str:
    """Return the keeper's sentence on the processes that the command has left, "" if there were none."""
    told = output.rstrip("\n").rpartition("\n")[2].partition(_KEEPER)[2]
    return told if _LEFT in told else ""


def is_alive(left: str) -> bool:
    """Whether the sentence of `left_behind` says that such a process is still there."""
    return _ALIVE in left


def _redacted(output: bytes, redactor: Redactor) -> bytes:
    """Redact the kept output. If its beginning was cut off, drop enough that no half of a secret stays."""
    if len(output) < KEPT:
        return redactor(output)
    start = max(OVERLAP, redactor.longest)
    start = max([start, *(end for begin, end, _ in redactor.spans(output) if begin < start < end)])
    return redactor(output[start:])
