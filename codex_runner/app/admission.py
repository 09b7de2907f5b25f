"""Admission of a run: its concurrency group, and its workflow's budget for today."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from codex_runner.app.credentials import repository_of
from codex_runner.ci_systems import Pipeline
from codex_runner.domain.event import Warned
from codex_runner.engine.credential_rules import default_workflow
from codex_runner.locks import LockHolder, Taken, acquire
from codex_runner.transports.processes import birth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from codex_runner.domain.concurrency import Concurrency
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Account
    from codex_runner.locks import Held


class LockedGroup:
    """Implements ports.Group with a lock in the user's state folder."""

    def __init__(self, folder: Path, wanted: Concurrency, run_id: str) -> None:
        """Touches nothing before `enter`."""
        self._folder, self._wanted, self._run_id = folder, wanted, run_id
        self._held: Held | None = None

    async def enter(self, tell: Callable[[str, str], None]) -> str | None:
        """See Group.enter."""
        pid = os.getpid()
        me = LockHolder(self._run_id, pid, birth(pid) or "", time.time())
        entered = await acquire(self._folder, self._wanted, me, birth, lambda text: tell("group-wait", text))
        if isinstance(entered, Taken):
            return entered.message
        self._held = entered
        if entered.dead is not None:
            tell(
                "group-taken-over",
                f"The lock of the group {self._wanted.group!r} was held by {entered.dead}, which was killed. Its agent "
                f"may run until its orphan_timeout; `codex-runner attach {entered.dead.run_id}` fetches what it did.",
            )
        return None

    def leave(self) -> None:
        """See Group.leave."""
        if self._held is not None:
            self._held.release()


def account_of(job: Job, ledger: Path | None, environ: Mapping[str, str], state: Path) -> Account | None:
    """Return the account of the job's workflow: in `ledger`, or in the folder `state` if only a daily limit is set."""
    if ledger is None and job.budget.tokens_per_day is None:
        return None
    from codex_runner.ledger import Ledger, WorkflowAccount

    return WorkflowAccount(Ledger(ledger or state / "ledger.sqlite"), _workflow(job, environ))


def _workflow(job: Job, environ: Mapping[str, str]) -> str:
    """Return the workflow's name: the credential's, else one by the repository, else by the folder of the job."""
    if job.credential is not None and job.credential.workflow is not None:
        return job.credential.workflow
    here = job.cwd if job.host.is_here else "."
    return default_workflow(repository_of(here, environ) or f"{job.host}:{job.cwd}", job.name)


def doubts(job: Job, ledger: Path | None, environ: Mapping[str, str]) -> list[Warned]:
    """Return a warning if a daily limit is counted in a place that is removed with the machine after the job."""
    if job.budget.tokens_per_day is None or ledger is not None or not Pipeline(environ).is_disposable():
        return []
    return [
        Warned(
            "ledger",
            "budget.tokens_per_day is counted on this machine, which the CI system throws away after the job: set "
            "`ledger` to a file in a cached folder.",
        )
    ]
