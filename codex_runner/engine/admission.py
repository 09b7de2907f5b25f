"""Admission of a run: the lock of its job's group, and the tokens that its workflow may still spend today."""

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
    """Admits one run: acquires the lock and reserves tokens, and releases both at the end."""

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
        """Acquire nothing yet. `group` and `account` are given if the job has them."""
        self._job, self._run_id = job, run_id
        self._recorder, self._stopping = recorder, stopping
        self._group, self._account = group, account
        self._reserved = False

    async def enter(self) -> str | None:
        """Acquire the group's lock and reserve the run's tokens. Returns None, or the reason to skip the run.

        Raises LockedError if the lock is refused, BudgetSpentError if the day's tokens do not suffice.
        """
        if self._job.budget.unlimited:
            self._recorder.warn(
                NO_BUDGET,
                "The job has no `budget`: nothing limits what the model may cost. Set one, such as "
                "`budget = { tokens = 500_000 }`.",
            )
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
        """Acquire the lock again: the earlier runner lost it when it died.

        If another run holds it, this run continues with a warning, since its agent is running already.
        """
        if (taken := await self._take_place()) is not None:
            self._recorder.warn("group-taken", f"{taken} This run continues beside it.")

    def charge(self, *, final: bool = False) -> None:
        """Charge the tokens and the money that the run has used. A ledger that cannot be written is a warning only."""
        account, state = self._account, self._recorder.state
        if account is None or state.verdict is not None or not (self._reserved or state.attempts):
            return
        try:
            money = cost(state.usage, self._job.price)
            # codex did not count a turn: charge the whole budget, since the turn may have used it up.
            tokens = max(state.usage.total, (self._job.budget.tokens or 0) if state.uncounted else 0)
            account.charge(self._run_id, tokens, now=state.started, money=money, final=final)
        except RunnerError as error:
            self._recorder.warn("ledger", f"The run's tokens were not charged to the ledger: {error.message}")

    def leave(self) -> None:
        """Release the lock. Idempotent."""
        if self._group is not None:
            self._group.leave()

    async def _take_place(self) -> str | None:
        if self._group is None:
            return None
        return await self._stopping.unless_stopped(self._group.enter(self._recorder.warn))
