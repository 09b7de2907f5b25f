"""What a run learns of secrets beside its job's own, and which of them no leak is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from codex_runner.redaction.leak_search import plain

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.recorder import Recorder


class Lesson:
    """The secrets of a login: gone when it is given back, so nobody needs them to attach."""

    def __init__(self, job: Job, recorder: Recorder) -> None:
        """Learn nothing yet."""
        self._job, self._recorder = job, recorder
        self._own = job.credential.environment_variable if job.credential is not None else None
        self._of_login: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of all secrets that are needed to go on with the run."""
        return sorted(self._recorder.redactor.names - self._of_login)

    @property
    def _said(self) -> bytes:
        return json.dumps([self._job.name, self._recorder.state.facts.get("job")]).encode()

    def learn(self, secret: Secret) -> None:
        """Keep a secret out of everything from now on: the credential's own, or one that the login is made with."""
        redactor = self._recorder.redactor
        known = secret.name in redactor.names
        self._recorder.learn(secret)
        if known or secret.name == self._own:
            return
        self._of_login.add(secret.name)
        # A password that is a plain word stands in words of the runner's own.
        redactor.spare(plain({secret.name: secret}, self._said, redactor))

    def go_on(self) -> None:
        """Pass over what the run's configuration says, as its beginning did."""
        self._recorder.redactor.pass_over(self._said)
