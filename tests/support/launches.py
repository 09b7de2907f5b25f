"""Launches of children that misbehave, and a check that none of their processes is left."""

import sys
import time
from pathlib import Path

from codex_runner.domain.event import Position
from codex_runner.domain.host import Launch, Output
from codex_runner.domain.run import new_run_id

# Seconds: for tests that wait for what a supervisor counts in ticks, which are seconds elsewhere.
TICK = 0.1

CHILD = Path(__file__).with_name("child.py")


def launch(
    *child,
    run_id=None,
    attempt=1,
    cwd="/",
    prompt=b"",
    environment=None,
    timeout=60.0,
    orphan=30.0,
    retention=604_800.0,
    **rest,
):
    return Launch(
        run_id=run_id or new_run_id("test"),
        attempt=attempt,
        command=(sys.executable, str(CHILD), *map(str, child)),
        cwd=str(cwd),
        config=rest.pop("config", ""),
        prompt=prompt,
        timeout=timeout,
        orphan=orphan,
        retention=retention,
        environment=environment or {},
        **rest,
    )


async def collect(transport, run_id, attempt=1, position=None):
    """Follow to the end; the bytes of each stream, and the last piece."""
    streams = {"stdout": bytearray(), "stderr": bytearray()}
    position = position or Position()
    offsets = {"stdout": position.stdout, "stderr": position.stderr}
    last = None
    async for piece in transport.follow(run_id, attempt, position):
        assert last is None, "a piece after the end"
        if isinstance(piece, Output):
            assert piece.offset == offsets[piece.stream], "a gap or an overlap"
            offsets[piece.stream] += len(piece.data)
            streams[piece.stream] += piece.data
        else:
            last = piece
    return bytes(streams["stdout"]), bytes(streams["stderr"]), last


def wait_until(true, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def processes_of(run_id):
    """Pids whose environment or command line names this run: on Linux, everything that a sweep should have found."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if run_id.encode() in text and state not in "ZX":
            found.append(int(entry.name))
    return found
