"""A run's way to its host: the transport, its claim, and the receiver of its warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.claim import own_claim
from codex_runner.app.hosts import transport_for
from codex_runner.app.secret_places import named_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.job import Job


class Way:
    """Begins to connect at once, before other parts of a run are loaded: a caller may make it first.

    `tell` gets each warning of the connection: the invocation's `complain`, until there is a recorder.
    """

    def __init__(self, job: Job, run_id: str, invocation: Invocation) -> None:
        """Begin to connect. The caller must close the transport."""
        self.tell: Callable[[str, str], None] = lambda _code, message: invocation.complain(message)
        self.claim = own_claim(run_id, invocation.environ)
        # Checks run what the agent may have written: they get no variable that is known to hold a secret.
        self.transport = transport_for(
            job.host,
            invocation.environ,
            reconnect=job.limits.reconnect,
            ssh_config=invocation.ssh_config,
            hidden=invocation.secret_names | named_secrets([job], invocation.vault, invocation.notify),
            given=invocation.given_to(job.host),
            tell=lambda code, message: self.tell(code, message),  # noqa: PLW0108 - it changes
            at_once=True,
            claim=self.claim,
        )
        self.transport.name_run(run_id)
