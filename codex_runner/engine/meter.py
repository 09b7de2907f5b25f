"""Reads how many tokens the agent has used before its turn is over. At the end of a turn codex tells them itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from codex_runner.domain.attempt_state import TURN_COMPLETED
from codex_runner.domain.claim import ClaimTakenError
from codex_runner.domain.errors import HostError
from codex_runner.domain.event import UsageSeen

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Agent, Transport
    from codex_runner.engine.recorder import Recorder

_INTERVAL = 5.0
_PATIENCE = 3.0


class Meter:
    """The meter of one attempt, the recorder's last one."""

    def __init__(self, job: Job, run_id: str, recorder: Recorder, transport: Transport, agent: Agent) -> None:
        """Nothing is read yet."""
        budget = job.budget
        bounds = (budget.tokens, budget.input_tokens, budget.output_tokens, budget.money)
        self._bounded = any(bound is not None for bound in bounds)
        self._run_id, self._recorder, self._transport, self._agent = run_id, recorder, transport, agent
        self._last = time.monotonic()
        self._reading: asyncio.Task[None] | None = None

    def tick(self, now: float) -> None:
        """Begin another reading where a limit depends on it, and one is due. `now` is of the monotonic clock."""
        if self._bounded and now - self._last >= _INTERVAL and (self._reading is None or self._reading.done()):
            self._last = now
            self._reading = asyncio.create_task(self._read())

    async def finish(self) -> None:
        """Read for the last time: whoever was ended has told nothing."""
        await self.stop()
        await self._read()

    async def stop(self) -> None:
        """Leave no reading behind."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self) -> None:
        attempt = self._recorder.state.attempts[-1]
        if attempt.thread_id is None or attempt.turn == TURN_COMPLETED:
            return
        usage = None
        with contextlib.suppress(HostError, TimeoutError, ClaimTakenError):  # `follow` tells of the last one
            async with asyncio.timeout(_PATIENCE):
                usage = await self._agent.read_usage(self._transport, self._run_id, attempt.thread_id)
        if usage is not None and usage.total > attempt.usage.total and attempt.turn != TURN_COMPLETED:
            self._recorder.emit(UsageSeen(usage))
