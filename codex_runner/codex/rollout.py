"""The thread as codex itself records it, in its home: where its tokens stand before the turn is over, and all of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codex_runner.codex.events import THREAD, read_usage
from codex_runner.domain.errors import HostError
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from codex_runner.domain.ports import Transport
    from codex_runner.domain.run import Usage

_FILE = re.compile(r"^(\d+) (\./[\w./:-]+)$", re.ASCII | re.MULTILINE)
_PAGE = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
_LARGEST = 100_000_000  # bytes, as of any artifact


def _script() -> str:
    return shell_script("codex_runner.codex", "rollout.sh")


async def last_usage(transport: Transport, run_id: str, thread_id: str, *, timeout: float) -> Usage | None:
    """Return what the thread has come to by codex's last count; None where there is none (yet). May raise HostError."""
    if not THREAD.fullmatch(thread_id):
        return None
    done = await transport.ask(_script(), arguments=("last-count", run_id, thread_id), timeout=timeout)
    try:
        return read_usage(json.loads(_record(done.output))["payload"]["info"]["total_token_usage"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _record(output: bytes) -> bytes:
    """Return the record in what a host printed: a shell may complain first, of a locale or a library for one."""
    return next((line for line in reversed(output.splitlines()) if line.startswith(b"{")), b"")


async def has_reply(transport: Transport, run_id: str, thread_id: str, *, timeout: float) -> bool | None:
    """Return whether the thread's last turn ended with a message of the agent; None if the record does not say so.

    `exec` prints the messages, and neither prints nor tells by `-o` that the model was asked again after the last one
    and said nothing. May raise HostError.
    """
    if not THREAD.fullmatch(thread_id):
        return None
    done = await transport.ask(_script(), arguments=("last-turn", run_id, thread_id), timeout=timeout)
    try:
        payload = json.loads(_record(done.output))["payload"]
        said = payload["last_agent_message"] if payload["type"] == "task_complete" else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return False if said is None else (True if said and isinstance(said, str) else None)


async def read_rollout(transport: Transport, run_id: str) -> bytes:
    """Return what codex recorded of all threads of a run, in the order in which they were begun. Not redacted.

    HostError where it does not arrive whole, or is too large to be kept.
    """
    listed = await transport.ask(_script(), arguments=("files", run_id))
    if listed.exit_code != 0:
        raise HostError(f"it could not be looked for: {listed.last_words}")
    files = _FILE.findall(listed.output.decode("utf-8", "replace"))
    total = sum(int(size) for size, _ in files)
    if total > _LARGEST:
        raise HostError(f"it has {total:,} bytes, and {_LARGEST:,} are kept at most.")
    return b"".join([await _read(transport, run_id, name, int(size)) for size, name in files])


async def _read(transport: Transport, run_id: str, name: str, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        wanted = (str(len(read) + 1), str(min(_PAGE, size - len(read))))
        done = await transport.ask(_script(), arguments=("part", run_id, name, *wanted))
        if done.exit_code != 0 or not done.output:
            raise HostError(f"of {name}, {len(read):,} of {size:,} bytes arrived.")
        read += done.output
    if read and not read.endswith(b"\n"):  # codex was killed in a line
        read += b"\n"
    return bytes(read)
