"""Lease of a run: renew its claim while the run goes on, and hand over once another runner has taken it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from codex_runner.domain.claim import TAKEN_OVER, ClaimTakenError
from codex_runner.domain.errors import LeakError, RunnerError, TakenOverError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import StopReason, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from codex_runner.domain.claim import Holder
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping

T = TypeVar("T")


class Keeping:
    """The claim of one run, while this runner holds it."""

    def __init__(self, recorder: Recorder, stopping: Stopping, transport: Transport, renewal: float) -> None:
        """`renewal` is the seconds between two renewals of the claim."""
        self._recorder, self._stopping = recorder, stopping
        self._transport, self._renewal = transport, renewal

    async def during(
        self,
        work: Coroutine[None, None, T],
        search: Callable[[Verdict], Awaitable[Verdict]],
        leave: Callable[[], None],
    ) -> T:
        """Await `work` and return its result; renew the run's claim meanwhile. A renewal also tells of a cancel.

        Once another runner has taken the claim, cancel `work`, start and report nothing more, let `search` look for
        secrets in the log, and close it. Then raises TakenOverError, or LeakError if `search` found one.
        """
        working = asyncio.ensure_future(work)
        keeping = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                keeping.result()
            return await working
        except ClaimTakenError as taken:
            holder = taken.holder
        finally:
            for each in (working, keeping):
                each.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)
        raise await self._hand_over(holder, search, leave)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            with contextlib.suppress(RunnerError, OSError):  # the other calls of the run report a host that fails
                if await self._transport.renew():
                    self._stopping.request(StopReason.CANCELLED)

    async def _hand_over(
        self, holder: Holder, search: Callable[[Verdict], Awaitable[Verdict]], leave: Callable[[], None]
    ) -> RunnerError:
        recorder = self._recorder
        told = f"{recorder.state.run_id} was taken over by {holder}"
        with contextlib.suppress(RunnerError):
            recorder.warn(TAKEN_OVER, f"{told}.")
        verdict = await search(Verdict(ExitCode.HOST, told))
        leave()
        with contextlib.suppress(RunnerError):
            recorder.close()
        if verdict.failure is Failure.LEAK:
            return LeakError(f"{verdict.reason}.", remedy=verdict.remedy)
        return TakenOverError(f"{told}.")


def is_judged(taken: ClaimTakenError, state: RunState) -> bool:
    """Whether a run that is gone from its host counts as judged by another runner.

    If no other runner is known and the last attempt failed, a person may have removed the run by hand.
    """
    attempt = state.attempt
    known = taken.holder.number is not None or taken.holder.process is not None
    return known or attempt is None or attempt.ending is None or attempt.ending.failure is None


@contextlib.contextmanager
def best_effort() -> Iterator[None]:
    """Suppress every exception except ClaimTakenError."""
    try:
        yield
    except ClaimTakenError:
        raise
    except Exception:  # noqa: BLE001, S110 - the purpose of this function
        pass
