"""Proves that the job can run, and asks again while the model service is unreachable."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ModelServiceError, RunnerError
from codex_runner.domain.event import Guarded
from codex_runner.engine.retry import GiveUp, decide
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Prepared
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder


class Proof:
    """The proof of a job's credential and of its sandbox, before any cost."""

    def __init__(self, transport: Transport, recorder: Recorder) -> None:
        """Ask nothing yet."""
        self._transport, self._recorder = transport, recorder
        self._random = random.Random()  # noqa: S311 - spreads retries, protects nothing

    async def of(self, prepared: Prepared, job: Job, run_id: str, granted: Granted) -> Mapping[str, Any]:
        """Prove the credential (`Prepared.log_in`) and the sandbox (`Prepared.prove`). Returns the facts of both.

        On this machine both run at the same time; on another host a second session costs more than it saves. Records
        the sandbox's events after the credential's. Records none of the sandbox if the credential is refused.
        """
        if not job.host.is_here:
            logged_in = await self._log_in(prepared, job, granted)
            return {**logged_in, **await prepared.prove(job, run_id, self._transport, self._recorder.emit)}
        told: list[Event] = []
        proving = asyncio.ensure_future(prepared.prove(job, run_id, self._transport, told.append))
        try:
            logged_in = await self._log_in(prepared, job, granted)
            await asyncio.wait({proving})
            for event in told:
                self._recorder.emit(event)
            return {**logged_in, **proving.result()}
        except RunnerError:
            await asyncio.wait({proving})  # a sandbox that is killed leaves its mount points
            raise
        finally:
            proving.cancel()
            await asyncio.gather(proving, return_exceptions=True)

    async def _log_in(self, prepared: Prepared, job: Job, granted: Granted) -> Mapping[str, Any]:
        """Ask again by the job's retry policy. Raises ModelServiceError once no try is left.

        Records a failed guard only if no later try follows.
        """
        began, tries = time.monotonic(), 0
        while True:
            refused: list[Guarded] = []
            tries += 1
            try:
                return await prepared.log_in(job, self._transport, granted, self._hold(refused))
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
