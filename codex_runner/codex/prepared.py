"""The result of the preflight: a codex, and everything that its start needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex_runner.codex import command, project
from codex_runner.codex.preflight import check_login
from codex_runner.codex.sandbox_proof import prove
from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.codex.survey import Survey
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Install, Launch
    from codex_runner.domain.job import Instructions, Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.transport_port import Transport


@dataclass(frozen=True, slots=True)
class PreparedCodex:
    """Implements ports.Prepared. `hidden` and `kept`: see Codex."""

    install: Install
    survey: Survey
    mode: Instructions
    environment: Mapping[str, str | Secret]
    hidden: Sequence[str]
    kept: Sequence[str]
    facts: Mapping[str, Any]

    async def log_in(
        self, job: Job, transport: Transport, granted: Granted, tell: Callable[[Event], None]
    ) -> Mapping[str, Any]:
        """See Prepared.log_in."""
        return {"preflight": await check_login(job, transport, self.install, granted, tell)}

    async def prove(
        self, job: Job, run_id: str, transport: Transport, tell: Callable[[Event], None]
    ) -> Mapping[str, Any]:
        """See Prepared.prove."""
        config = command.config(
            job, run_id, 1, self.install, survey=self.survey, mode=self.mode, hidden=self.hidden, kept=self.kept
        )
        handed = await prove(job, run_id, self.install, self.survey, command.toml(config), transport, tell)
        skills = [
            {"path": self.survey.shown(path), "sha256": digest}
            for digest, _, path in (line.partition(" ") for line in handed)
        ]
        return {"instructions": {**project.facts(self.survey, job, self.mode), "skills": skills}}

    def launch(
        self, job: Job, run_id: str, attempt: int, resume: str | None = None, prompt: str | None = None
    ) -> Launch:
        """See Prepared.launch."""
        return command.launch(
            job,
            run_id,
            attempt,
            self.install,
            self.environment,
            survey=self.survey,
            mode=self.mode,
            hidden=self.hidden,
            kept=self.kept,
            resume=resume,
            told=prompt,
        )
