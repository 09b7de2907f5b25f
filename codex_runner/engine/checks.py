"""What must hold once the agent has done its turn: the reply's shape, and the job's own checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.event import CheckEnded, CheckStarted
from codex_runner.domain.job import RULES, SCHEMA

if TYPE_CHECKING:
    from codex_runner.domain.job import Check, Job
    from codex_runner.engine.runner import Outfit

_TAIL = 64 * 1024  # bytes


def names(job: Job) -> list[str]:
    """Return the names of all that will be checked, in their order."""
    schema = [SCHEMA] if job.output_schema is not None else []
    return [*([RULES] if job.rules.any else []), *schema, *(check.name for check in job.checks)]


class Checks:
    """The checks of one run."""

    def __init__(self, job: Job, outfit: Outfit) -> None:
        """The reply's schema is the outfit's, where the job has one."""
        self._job, self._outfit = job, outfit
        self._recorder, self._stopping = outfit.recorder, outfit.stopping

    async def run(self) -> None:
        """Check whatever another runner has not checked already, and record what came of it."""
        done = self._recorder.state.checks
        if SCHEMA in names(self._job) and SCHEMA not in done:
            self._check_reply()
        for check in self._job.checks:
            if check.name not in done:
                await self._stopping.unless_stopped(self._run(check))

    def _check_reply(self) -> None:
        if self._outfit.schema is None:
            return
        problems = self._outfit.schema.problems(self._recorder.state.reply or "")
        self._recorder.emit(CheckEnded(SCHEMA, not problems, int(bool(problems)), 0.0, "\n".join(problems)))

    async def _run(self, check: Check) -> None:
        self._recorder.emit(CheckStarted(check.name, check.run))
        done = await self._outfit.transport.execute(check.run, cwd=self._job.cwd, timeout=check.timeout)
        # Redacted before it is cut: a cut could halve a secret and hide it from the redactor.
        output = self._recorder.redactor(done.output)[-_TAIL:].decode("utf-8", "replace")
        self._recorder.emit(CheckEnded(check.name, done.exit_code == 0, done.exit_code, done.seconds, output))
