"""The flow of a run, from its first record to its reports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.cancellation import RunCancelledError, Stopped
from codex_runner.domain.claim import ClaimTakenError
from codex_runner.domain.errors import RunnerError, UnreachableError
from codex_runner.domain.event import (
    Guarded,
    RunPrepared,
    RunStarted,
    StopRequested,
    WorkspaceKept,
    WorkspaceMade,
    to_json,
)
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, StopReason, Verdict
from codex_runner.engine.adapters import RunContext
from codex_runner.engine.admission import Admission
from codex_runner.engine.attempt import end_unfinished
from codex_runner.engine.attempts import Attempts
from codex_runner.engine.checks import Checks
from codex_runner.engine.conclusion import Conclusion
from codex_runner.engine.ending import stop_ending
from codex_runner.engine.gate import Gate, skip_reason
from codex_runner.engine.handover import Handover
from codex_runner.engine.keeping import Keeping, best_effort, is_judged
from codex_runner.engine.login_secrets import LoginSecrets
from codex_runner.engine.planned import planned
from codex_runner.engine.proof import Proof
from codex_runner.engine.verdict import judge_run, own_failure
from codex_runner.engine.workspace import compare, is_noted, is_watched, note, placed

if TYPE_CHECKING:
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Prepared
    from codex_runner.domain.state import RunState
    from codex_runner.engine.adapters import Adapters
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping

# Seconds for cleaning up after a stop: a CI system kills the runner soon after it asks it to end.
_HURRY = 5.0


@dataclass(frozen=True, slots=True)
class _Skipped:
    """The run has nothing to do, for this reason."""

    reason: str


class Runner:
    """One run: a new one, or one that an earlier runner began. Call `run` once."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of one run
        self,
        job: Job,
        run_id: str,
        adapters: Adapters,
        recorder: Recorder,
        stopping: Stopping,
        context: RunContext | None = None,
    ) -> None:
        """Do nothing yet. `run` continues from the recorder's state."""
        self._planned, self._run_id, self._adapters = job, run_id, adapters
        self._recorder, self._stopping = recorder, stopping
        self._context = context or RunContext()
        self._transport = adapters.transport
        self._admission = Admission(job, run_id, recorder, stopping, group=adapters.group, account=adapters.account)
        self._proof = Proof(adapters.transport, recorder)
        self._checks = Checks(job, recorder, stopping, adapters.transport, adapters.schema)
        self._conclusion = Conclusion(recorder, adapters.reports, self._context.folder)
        self._login_secrets = LoginSecrets(job, recorder)
        self._handover = Handover(job, run_id, recorder, self._login_secrets, adapters.transport, adapters.deliverer)
        green_runs = adapters.green_runs
        self._gate = None if green_runs is None else Gate(run_id, recorder, self._handover, self._transport, green_runs)
        self._noted = self._given_back = False

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    @property
    def _out_of_reach(self) -> bool:
        """Whether the run's last attempt ended because its host was unreachable: `attach` may continue it."""
        return self._state.attempt is not None and self._state.attempt.out_of_reach

    @property
    def _job(self) -> Job:
        return placed(self._planned, self._state)

    async def run(self) -> RunState:
        """Continue from the state to the verdict and the reports. Returns the final state.

        Raises TakenOverError if another runner takes the run over (LeakError if its log held a secret), without
        reports. Any other RunnerError becomes the verdict.
        """
        keeping = Keeping(self._recorder, self._stopping, self._transport, self._context.renewal)
        return await keeping.during(self._run(), self._conclusion.search, self._admission.leave)

    async def _run(self) -> RunState:
        try:
            verdict = await self._to_verdict()
        except ClaimTakenError:
            raise
        except RunCancelledError:
            self._stopping.request(StopReason.CANCELLED)
            verdict = self._stopped_verdict()
        except Stopped:
            verdict = self._stopped_verdict()
        except RunnerError as error:
            verdict = Verdict(error.exit_code, error.message, remedy=self._with_attach(error.remedy))
        except Exception as error:  # noqa: BLE001 - a bug must not leave an agent running, nor a run without reports
            verdict = own_failure(error)
        await self._let_go(verdict)
        self._admission.charge(final=True)
        verdict = await self._conclusion.search(verdict)
        if is_green := verdict.result == "succeeded" and self._state.verdict is None:  # or it was remembered at its end
            verdict = await self._remember(verdict, is_green=True)
        self._conclusion.conclude(verdict)
        self._conclusion.report()
        if is_green and self._state.verdict is not None and self._state.verdict.exit_code:
            await self._remember(verdict, is_green=False)
        self._admission.leave()
        return self._state

    async def _remember(self, verdict: Verdict, *, is_green: bool) -> Verdict:
        """Let the gate of the next run know of this one. Returns the verdict: a stop does not change it any more."""
        if self._gate is None:
            return verdict
        try:
            with contextlib.suppress(Stopped):
                await self._stopping.unless_stopped(self._gate.remember(self._job, is_green=is_green))
        except RunnerError as error:
            return Verdict(error.exit_code, f"{verdict.reason}, but {error.message}", remedy=error.remedy)
        return verdict

    async def _to_verdict(self) -> Verdict:
        if self._state.verdict is None or self._out_of_reach:
            begun = await self._begin()
            if isinstance(begun, _Skipped):
                return Verdict(ExitCode.SUCCEEDED, begun.reason, skipped=True)
            if self._handover.is_ready:  # an earlier runner was killed while it delivered
                await self._give_back(judge_run(self._job, self._state))
                return await self._stopping.unless_stopped(self._handover.hand_over(judge_run(self._job, self._state)))
            patch = await self._work(begun)
            if not self._out_of_reach:
                await self._collect(patch)
                await self._stopping.unless_stopped(self._handover.fetch(judge_run(self._job, self._state)))
                await self._give_back(judge_run(self._job, self._state))
                return await self._stopping.unless_stopped(self._handover.hand_over(judge_run(self._job, self._state)))
        return judge_run(self._job, self._state)

    async def _work(self, prepared: Prepared | None) -> bytes:
        """Let the agent do its turn, run the checks, and return the patch.

        If a check fails and the job's `retry.checks` allows it, the same thread gets another turn.
        """
        attempts = Attempts(
            self._planned,
            self._run_id,
            self._recorder,
            self._stopping,
            transport=self._transport,
            agent=self._adapters.agent,
            prepared=prepared,
            reports=self._adapters.reports,
            workspaces=self._adapters.workspaces,
            later=self._context.later,
        )
        ending = await attempts.until_done()
        while True:
            patch = await self._compare()
            self._admission.charge()  # before the checks: a runner that is killed later has charged its tokens
            if ending.failure is not None:
                return patch
            await self._checks.run()
            complaint = self._checks.complaint()
            if complaint is None:
                return patch
            if (why_not := attempts.can_go_on() or self._handover.refusal) is not None:
                self._recorder.warn("no-retry", f"The agent gets no other turn {complaint.reason}: {why_not}.")
                return patch
            ending = await attempts.another_turn(complaint.prompt, complaint.reason)

    # --- before the agent --------------------------------------------------------------------------------------------

    async def _begin(self) -> Prepared | _Skipped | None:
        """Record the run's start, and prepare the agent. Returns None if this runner has attached to the run.

        No tokens have been used when it returns.
        """
        if self._state.run_id:
            self._login_secrets.go_on()
            self._noted = True  # presumably by the runner that began the run
            if (skip := skip_reason(self._state.gate)) is not None:  # that runner was killed before it said so
                return _Skipped(skip)
            await self._admission.enter_again()
            return None
        self._recorder.emit(
            RunStarted(
                self._run_id,
                self._job.name,
                self._job.host,
                planned(self._job, self._recorder, self._context.configuration, self._context.provenance),
            )
        )
        for doubt in self._context.doubts:
            self._recorder.emit(doubt)
        if (taken := await self._admission.enter()) is not None:
            return _Skipped(taken)
        return await self._stopping.unless_stopped(self._prepare())

    async def _prepare(self) -> Prepared | _Skipped:
        """Ask the gate, borrow the credential, check codex. What can be refused is refused here, before any token."""
        trust = self._adapters.config_trust
        judged = {} if trust is None else await trust.judge(self._recorder.emit)
        if self._gate is not None and (reason := await self._pass(self._gate)) is not None:
            return _Skipped(reason)
        granted = await self._borrow(time.time())
        await self._handover.ask()
        await self._make_workspace()
        noting = asyncio.ensure_future(self._note())
        try:
            prepared = await self._adapters.agent.prepare(self._job, self._transport, granted, self._recorder.emit)
            self._noted = True
            proven = await self._proof.of(prepared, self._job, self._run_id, granted)
            tree = await noting
            await self._handover.prove(tree)
        except UnreachableError:
            self._noted = False
            raise
        finally:  # wait for it, before the cleanup removes its files
            noting.cancel()
            await asyncio.gather(noting, return_exceptions=True)
        self._recorder.emit(
            RunPrepared(
                {
                    **prepared.facts,
                    **proven,
                    **judged,
                    **self._handover.facts,
                    **(self._gate.facts if self._gate else {}),
                    "tree": tree,
                    "credential": to_json(granted.facts),
                    "secrets": self._login_secrets.names,
                }
            )
        )
        return prepared

    async def _pass(self, gate: Gate) -> str | None:
        """Ask the gate, in the tree that the agent would get. Returns the reason to skip the run, or None."""
        self._adapters.credentials.require_trust(self._job, self._recorder.emit)
        await self._make_workspace()
        self._noted = True
        try:
            return await gate.decide(self._job)
        except UnreachableError:
            self._noted = False
            raise

    async def _make_workspace(self) -> None:
        job = self._job
        if job.workspace is None or self._adapters.workspaces is None or self._state.workspace is not None:
            return
        self._noted = True
        try:
            made = await self._adapters.workspaces.make(job, self._run_id, self._recorder.emit)
        except UnreachableError:  # a later run on that host removes what was made
            self._noted = False
            raise
        self._recorder.emit(
            WorkspaceMade(made.path, made.cwd, made.commit, repo=job.workspace.repo, ref=job.workspace.ref)
        )

    async def _note(self) -> dict[str, Any] | None:
        if not is_noted(self._job):
            return None
        self._noted = True
        return await note(self._job, self._run_id, self._transport, self._recorder, self._context.own)

    async def _borrow(self, now: float) -> Granted:
        granted = await self._adapters.credentials.borrow(
            self._job,
            now=now,
            tell=self._recorder.emit,
            on_retry=lambda text: self._recorder.warn("retry", text),
            on_secret=self._login_secrets.learn,
        )
        for secret in granted.secrets:
            self._recorder.learn(secret)
        return granted

    # --- after it: what must hold, and what is left ------------------------------------------------------------------

    async def _compare(self) -> bytes:
        """Compare the tree, before a check changes it too, and scan the patch for secrets. Returns the patch."""
        noted = self._state.facts.get("tree")
        if noted is None or self._out_of_reach or not is_watched(self._job):
            return b""
        found = await self._stopping.unless_stopped(compare(self._job, noted, self._transport, self._recorder))
        if self._adapters.scan is not None:
            await self._stopping.unless_stopped(self._adapters.scan.search(found.patch + found.commits, self._recorder))
        await self._stopping.unless_stopped(self._handover.pack(found.patch))
        return found.patch

    async def _collect(self, patch: bytes) -> None:
        rollout = await self._stopping.unless_stopped(self._read_rollout())
        kept, left_out = await self._stopping.unless_stopped(
            self._adapters.artifacts.collect(self._job, self._state, patch, rollout)
        )
        # An earlier runner that was killed here may have recorded some of them.
        for artifact in kept:
            if self._state.artifacts.get(artifact.path) != artifact:
                self._recorder.emit(artifact)
        told = {warning.message for warning in self._state.warnings}
        for sentence in left_out:
            if sentence not in told:
                self._recorder.warn("artifact", sentence)

    async def _read_rollout(self) -> bytes:
        if not self._job.keep_rollout:
            return b""
        try:
            return await self._adapters.agent.read_rollout(self._transport, self._run_id)
        except RunnerError as error:
            self._recorder.warn("artifact", f"left out codex's own record: {error.message}")
            return b""

    async def _give_back(self, verdict: Verdict) -> None:
        self._given_back = True
        made, spec = self._state.workspace, self._job.workspace
        keep = made is not None and spec is not None and spec.stays(failed=verdict.exit_code is not ExitCode.SUCCEEDED)
        keep = keep and not verdict.skipped  # nobody has worked in it
        clean = self._recorder.redactor.text
        try:
            async with asyncio.timeout(_HURRY if self._stopping.stop else None):
                late = await self._discard(keep=keep)
        except ClaimTakenError as taken:
            if not self._handover.is_ready and is_judged(taken, self._state):
                raise
        except (UnreachableError, TimeoutError) as error:
            why = error.message if isinstance(error, UnreachableError) else "the host did not answer in time."
            # Everything is collected already, and a later run on that host removes the directory.
            self._recorder.warn("run-directory", f"The run's directory stays on {self._job.host}: {clean(why)}")
        except RunnerError as error:
            message = clean(f"not removed: {error.message}")
            self._recorder.emit(Guarded("run directory", passed=False, message=message))
        else:
            if made is not None and keep:
                self._recorder.emit(WorkspaceKept(made.path, self._job.limits.retention))
            if late is not None:  # `codex-runner cancel` came before the directory was removed
                raise late

    async def _discard(self, *, keep: bool) -> RunCancelledError | None:
        try:
            await self._transport.discard(self._run_id, keep_workspace=keep)
        except RunCancelledError as late:
            return late
        return None

    async def _let_go(self, verdict: Verdict) -> None:
        """End the agent and remove the run from the host, unless that has been done or the host is unreachable."""
        attempt, is_over = self._state.attempt, self._state.verdict is not None
        if self._given_back or is_over or self._out_of_reach or (attempt is None and not self._noted):
            return
        # A failure in here must not hide the one that led here.
        with best_effort():
            if attempt is not None and attempt.ending is None:
                await end_unfinished(self._recorder, self._transport, verdict, self._stopping.stop)
            # If the journal has failed, codex's output is on the host only.
            if not self._recorder.broken:
                await self._give_back(verdict)

    def _with_attach(self, remedy: str) -> str:
        """Add how to fetch codex's output if the journal has failed: the host keeps it for a while."""
        if not self._recorder.broken or self._state.attempt is None:
            return remedy
        return f"{remedy} Then fetch the rest of codex's output with `codex-runner attach {self._run_id}`."

    def _stopped_verdict(self) -> Verdict:
        stop, attempt = self._stopping.stop, self._state.attempt
        # If the agent is done, no other record says why the run had to end.
        if stop is not None and attempt is not None and attempt.ending is not None and attempt.stop is None:
            with contextlib.suppress(RunnerError):
                self._recorder.emit(StopRequested(stop.reason.value, stop.message))
        cancelled = Ending(Failure.CANCELLED, "the run was cancelled")
        return Verdict.of(stop_ending(stop.reason, stop.message) if stop else cancelled)
