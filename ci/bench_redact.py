"""How much of a pipeline's processor time redaction takes: 100 MB of codex's events, with secrets and without.

The pipeline is what every line of a run goes through: split, checksum, redact, copy, parse, record in the journal.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.codex import events
from codex_runner.domain import cksum
from codex_runner.domain.event import AttemptStarted, RunStarted
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import new_run_id
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.engine.recorder import Recorder
from codex_runner.redaction.redactor import Redactor
from codex_runner.sinks.jsonl import FileJournal
from codex_runner.text.line_splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 100_000_000
READ = 1 << 20
GOAL = 0.25
WORDS = (
    "error lorem ipsum /usr/lib/python3/dist-packages return 0x7ffd29 value abc at line { } self. 2026-01-31T12:00:00Z"
)
LINE = 12  # words


def stream(size: int, *, coloured: bool = False) -> bytes:
    """Command output, in lines from a hundred bytes to a hundred kilobytes; a word in a hundred may have a colour."""
    chosen = random.Random(0)
    lines, length = [], 0
    while length < size:
        words = chosen.choices(WORDS.split(), k=chosen.choice([10, 100, 1000, 10_000]))
        for at in range(0, len(words) if coloured else 0, 100):
            words[at] = f"\x1b[01;31m{words[at]}\x1b[m"
        text = "\n".join(" ".join(words[at : at + LINE]) for at in range(0, len(words), LINE))
        item = {"id": "item_1", "type": "command_execution", "command": "make", "aggregated_output": text}
        event = {"type": "item.completed", "item": {**item, "exit_code": 0, "status": "completed"}}
        lines.append(json.dumps(event).encode() + b"\n")
        length += len(lines[-1])
    return b"".join(lines)


def seconds(data: bytes, redactor: Callable[[bytes], bytes], scratch: Path) -> float:
    folder = RunFolder(scratch / new_run_id("bench"))
    recorder = Recorder(RunState(), FileJournal.create(folder), [], Redactor())
    recorder.emit(RunStarted(folder.run_id, "bench", "local", {}))
    recorder.emit(AttemptStarted(1))
    splitter = LineSplitter()
    began = time.process_time()
    for start in range(0, len(data), READ):
        for line in splitter.feed(data[start : start + READ]):
            crc = cksum.advance(recorder.position.stdout_crc, line.data + b"\n")
            redacted = redactor(line.data)
            recorder.copy("stdout", redacted + b"\n", end=line.end, crc=crc)
            recorder.emit(events.parse(redacted))
    recorder.close()
    spent = time.process_time() - began
    shutil.rmtree(folder.path)
    return spent


def bench_redact(rounds: int) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="bench-redact-"))
    try:
        plain, coloured = stream(SIZE), stream(SIZE, coloured=True)
        seconds(plain[: 10 * READ], Redactor(), scratch)  # once for nothing: caches
        for data, what, count in ((plain, "", 1), (plain, "", 5), (plain, "", 30), (coloured, " in colour", 30)):
            keys = [Secret(f"SECRET{n}", f"at-{random.Random(n).randbytes(20).hex()}") for n in range(count)]
            measure(data, f"{count} secrets{what}", Redactor(keys), scratch, rounds)
    finally:
        shutil.rmtree(scratch)


def measure(data: bytes, what: str, redactor: Redactor, scratch: Path, rounds: int) -> None:
    # Both sides in each round, so that what else the machine does falls on both.
    pairs = [(seconds(data, lambda line: line, scratch), seconds(data, redactor, scratch)) for _ in range(rounds)]
    share = statistics.median(1 - bare / ours for bare, ours in pairs)
    bare, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"redact   {what:21} {ours:5.2f} s   none {bare:5.2f} s   share {share:.2f} (goal: {GOAL})")
