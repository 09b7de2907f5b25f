"""The host in memory keeps the contract of a Transport, as far as it needs no processes."""

import asyncio
import importlib.util
from pathlib import Path

import pytest
from support import child
from support.fake_host import FakeHost, Play, prints
from support.launches import collect, launch

from codex_runner.domain.host import Ended, Lost
from codex_runner.domain.run import StopReason

_SPEC = importlib.util.spec_from_file_location("transport_contract", Path(__file__).with_name("test_transport.py"))
_CONTRACT = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CONTRACT)

for _name in (
    "test_hands_over_every_byte_and_the_exit",
    "test_a_second_start_joins_the_first",
    "test_follows_from_any_offset",
    "test_two_followers_see_the_same",
    "test_a_large_output_arrives_whole",
    "test_bytes_come_while_the_child_runs",
    "test_stops_with_the_first_reason",
    "test_following_what_is_not_there_is_an_error",
    "test_stopping_and_discarding_what_is_not_there_is_not",
    "test_discards_everything",
    "test_a_second_attempt_does_not_start_beside_a_live_one",
):
    globals()[_name] = getattr(_CONTRACT, _name)

REPLY = "".join(f"{line}\n" for line in (child.THREAD, child.STARTED, child.MESSAGE, child.COMPLETED)).encode()


def _as_the_child_would(asked):
    """What `child.py` does in the modes that the contract uses here."""
    mode, *arguments = asked.command[2:]
    match mode:
        case "echo":
            return prints(asked.prompt, b"to stderr\n", code=int(arguments[0]))
        case "lines":
            each = float(arguments[1])
            lines = [b'{"type":"tick","number":%d}\n' % number for number in range(int(arguments[0]))]
            return Play(tuple((0 if n == 0 else each, "stdout", line) for n, line in enumerate(lines)))
        case "bytes":
            return prints(b"x" * int(arguments[0]))
        case "hangs":
            return prints(f"{child.STARTED}\n".encode(), hangs=True)
        case "reply":
            return prints(REPLY)
    raise AssertionError(mode)


@pytest.fixture
def host():
    return FakeHost(_as_the_child_would)


def test_tells_that_it_is_lost(run):
    host = FakeHost(prints(b"one\n", lost=True))

    async def work():
        job = launch("any")
        await host.start(job)
        found = await collect(host, job.run_id)
        await host.stop(job.run_id, 1, StopReason.LOST)
        return found, await collect(host, job.run_id)

    (stdout, _, last), (_, _, then) = asyncio.run(work())
    assert stdout == b"one\n"
    assert isinstance(last, Lost)
    assert isinstance(then, Ended)
    assert then.exit.stopped is StopReason.LOST
