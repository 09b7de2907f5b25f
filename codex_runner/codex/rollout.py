"""Reads codex's own record (rollout) of a thread: its token counts so far, whether its last turn has a reply, all."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codex_runner.codex.events import THREAD, read_usage
from codex_runner.domain.errors import HostError
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from codex_runner.domain.run import Usage
    from codex_runner.domain.transport_port import Transport

_FILE = re.compile(r"^(\d+) (\./[\w./:-]+)$", re.ASCII | re.MULTILINE)
_PAGE = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
_LARGEST = 100_000_000  # bytes, as of any artifact


def _script() -> str:
    return shell_script("codex_runner.codex", "rollout.sh")


async def last_usage(transport: Transport, run_id: str, thread_id: str, *, timeout: float) -> Usage | None:
    """Return the thread's usage by codex's last token count. Returns None if there is none yet. Raises HostError."""
    if not THREAD.fullmatch(thread_id):
        return None
    done = await transport.ask(_script(), arguments=("last-count", run_id, thread_id), timeout=timeout)
    try:
        return read_usage(json.loads(_record(done.output))["payload"]["info"]["total_token_usage"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _record(output: bytes) -> bytes:
    """Return the record from a host's output: a shell may print warnings first, of a locale or a library."""
    return next((line for line in reversed(output.splitlines()) if line.startswith(b"{")), b"")


async def has_reply(transport: Transport, run_id: str, thread_id: str, *, timeout: float) -> bool | None:
    """Return whether the thread's last turn ended with a message of the agent. Returns None if the record is unclear.

    `codex exec` prints all messages. But neither its events nor `-o` show that it asked the model again after the last
    message, and got an empty answer. Raises HostError.
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
    """Return codex's records of all threads of a run, in the order of their beginning. Not redacted.

    Raises HostError if they do not arrive whole, or are too large.
    """
    listed = await transport.ask(_script(), arguments=("files", run_id))
    if listed.exit_code != 0:
        raise HostError(f"the search for it failed: {listed.last_words}")
    files = _FILE.findall(listed.output.decode("utf-8", "replace"))
    total = sum(int(size) for size, _ in files)
    if total > _LARGEST:
        raise HostError(f"it has {total:,} bytes, and the limit is {_LARGEST:,}.")
    return b"".join([await _read(transport, run_id, name, int(size)) for size, name in files])


async def _read(transport: Transport, run_id: str, name: str, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        wanted = (str(len(read) + 1), str(min(_PAGE, size - len(read))))
        done = await transport.ask(_script(), arguments=("part", run_id, name, *wanted))
        if done.exit_code != 0 or not done.output:
            raise HostError(f"only {len(read):,} of {size:,} bytes of {name} arrived.")
        read += done.output
    if read and not read.endswith(b"\n"):  # codex was killed while it wrote a line
        read += b"\n"
    return bytes(read)
