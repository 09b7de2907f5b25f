"""Preflight with retries: proves that the job can run, and asks again while the model service is unreachable."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ModelServiceError
from codex_runner.domain.event import Guarded
from codex_runner.engine.retry import GiveUp, decide
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Agent, Prepared
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder


class Proof:
    """The check of codex and its token before any cost, repeated by the job's retry policy."""

    def __init__(self, agent: Agent, transport: Transport, recorder: Recorder) -> None:
        """Ask nothing yet."""
        self._agent, self._transport, self._recorder = agent, transport, recorder
        self._random = random.Random()  # noqa: S311 - spreads retries, protects nothing

    async def of(self, job: Job, granted: Granted) -> Prepared:
        """Prepare the agent (`Agent.prepare`). Raises ModelServiceError once no try is left.

        Records a failed guard only if no later try follows.
        """
        began, tries = time.monotonic(), 0
        while True:
            refused: list[Guarded] = []
            tries += 1
            try:
                return await self._agent.prepare(job, self._transport, granted, self._hold(refused))
            except ModelServiceError as error:
                pause = self._pause(job, error, tries, time.monotonic() - began)
                if pause is None:
                    raise
                refused.clear()
                again = (
                    f"{error.message} Asking again in {format_duration(pause)} (try {tries} of {job.retry.attempts})."
                )
                self._recorder.warn("retry", again)
            finally:
                for guard in refused:
                    self._recorder.emit(guard)
            await asyncio.sleep(pause)

    def _hold(self, refused: list[Guarded]) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            if isinstance(event, Guarded) and event.failed:
                refused.append(event)
            else:
                self._recorder.emit(event)

        return tell

    def _pause(self, job: Job, error: ModelServiceError, tries: int, elapsed: float) -> float | None:
        """Return the seconds to wait before the next try. Returns None, and warns of the reason, if there is none."""
        decision = decide(
            job.retry,
            error.failure,
            error.message,
            attempt=tries,
            elapsed=elapsed,
            deadline=job.limits.timeout,
            rng=self._random,
            now=dt.datetime.now().astimezone(),
        )
        if not isinstance(decision, GiveUp):
            return decision.seconds
        if job.retry.attempts > 1:
            self._recorder.warn("no-retry", decision.reason)
        return None
