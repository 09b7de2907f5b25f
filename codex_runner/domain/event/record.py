"""A line of events.jsonl: an event with its number, its time, and the position that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from codex_runner.domain.event.kind import Event


@dataclass(frozen=True, slots=True)
class Position:
    """How far the host's output has been read and copied. All in bytes.

    `stdout` and `stderr` are offsets in the host's files. `stdout_copy` and `stderr_copy` are the lengths of
    codex.jsonl and stderr.log: these differ after a redaction, and hold all attempts. `stdout_crc` is the state of the
    POSIX cksum over the first `stdout` bytes (see `domain.cksum`).
    """

    stdout: int = 0
    stderr: int = 0
    stdout_copy: int = 0
    stderr_copy: int = 0
    stdout_crc: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Record:
    """One line of events.jsonl. `seq` counts from 1 without gaps; `time` is seconds since the epoch, UTC."""

    seq: int
    time: float
    attempt: int
    position: Position
    event: Event
