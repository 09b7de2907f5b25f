"""Secrets that a run learns beside its job's own, and which of them a runner that attaches does not need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from codex_runner.redaction.leak_search import plain

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.recorder import Recorder


class LoginSecrets:
    """The secrets of a login. The runner revokes it before codex starts, so no runner needs them to attach."""

    def __init__(self, job: Job, recorder: Recorder) -> None:
        """There are none yet."""
        self._job, self._recorder = job, recorder
        self._own = job.credential.environment_variable if job.credential is not None else None
        self._of_login: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of all secrets that a runner needs to attach to the run."""
        return sorted(self._recorder.redactor.names - self._of_login)

    @property
    def _said(self) -> bytes:
        return json.dumps([self._job.name, self._recorder.state.facts.get("job")]).encode()

    def learn(self, secret: Secret) -> None:
        """Redact this secret from now on: the credential itself, or one that the login needs."""
        redactor = self._recorder.redactor
        known = secret.name in redactor.names
        self._recorder.learn(secret)
        if known or secret.name == self._own:
            return
        self._of_login.add(secret.name)
        # The runner's own messages may contain a password that is a plain word: that is no leak.
        redactor.spare(plain({secret.name: secret}, self._said, redactor))

    def go_on(self) -> None:
        """Exempt parts of secrets that the run's configuration shows from the search, as the first runner did."""
        self._recorder.redactor.pass_over(self._said)
