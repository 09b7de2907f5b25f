"""The flow of a run, from its first record to its reports."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import random
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ExitCode, HostError, RunnerError
from codex_runner.domain.event import (
    AttemptEnded,
    AttemptStarted,
    CheckEnded,
    CheckStarted,
    Guarded,
    Retrying,
    RunEnded,
    RunPrepared,
    RunStarted,
    build,
    to_json,
)
from codex_runner.domain.job import Job
from codex_runner.domain.run import Ending, Failure, StopReason, Verdict
from codex_runner.engine.attempt import AttemptFollower, end_unseen, sweep_guard
from codex_runner.engine.credential_rules import planned_guards
from codex_runner.engine.ending import stop_ending
from codex_runner.engine.retry import GiveUp, decide
from codex_runner.engine.stopping import Stopped, Stopping
from codex_runner.engine.verdict import judge_run
from codex_runner.engine.workspace import RULES, compare, is_watched, note

if TYPE_CHECKING:
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.job import Check
    from codex_runner.domain.ports import Agent, Artifacts, Credentials, Reports, Transport
    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder

_CHECK_TAIL = 64 * 1024

# A runner that was killed while it handed a job over: in so many seconds the host has taken it, or never will.
_BIRTH = 2.0


@dataclass(frozen=True, slots=True)
class Outfit:
    """Everything that a run works with; `wiring` puts it together."""

    transport: Transport
    credentials: Credentials
    agent: Agent
    artifacts: Artifacts
    reports: Reports
    recorder: Recorder
    stopping: Stopping


class Runner:
    """One run. Make it with `begin` or `resume`, then call `run`, once."""

    def __init__(self, job: Job, run_id: str, outfit: Outfit) -> None:
        """Take everything; do nothing yet."""
        self._job, self._run_id, self._outfit = job, run_id, outfit
        self._recorder, self._stopping = outfit.recorder, outfit.stopping
        self._given_back = False
        self._attached = False
        self._random = random.Random()  # noqa: S311 - spreads retries, protects nothing

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    async def run(self) -> RunState:
        """Go on from where the state stands to the verdict and the reports; never raises a RunnerError."""
        try:
            verdict = await self._to_verdict()
        except Stopped:
            verdict = self._stopped_verdict()
        except RunnerError as error:
            verdict = Verdict(error.exit_code, f"{error.message} {error.remedy}".strip())
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave an agent running, nor a run without reports
            verdict = self._own_failure(error)
        await self._let_go(verdict)
        self._conclude(verdict)
        try:
            self._recorder.close()
        finally:
            self._outfit.reports.write(self._state)
        return self._state

    async def _to_verdict(self) -> Verdict:
        if self._state.verdict is None:
            ending = await self._attempts()
            patch = await self._compare()
            if ending.failure is None:
                await self._check()
            await self._collect(patch)
            await self._give_back()
        return judge_run(self._job, self._state)

    # --- the agent ---------------------------------------------------------------------------------------------------

    async def _attempts(self) -> Ending:
        """Try until the agent has done its turn, or trying again cannot help."""
        ending = await self._attempt()
        while ending.failure is not None and (again := self._again(ending)) is not None:
            self._recorder.emit(again)
            await self._stopping.unless_stopped(asyncio.sleep(again.seconds))
            ending = await self._start(
                again.number, resume=self._state.thread_id if again.resume else None, reason=again.reason
            )
        return ending

    def _again(self, ending: Ending) -> Retrying | None:
        """Decide whether there is another attempt; where there might have been one, say why there is none."""
        attempt = self._state.attempt
        if ending.failure is None or attempt is None or self._stopping.stop is not None or not ending.failure.retried:
            return None
        if self._attached:
            self._recorder.warn("no-retry", "A run that was attached to is not tried again; start the job anew.")
            return None
        decision = decide(
            self._job.retry,
            ending.failure,
            ending.message,
            attempt=attempt.number,
            elapsed=time.time() - self._state.attempts[0].started,
            deadline=self._job.limits.timeout,
            rng=self._random,
            now=dt.datetime.now().astimezone(),
            own_retries=sum(each.own_retries for each in self._state.attempts),
        )
        if isinstance(decision, GiveUp):
            if self._job.retry.attempts > 1:
                self._recorder.warn("no-retry", decision.reason)
            return None
        resume = decision.resume and self._state.thread_id is not None
        how = (
            "the thread goes on"
            if resume
            else "a fresh start, in the workspace as it is: there is no thread to go on with"
        )
        return Retrying(attempt.number + 1, decision.seconds, resume, f"{decision.reason}; {how}")

    async def _attempt(self) -> Ending:
        attempt = self._state.attempt
        if not self._state.run_id:
            self._recorder.emit(
                RunStarted(self._run_id, self._job.name, self._job.host, planned(self._job, self._recorder))
            )
            await self._stopping.unless_stopped(self._prepare())
            return await self._start(1)
        if attempt is None:
            # Attaching starts nothing: the job's secrets are not in the record, and may be others by now.
            raise HostError(f"the runner of {self._run_id} was gone before codex was started.", remedy="Run it again.")
        if attempt.ending is not None:
            return attempt.ending
        self._attached = True
        self._recorder.emit(AttemptStarted(attempt.number, attached=True, reason="attached by another runner"))
        return await self._follow(attached=True)

    async def _prepare(self) -> None:
        """Borrow the credential and look at codex: what can be refused is refused here, before anything is spent."""
        granted = await self._borrow(self._state.started)
        facts, tree = await asyncio.gather(
            self._outfit.agent.prepare(self._job, self._outfit.transport, granted, self._recorder.emit),
            self._note(),
        )
        self._recorder.emit(
            RunPrepared(
                {
                    **facts,
                    "tree": tree,
                    "credential": to_json(granted.facts),
                    "secrets": sorted(self._recorder.redactor.names),
                }
            )
        )

    async def _note(self) -> dict[str, Any] | None:
        return await note(self._job, self._run_id, self._outfit.transport) if is_watched(self._job) else None

    async def _borrow(self, now: float) -> Granted:
        granted = await self._outfit.credentials.borrow(
            self._job, now=now, tell=self._recorder.emit, on_retry=lambda text: self._recorder.warn("retry", text)
        )
        for secret in granted.secrets:
            self._recorder.learn(secret)
        return granted

    async def _start(self, number: int, *, resume: str | None = None, reason: str = "") -> Ending:
        launch = self._outfit.agent.launch(self._job, self._run_id, number, resume)
        # On record before it happens: a runner that dies in between leaves a run that `attach` can explain.
        self._recorder.emit(AttemptStarted(number, reason=reason, thread_id=resume))
        self._outfit.reports.begin(self._state)
        try:
            await self._outfit.transport.start(launch)
        except RunnerError as error:
            if error.exit_code is ExitCode.CONFIGURATION:
                return self._end_unstarted(Failure.STARTUP, error)
            # It may be that only the answer was lost.
            await end_unseen(self._outfit.transport, self._run_id, number, StopReason.LOST)
            return self._end_unstarted(Failure.NEVER_STARTED, error)
        self._outfit.reports.prepare()
        return await self._follow()

    async def _follow(self, *, attached: bool = False) -> Ending:
        follower = AttemptFollower(
            self._job, self._run_id, self._recorder, self._outfit.transport, self._outfit.agent, self._stopping
        )
        patience = time.monotonic() + (_BIRTH if attached else 0)
        while True:
            try:
                return await follower.follow()
            except HostError as error:
                begun = self._recorder.position.stdout or self._recorder.position.stderr
                if begun or time.monotonic() >= patience:
                    failure = Failure.NEVER_STARTED if attached and not begun else Failure.TRANSPORT
                    return self._end_unstarted(failure, error)
            await asyncio.sleep(_BIRTH / 10)

    def _end_unstarted(self, failure: Failure, error: RunnerError) -> Ending:
        ending = Ending(failure, self._recorder.redactor.text(f"{error.message} {error.remedy}".strip()))
        self._recorder.emit(AttemptEnded(self._state.attempts[-1].number, ending))
        return ending

    # --- what must hold, and what is left ----------------------------------------------------------------------------

    async def _check(self) -> None:
        for check in self._job.checks:
            if check.name not in self._state.checks:
                await self._stopping.unless_stopped(self._run_check(check))

    async def _run_check(self, check: Check) -> None:
        self._recorder.emit(CheckStarted(check.name, check.run))
        done = await self._outfit.transport.execute(check.run, cwd=self._job.cwd, timeout=check.timeout)
        # Redacted before it is cut: a cut could halve a secret and hide it from the redactor.
        output = self._recorder.redactor(done.output)[-_CHECK_TAIL:].decode("utf-8", "replace")
        self._recorder.emit(CheckEnded(check.name, done.exit_code == 0, done.exit_code, done.seconds, output))

    async def _compare(self) -> bytes:
        """Let git say what the agent changed, before any check changes more; return the patch."""
        noted = self._state.facts.get("tree")
        if noted is None or self._state.changes is not None:
            return b""
        return await self._stopping.unless_stopped(compare(self._job, noted, self._outfit.transport, self._recorder))

    async def _collect(self, patch: bytes) -> None:
        if self._state.artifacts:
            return
        kept, left_out = await self._stopping.unless_stopped(
            self._outfit.artifacts.collect(self._job, self._state, patch)
        )
        for artifact in kept:
            self._recorder.emit(artifact)
        for sentence in left_out:
            self._recorder.warn("artifact", sentence)

    async def _give_back(self) -> None:
        self._given_back = True
        try:
            await self._outfit.transport.discard(self._run_id)
        except RunnerError as error:
            message = self._recorder.redactor.text(f"not removed: {error.message}")
            self._recorder.emit(Guarded("run directory", passed=False, message=message))

    async def _let_go(self, verdict: Verdict) -> None:
        """Leave nothing on the host, however the run came to its verdict."""
        attempt = self._state.attempt
        if attempt is None or self._given_back or self._state.verdict is not None:
            return
        # A failure in here must not hide the one that led here.
        with contextlib.suppress(Exception):
            if attempt.ending is None:
                exit_ = await end_unseen(self._outfit.transport, self._run_id, attempt.number, StopReason.TERMINATED)
                self._recorder.emit(sweep_guard(exit_))
                ending = Ending(verdict.failure or Failure.UNKNOWN, self._recorder.redactor.text(verdict.reason))
                self._recorder.emit(AttemptEnded(attempt.number, ending, exit_))
            # What codex wrote is nowhere else where the journal could not take it.
            if not self._recorder.broken:
                await self._give_back()

    def _conclude(self, verdict: Verdict) -> None:
        if self._state.verdict is not None:
            return
        reason = self._recorder.redactor.text(verdict.reason)
        event = RunEnded(int(verdict.exit_code), verdict.result, reason)
        try:
            self._recorder.emit(event)
        except RunnerError as error:
            reason = f"{reason}; and {error.message} {error.remedy}".strip()
            code = verdict.exit_code or error.exit_code
            self._recorder.emit(dataclasses.replace(event, exit_code=int(code), result="failed", reason=reason))

    def _own_failure(self, error: Exception) -> Verdict:
        """Say where it happened; the values at hand may be secret, so they are not shown."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return Verdict(ExitCode.INTERNAL, f"a bug in codex-runner: {type(error).__name__} at {where}")

    def _stopped_verdict(self) -> Verdict:
        stop = self._stopping.stop
        ending = stop_ending(stop.reason, stop.message) if stop else Ending(Failure.CANCELLED, "the run was cancelled")
        return Verdict(ending.exit_code, ending.message, ending.failure)


def planned(job: Job, recorder: Recorder) -> dict[str, Any]:
    """Return what the run was asked, for its first record: enough to attach, nothing secret."""
    shown = dataclasses.replace(job, codex=dataclasses.replace(job.codex, environment={}))
    facts = {
        "job": to_json(shown),
        "checks": [*([RULES] if job.rules.any else []), *(check.name for check in job.checks)],
        "guards": [*planned_guards(job.credential), "process sweep"],
        "secrets": sorted(recorder.redactor.names),
    }
    redacted: dict[str, Any] = json.loads(recorder.redactor.text(json.dumps(facts)))
    return redacted


def planned_job(state: RunState) -> Job:
    """Return the job that a run's first record tells of. Its secrets are not in it."""
    job: Job = build(Job, state.facts["job"])
    return job
