"""Records of a run that its host keeps, so that a runner on another machine can attach to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from codex_runner.domain.errors import HostError, RunGoneError
from codex_runner.domain.event import record_from_json, record_to_json
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from codex_runner.domain.event import Record
    from codex_runner.domain.transport_port import Transport


# Bytes: below the largest answer of Transport.ask.
_AT_ONCE = 1 << 19


def _script() -> str:
    return shell_script("codex_runner.engine", "recall.sh")


def to_lines(records: Iterable[Record]) -> bytes:
    """Return records as the host keeps them: one line of JSON each, the same object as in events.jsonl."""
    lines = (json.dumps(record_to_json(record), separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


async def attempts_of(transport: Transport, run_id: str, host: str) -> list[tuple[int, bool]]:
    """Return the run's attempts on this host, in their order: each number, and whether its agent has ended.

    Raises RunGoneError if there is no such run, HostError if the attempts cannot be listed.
    """
    done = await transport.ask(_script(), arguments=("attempts", run_id), timeout=30)
    if done.exit_code != 0:
        raise HostError(f"the attempts of {run_id} on {host} could not be listed: {done.last_words}")
    lines = [line.split() for line in done.output.decode("ascii", "replace").splitlines()]
    if not lines:
        raise RunGoneError(f"there is no run {run_id} on {host}.")
    return sorted((int(number), bool(ended)) for number, *ended in lines)


async def recall(transport: Transport, run_id: str, host: str) -> list[list[Record]]:
    """Return the host's records of each attempt, in order: those since the previous attempt had ended."""
    return [await _records(transport, run_id, number) for number, _ in await attempts_of(transport, run_id, host)]


async def _records(transport: Transport, run_id: str, attempt: int) -> list[Record]:
    text = b""
    while True:
        arguments: Sequence[str] = ("part", run_id, str(attempt), str(len(text) + 1), str(_AT_ONCE))
        done = await transport.ask(_script(), arguments=arguments)
        if done.exit_code != 0:
            raise HostError(f"the records of {run_id} on its host could not be read: {done.last_words}")
        text += done.output
        if len(done.output) < _AT_ONCE:
            break
    try:
        return [record_from_json(json.loads(line)) for line in text.splitlines()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HostError(
            f"the records of {run_id} on its host are damaged, or of another version of codex-runner.",
            remedy="Use the version of codex-runner that started the run.",
        ) from None
