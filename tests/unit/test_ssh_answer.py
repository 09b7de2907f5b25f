"""What an answer of a host means for whoever asked it over SSH."""

import asyncio
from types import SimpleNamespace

import pytest

from codex_runner.domain.errors import HostError
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.remote.host_answer import next_answer

NONCE = "0123456789abcdef"


def answered(line):
    async def ask():
        reader = asyncio.StreamReader()
        reader.feed_data(line)
        reader.feed_eof()
        return await next_answer(SimpleNamespace(stdout=reader), NONCE)

    return asyncio.run(ask())


def test_a_request_that_arrived_in_part_may_be_sent_again():
    with pytest.raises(DroppedError, match="within the request"):
        answered(f"{NONCE} error torn the request ended early\n".encode())


def test_what_the_host_refuses_is_not_asked_again():
    with pytest.raises(HostError, match="refused"):
        answered(f"{NONCE} error busy attempt 1 of this run is still going\n".encode())
    assert answered(f"Welcome! {NONCE} new\n".encode()) == "new"
