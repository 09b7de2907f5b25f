"""Proofs of a new token: codex itself asks the service about it, and a real run takes one turn with it."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from codex_runner.app.compose import looking_agent, transport_to
from codex_runner.app.invocation import Invocation
from codex_runner.ci_systems import Pipeline
from codex_runner.codex.login import LoginAnswer, Said
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind, CredentialSource, Granted
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    HostError,
    ModelServiceError,
    QuotaError,
    RunnerError,
    SecretStoreError,
    TokenRefusedError,
)
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.job import Job, Limits
from codex_runner.domain.policy import RetryPolicy
from codex_runner.engine.retry import RetryIn, decide
from codex_runner.engine.stopping import Stopping
from codex_runner.text.dates import format_date
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from codex_runner.app.token_dates import Dates
    from codex_runner.app.token_target import Target
    from codex_runner.domain.event import Event
    from codex_runner.domain.run import StopReason
    from codex_runner.domain.secret import Secret

T = TypeVar("T")

CANARY: Final = "canary"
_CANARY_PROMPT: Final = (
    "This is a test of a new access token. Reply with the single word `ready`. Run no command, and change no file."
)
_CANARY_LIMITS: Final = Limits(timeout=120.0, stall=60.0, command=60.0, orphan=60.0)

_ERRORS: Final[Mapping[int, type[RunnerError]]] = {
    int(error.exit_code): error
    for error in (ConfigurationError, CredentialError, QuotaError, SecretStoreError, HostError, RunnerError)
}


class Follow(Protocol):
    """Runs a coroutine in an event loop; meanwhile a signal's reason goes to `request`."""

    def __call__(self, request: Callable[[StopReason], None], work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns."""
        ...


@dataclass(frozen=True, slots=True)
class Proofs:
    """Proves a token with the real codex on this machine.

    `scratch` is an empty folder of its own. `follow` runs a coroutine while signals ask its run to stop.
    """

    target: Target
    dates: Dates
    scratch: Path
    environ: Mapping[str, str]
    tell: Callable[[str], None]
    follow: Follow

    @property
    def job(self) -> Job:
        """One turn in an empty folder, read-only."""
        work = self.scratch / "work"
        work.mkdir(exist_ok=True)
        return Job(CANARY, _CANARY_PROMPT, str(work), limits=_CANARY_LIMITS, codex=self.target.codex)

    def preflight(self, secret: Secret) -> None:
        """Raise CredentialError if the service refuses the token. An API key passes: codex cannot ask about it."""
        kind = self.target.spec.kind
        if kind is not CredentialKind.ACCESS_TOKEN:
            self.tell(f"preflight: none; codex cannot check a {kind}")
            return
        began = time.monotonic()
        for tries in itertools.count(1):
            said = self.ask(secret)
            if said.answer is not LoginAnswer.OUT_OF_REACH:
                break
            pause = _pause(said, tries, time.monotonic() - began)
            if pause is None:
                raise ModelServiceError(
                    f"The new token could not be proven: the authentication service is out of reach: {said.words}. "
                    "Nothing was stored.",
                    failure=said.failure or Failure.NETWORK,
                    remedy="Check the connection to the service, and store the token again: it may be good.",
                )
            again = format_duration(pause)
            self.tell(f"preflight: the authentication service is out of reach ({said.words}); again in {again}")
            time.sleep(pause)
        if said.answer is LoginAnswer.REFUSED:
            raise TokenRefusedError(
                f"The new token was refused: codex login status: {said.words}. Nothing was stored.",
                remedy="Check that it was copied whole, who made it, and when it expires.",
            )
        if said.answer is LoginAnswer.UNKNOWN:
            raise CredentialError(
                f"It is unknown whether the new token is good: codex login status: {said.words}. Nothing was stored.",
                remedy="Check that it was copied whole: an access token begins with `at-` or is a JWT. For an API key, "
                'set `kind = "api_key"` in the job\'s credential, or give `--kind api_key`.',
            )
        self.tell(f"preflight: {said.words}")

    def ask(self, secret: Secret) -> Said:
        """Return what `codex login status` says of the token."""
        words: list[str] = []

        def on_event(event: Event) -> None:
            if event.kind == "guard":
                words.append(str(getattr(event, "message", "")).removeprefix("codex login status: "))

        try:
            asyncio.run(self._prepare(secret, on_event))  # noqa: TID251 - as hvac, the desk is synchronous
        except TokenRefusedError as error:
            return Said(LoginAnswer.REFUSED, words[-1] if words else error.message, Failure.CREDENTIAL)
        except ModelServiceError as error:
            return Said(LoginAnswer.OUT_OF_REACH, words[-1] if words else error.message, error.failure)
        except CredentialError as error:
            return Said(LoginAnswer.UNKNOWN, words[-1] if words else error.message, Failure.CREDENTIAL)
        return Said(LoginAnswer.TAKEN, words[-1]) if words else Said(LoginAnswer.UNKNOWN, "nothing", Failure.CREDENTIAL)

    async def _prepare(self, secret: Secret, on_event: Callable[[Event], None]) -> None:
        job, spec = self.job, self.target.spec
        surroundings = {**self.environ, "TMPDIR": str(self.scratch)}
        invocation = Invocation(surroundings, (), secret_names=frozenset({spec.environment_variable}))
        transport = transport_to(job.host, invocation)
        try:
            granted = Granted(spec.kind, {spec.environment_variable: secret})
            prepared = await looking_agent(job, {}).prepare(job, transport, granted, on_event)
            await prepared.log_in(job, transport, granted, on_event)
        finally:
            await transport.close()

    def canary(self, secret: Secret) -> None:
        """Run one turn with the token, as a job would. Raises an error if it does not succeed."""
        name = self.target.spec.environment_variable
        spec = replace(
            self.target.spec,
            source=CredentialSource.ENV,
            variable=name,
            expires_at=None if self.dates.expires is None else format_date(self.dates.expires),
            issued_at=None,
            allow_unexpiring=self.dates.expires is None,
            min_ttl=None,
            max_age=None,
        )
        from codex_runner.app.run import run_job

        began = time.monotonic()
        self.tell("canary: one turn of a real run with the new token")
        # The canary is no run of the pipeline: it has no place in the CI system's summary.
        invocation = Invocation({**Pipeline(self.environ).without_summary(), name: secret.reveal()}, ())
        stopping = Stopping()
        running = run_job(replace(self.job, credential=spec), self.scratch / "runs", invocation, stopping=stopping)
        _, state = self.follow(stopping.request, running)
        verdict = state.verdict
        if verdict is not None and verdict.exit_code == ExitCode.SUCCEEDED:
            self.tell(f"canary: succeeded in {format_duration(time.monotonic() - began)}, {state.usage.total:,} tokens")
            return
        if verdict is not None and verdict.exit_code in {ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP}:
            raise KeyboardInterrupt
        reason = verdict.reason if verdict else "it has no ending"
        message = f"The canary run with the new token failed: {reason} Nothing was stored."
        code = verdict.exit_code if verdict else 0
        if code in {ExitCode.MODEL_SERVICE, ExitCode.TIMEOUT, ExitCode.STALLED}:
            remedy = "The new token may be good, and the stored one stays in use: rotate again later."
            raise ModelServiceError(message, failure=Failure.NETWORK, remedy=remedy)
        raise _ERRORS.get(code, CredentialError)(
            message, remedy="The stored token stays in use. Repair what failed, and rotate again."
        )


def _pause(said: Said, tries: int, elapsed: float) -> float | None:
    """Return the seconds after which to ask again, by a run's default retry policy. Returns None at its end."""
    decision = decide(
        RetryPolicy(),
        said.failure or Failure.NETWORK,
        said.words,
        attempt=tries,
        elapsed=elapsed,
        deadline=Limits().timeout,
        rng=random.Random(),  # noqa: S311 - spreads retries, protects nothing
        now=dt.datetime.now().astimezone(),
    )
    return decision.seconds if isinstance(decision, RetryIn) else None
