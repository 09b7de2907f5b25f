"""What lets a run in: the place of its job's group, and what its workflow may still spend today."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import NO_BUDGET
from codex_runner.engine.budget import cost

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Account, Group
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping


class Admission:
    """Lets one run in, and out again."""

    def __init__(  # noqa: PLR0913 - what a run is let in by
        self,
        job: Job,
        run_id: str,
        recorder: Recorder,
        stopping: Stopping,
        *,
        group: Group | None = None,
        account: Account | None = None,
    ) -> None:
        """Nothing is taken yet. A `group` and an `account` are there if the job has them."""
        self._job, self._run_id = job, run_id
        self._recorder, self._stopping = recorder, stopping
        self._group, self._account = group, account
        self._reserved = False

    async def enter(self) -> str | None:
        """Take the group's place and set aside what the run may spend; return why the run is to be skipped, or None.

        LockedError and BudgetSpentError where it is refused.
        """
        if self._job.budget.unlimited:
            self._recorder.warn(NO_BUDGET, "The job has no `budget`: nothing bounds what the model may cost.")
        if (taken := await self._take_place()) is not None:
            return taken
        account, budget = self._account, self._job.budget
        if account is not None and budget.tokens_per_day is not None:
            now = time.time()
            until = now + self._job.limits.timeout + self._job.limits.orphan
            await asyncio.to_thread(
                account.reserve, self._run_id, budget.tokens or 0, now=now, until=until, limit=budget.tokens_per_day
            )
            self._reserved = True
        return None

    async def enter_again(self) -> None:
        """Take the place that the runner before lost when it died. Where it is taken, the agent runs all the same."""
        if (taken := await self._take_place()) is not None:
            self._recorder.warn("group-taken", f"{taken} This run goes on beside it.")

    def charge(self, *, final: bool = False) -> None:
        """Enter what the run has come to. A ledger that cannot be written does not change what the agent did."""
        account, state = self._account, self._recorder.state
        if account is None or state.verdict is not None or not (self._reserved or state.attempts):
            return
        try:
            money = cost(state.usage, self._job.price)
            # What codex did not count may be all that the job may use.
            tokens = max(state.usage.total, (self._job.budget.tokens or 0) if state.uncounted else 0)
            account.charge(self._run_id, tokens, now=state.started, money=money, final=final)
        except RunnerError as error:
            self._recorder.warn("ledger", f"What the run has spent was not entered: {error.message}")

    def leave(self) -> None:
        """Let the next run in."""
        if self._group is not None:
            self._group.leave()

    async def _take_place(self) -> str | None:
        if self._group is None:
            return None
        return await self._stopping.unless_stopped(self._group.enter(self._recorder.warn))
