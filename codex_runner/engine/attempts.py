"""Retries of codex: starts it, and starts it again until the agent has done its turn or a retry cannot help."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import itertools
import random
import time
from typing import TYPE_CHECKING

from codex_runner.domain.cancellation import RunCancelledError
from codex_runner.domain.errors import HostError, RunGoneError, RunnerError, UnreachableError
from codex_runner.domain.event import AttemptEnded, AttemptStarted, Retrying
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, StopReason
from codex_runner.domain.workspace import Workspace
from codex_runner.engine.attempt import AttemptFollower, end_unseen, sweep_guard
from codex_runner.engine.ending import stop_ending, unreached_ending
from codex_runner.engine.recall import to_lines
from codex_runner.engine.retry import GiveUp, decide
from codex_runner.engine.workspace import placed
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.event import Record
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Agent, Prepared, Reports, Workspaces
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping

# Seconds. If the earlier runner was killed while it handed an attempt over, the host has it after this time, or never.
_BIRTH = 2.0


class Attempts:
    """The attempts of one run, in sequence."""

    def __init__(  # noqa: PLR0913 - what attempts consist of
        self,
        job: Job,
        run_id: str,
        recorder: Recorder,
        stopping: Stopping,
        *,
        transport: Transport,
        agent: Agent,
        prepared: Prepared | None,
        reports: Reports,
        workspaces: Workspaces | None = None,
        later: Sequence[Sequence[Record]] = (),
    ) -> None:
        """Continue from the recorder's state. `later`: see RunContext.

        `prepared` is None if this runner has attached to the run: then it starts no attempt.
        """
        self._planned, self._run_id = job, run_id
        self._recorder, self._stopping = recorder, stopping
        self._transport, self._agent, self._prepared = transport, agent, prepared
        self._reports, self._workspaces, self._later = reports, workspaces, later
        self._random = random.Random()  # noqa: S311 - spreads retries, protects nothing

    @property
    def _is_attached(self) -> bool:
        return self._prepared is None

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    @property
    def _job(self) -> Job:
        return placed(self._planned, self._state)

    async def until_done(self) -> Ending:
        """Run attempts until the agent has done its turn, or a retry cannot help. Returns the last ending."""
        ending = await self._first()
        for records in self._later:
            for record in records:  # with the time of now: the runner has only just read what codex wrote before it
                self._recorder.emit(record.event)
            ending = await self._follow()
        return await self._retry_failed(ending)

    async def another_turn(self, prompt: str, reason: str) -> Ending:
        """Give the thread another turn, with retries as in `until_done`. Returns the last ending."""
        number = len(self._state.attempts) + 1
        reason = f"{reason}; the thread goes on"
        self._recorder.emit(Retrying(number, 0.0, True, reason))
        return await self._retry_failed(
            await self._start(number, resume=self._state.thread_id, prompt=prompt, reason=reason)
        )

    def can_go_on(self) -> str | None:
        """Returns None if the thread can have another turn, otherwise the reason against it."""
        left = self._job.limits.timeout - (self._recorder.clock.now() - self._state.attempts[0].started)
        if self._is_attached:
            return "this runner attached to the run, and so does not start codex again"
        if self._state.thread_id is None:
            return "codex named no thread to resume"
        if left < self._job.retry.least:
            return f"only {format_duration(left)} are left"
        return None

    async def _retry_failed(self, ending: Ending) -> Ending:
        while ending.failure is not None and (again := self._again(ending)) is not None:
            self._recorder.emit(again)
            await self._stopping.unless_stopped(asyncio.sleep(again.seconds))
            if not again.resume and not await self._put_back():
                return ending
            ending = await self._start(
                again.number, resume=self._state.thread_id if again.resume else None, reason=again.reason
            )
        return ending

    def _again(self, ending: Ending) -> Retrying | None:
        """Decide on a retry. Returns None if there is none; warns of the reason if a retry might have helped."""
        attempt = self._state.attempt
        if ending.failure is None or attempt is None or self._stopping.stop is not None:
            return None
        if attempt.out_of_reach and attempt.stop is not None:  # codex may still run although the runner told it to end
            return None
        decision = decide(
            self._job.retry,
            ending.failure,
            ending.message,
            attempt=self._in_a_row(),
            elapsed=self._recorder.clock.now() - self._state.attempts[0].started,
            deadline=self._job.limits.timeout,
            rng=self._random,
            now=dt.datetime.now().astimezone(),
            own_retries=sum(each.own_retries for each in self._state.attempts),
        )
        if isinstance(decision, GiveUp):
            if decision.might_pass and self._job.retry.attempts > 1:
                self._recorder.warn("no-retry", decision.reason)
            return None
        if self._is_attached:
            self._recorder.warn(
                "no-retry", "This runner attached to the run, and so does not retry it. Start the job again."
            )
            return None
        resume = decision.resume and self._state.thread_id is not None
        how = "the thread goes on" if resume else f"{self._fresh}: there is no thread to resume"
        return Retrying(attempt.number + 1, decision.seconds, resume, f"{decision.reason}; {how}")

    def _in_a_row(self) -> int:
        """Count the failed attempts since the agent last did its turn."""
        failed = itertools.takewhile(lambda each: each.ending and each.ending.failure, reversed(self._state.attempts))
        return sum(1 for _ in failed)

    @property
    def _fresh(self) -> str:
        made = self._state.workspace
        where = f"put back to commit {made.commit[:12]}" if made else "as it is"
        return f"a fresh start, in the workspace {where}"

    async def _put_back(self) -> bool:
        """Reset a workspace that the runner made for this run; leave any other as it is.

        Returns False if that fails: a process of the agent may still work in it, or the host has failed.
        """
        made, attempt = self._state.workspace, self._state.attempts[-1]
        if made is None or self._workspaces is None:
            return True
        problem = "the host did not confirm that the agent's processes are gone."
        # The attempt's exit, which the supervisor writes, is that confirmation.
        if attempt.exit or await end_unseen(self._transport, self._run_id, attempt.number, StopReason.LOST):
            workspace = Workspace(made.path, made.cwd, made.commit)
            try:
                await self._stopping.unless_stopped(self._workspaces.reset(workspace, self._run_id))
            except HostError as error:
                problem = self._recorder.redactor.text(error.message)
            else:
                return True
        self._recorder.warn("no-retry", f"The workspace could not be reset, so there is no retry: {problem}")
        return False

    async def _first(self) -> Ending:
        """Start codex if there is no attempt yet; otherwise find out how the last attempt ends."""
        attempt = self._state.attempt
        if attempt is None:
            return await self._start(1)
        if attempt.ending is not None and not attempt.out_of_reach:
            return attempt.ending
        self._recorder.emit(AttemptStarted(attempt.number, attached=True, reason="attached by another runner"))
        return await self._follow()

    async def _start(
        self, number: int, *, resume: str | None = None, prompt: str | None = None, reason: str = ""
    ) -> Ending:
        """Start an attempt and follow it: it resumes the thread `resume`, or begins with the job's own prompt."""
        if self._prepared is None:
            # The record does not have the job's secrets, and they may have changed since.
            raise HostError(
                f"the runner of {self._run_id} ended before it started codex.", remedy="Start the job again."
            )
        launch = self._prepared.launch(self._job, self._run_id, number, resume, prompt)
        # Recorded before the start: if the runner dies in between, `attach` can explain the run.
        self._recorder.emit(AttemptStarted(number, reason=reason, thread_id=resume))
        launch = dataclasses.replace(launch, records=to_lines(self._recorder.take_between()))
        self._reports.begin(self._state)
        try:
            await self._transport.start(launch)
        except RunCancelledError:
            self._stopping.request(StopReason.CANCELLED)
            return self._end(stop_ending(StopReason.CANCELLED, "the run was cancelled before codex was started again"))
        except RunnerError as error:
            if error.exit_code is ExitCode.CONFIGURATION:
                return self._end_unstarted(Failure.STARTUP, error)
            # Perhaps only the answer was lost, and codex runs.
            exit_ = await end_unseen(self._transport, self._run_id, number, StopReason.LOST)
            if exit_ is None and isinstance(error, UnreachableError):
                return self._end_unreached(error)
            return self._end_unstarted(Failure.NEVER_STARTED, error)
        self._reports.prepare()
        return await self._follow()

    async def _follow(self) -> Ending:
        follower = AttemptFollower(
            self._job, self._run_id, self._recorder, self._transport, self._agent, self._stopping
        )
        patience = time.monotonic() + (_BIRTH if self._is_attached else 0)
        while True:
            try:
                return await follower.follow()
            except RunGoneError as error:
                begun = self._recorder.position.stdout or self._recorder.position.stderr
                if begun or time.monotonic() >= patience:
                    failure = Failure.NEVER_STARTED if self._is_attached and not begun else Failure.LOST
                    return self._end_unstarted(failure, error)
            except HostError as error:
                return self._end_unreached(error)
            await asyncio.sleep(_BIRTH / 10)

    def _end_unreached(self, error: HostError) -> Ending:
        self._recorder.emit(sweep_guard(None))
        attempt = self._state.attempts[-1]
        return self._end(unreached_ending(error.message, self._job, self._run_id, attempt, self._recorder.clock.now()))

    def _end_unstarted(self, failure: Failure, error: RunnerError) -> Ending:
        return self._end(Ending(failure, error.message, error.remedy))

    def _end(self, ending: Ending) -> Ending:
        clean = self._recorder.redactor.text
        ending = Ending(ending.failure, clean(ending.message), clean(ending.remedy))
        self._recorder.emit(AttemptEnded(self._state.attempts[-1].number, ending))
        return ending
