"""Token meter: reads the tokens used before a turn ends. At the turn's end codex prints them itself."""

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
    from codex_runner.domain.ports import Agent
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder

_INTERVAL = 5.0
_PATIENCE = 3.0


class Meter:
    """The meter of one attempt, the recorder's last one."""

    def __init__(self, job: Job, run_id: str, recorder: Recorder, transport: Transport, agent: Agent) -> None:
        """Read nothing yet."""
        budget = job.budget
        bounds = (budget.tokens, budget.input_tokens, budget.output_tokens, budget.money)
        self._bounded = any(bound is not None for bound in bounds)
        self._run_id, self._recorder, self._transport, self._agent = run_id, recorder, transport, agent
        self._last = time.monotonic()
        self._reading: asyncio.Task[None] | None = None

    def tick(self, now: float) -> None:
        """Start a reading if one is due and the budget limits tokens or money. `now` is of the monotonic clock."""
        if self._bounded and now - self._last >= _INTERVAL and (self._reading is None or self._reading.done()):
            self._last = now
            self._reading = asyncio.create_task(self._read())

    async def finish(self) -> None:
        """Read for the last time: a codex that was ended has printed no tokens."""
        await self.stop()
        await self._read()

    async def stop(self) -> None:
        """Cancel a reading that is under way. Idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self) -> None:
        attempt = self._recorder.state.attempts[-1]
        if attempt.thread_id is None or attempt.turn == TURN_COMPLETED:
            return
        usage = None
        with contextlib.suppress(HostError, TimeoutError, ClaimTakenError):  # `follow` raises ClaimTakenError itself
            async with asyncio.timeout(_PATIENCE):
                usage = await self._agent.read_usage(self._transport, self._run_id, attempt.thread_id)
        if usage is not None and usage.total > attempt.usage.total and attempt.turn != TURN_COMPLETED:
            self._recorder.emit(UsageSeen(usage))
