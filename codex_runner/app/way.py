"""A run's way to its host: the transport, its claim, and the receiver of its warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.claim import own_claim
from codex_runner.app.hosts import transport_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.job import Job
    from codex_runner.transports.ahead import AskedAhead


class Way:
    """Begins to connect at once, before other parts of a run are loaded: a caller may make it first.

    `tell` gets each warning of the connection: the invocation's `complain`, until there is a recorder.
    """

    def __init__(self, job: Job, run_id: str, invocation: Invocation, ahead: AskedAhead | None = None) -> None:
        """Begin to connect. The caller must close the transport. `ahead` is what this machine was asked already."""
        self.tell: Callable[[str, str], None] = lambda _code, message: invocation.complain(message)
        self.claim = own_claim(run_id, invocation.environ)
        self.transport = transport_for(
            job.host,
            invocation.environ,
            reconnect=job.limits.reconnect,
            ssh_config=invocation.ssh_config,
            hidden=invocation.hidden_from_host(job),
            given=invocation.given_to(job.host),
            tell=lambda code, message: self.tell(code, message),  # noqa: PLW0108 - it changes
            at_once=True,
            claim=self.claim,
            ahead=ahead,
        )
        self.transport.name_run(run_id)
