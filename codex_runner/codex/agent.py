"""The engine's Agent, and it is codex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.codex import events, failures, outside, project
from codex_runner.codex.permissions import check_settings
from codex_runner.codex.permissions import granted as granted_rules
from codex_runner.codex.preflight import check_features, look
from codex_runner.codex.prepared import PreparedCodex
from codex_runner.codex.question import question
from codex_runner.codex.rollout import has_reply, last_usage, read_rollout
from codex_runner.codex.unproven import require_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.outside import OutsidePath
    from codex_runner.domain.run import Ending, ProcessExit, Usage
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.proposal import Proposal


class Codex:
    """Implements ports.Agent. It keeps nothing between two calls."""

    def __init__(  # noqa: PLR0913 - what it must know of a run
        self,
        *,
        expect_message: bool = True,
        sandboxed: bool = True,
        fallback: str | None = None,
        hidden: Sequence[str] = (),
        kept: Sequence[str] = (),
        places: Sequence[OutsidePath] = (),
        proposal: Proposal | None = None,
    ) -> None:
        """`fallback` is a codex to use if the job names none and PATH has none.

        `hidden` are paths on the host that the agent must not read, and `kept` those that it must not write. It must
        not write `places` either, if they lie in a folder that it may write. `proposal` is the pull or merge request
        that the pipeline works on. `sandboxed` is False if the job has no sandbox that could fail.
        """
        self._fallback, self._proposal, self._places = fallback, proposal, tuple(places)
        self._hidden, self._kept = tuple(hidden), tuple(kept)
        self._expect_message, self._sandboxed = expect_message, sandboxed

    async def prepare(
        self, job: Job, transport: Transport, granted: Granted, tell: Callable[[Event], None]
    ) -> PreparedCodex:
        """See Agent.prepare."""
        check_settings(job)
        asked = question(job, granted.kind, fallback=self._fallback, proposal=self._proposal, places=self._places)
        install, survey = await look(transport, job, asked)
        mode = project.chosen(job, self._proposal)
        outside.check(install.outside)
        check_features(job, install)
        require_proof(job, install)
        for doubt in project.doubts(survey, job, mode, self._proposal):
            tell(doubt)
        mode = project.effective(mode, survey)
        facts = {
            "codex": {"path": install.path, "version": install.version},
            "model": job.codex.model or job.codex.config.get("model"),
            "sandbox": job.sandbox.value,
            "permissions": {**granted_rules(job), "kept": outside.kept(install.outside)},
            "instructions": project.facts(survey, job, mode),
        }
        return PreparedCodex(install, survey, mode, granted.environment, self._hidden, self._kept, facts)

    def parse(self, line: bytes) -> Event:
        """See Agent.parse."""
        return events.parse(line)

    def parse_truncated(self, head: bytes, tail: bytes, size: int, *, whole: bool) -> Event:
        """See Agent.parse_truncated."""
        return events.parse_truncated(head, tail, size, whole=whole)

    def parse_diagnostic(self, line: bytes) -> Event | None:
        """See Agent.parse_diagnostic."""
        return events.parse_diagnostic(line)

    async def read_usage(self, transport: Transport, run_id: str, thread_id: str) -> Usage | None:
        """See Agent.read_usage."""
        return await last_usage(transport, run_id, thread_id, timeout=10)

    async def has_reply(self, transport: Transport, run_id: str, thread_id: str) -> bool | None:
        """See Agent.has_reply."""
        return await has_reply(transport, run_id, thread_id, timeout=25)

    async def read_rollout(self, transport: Transport, run_id: str) -> bytes:
        """See Agent.read_rollout."""
        return await read_rollout(transport, run_id)

    def judge(self, attempt: Attempt, exit_: ProcessExit, stderr_tail: str) -> Ending:
        """See Agent.judge."""
        return failures.judge(
            attempt, exit_, stderr_tail, expect_message=self._expect_message, sandboxed=self._sandboxed
        )
