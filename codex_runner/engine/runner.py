"""The flow of a run, from its first record to its reports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex_runner.domain.claim import RENEWAL, ClaimTakenError
from codex_runner.domain.errors import RunnerError, UnreachableError, bug
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
from codex_runner.domain.machine import machine_fault
from codex_runner.domain.run import Ending, StopReason, Verdict
from codex_runner.domain.wish import RunCancelledError
from codex_runner.engine.admission import Admission
from codex_runner.engine.attempt import end_unfinished
from codex_runner.engine.attempts import Attempts
from codex_runner.engine.checks import Checks
from codex_runner.engine.conclusion import Conclusion
from codex_runner.engine.ending import stop_ending
from codex_runner.engine.keeping import is_judged, quietly, while_held
from codex_runner.engine.lesson import Lesson
from codex_runner.engine.planned import planned
from codex_runner.engine.proof import Proof
from codex_runner.engine.stopping import Stopped, Stopping
from codex_runner.engine.verdict import judge_run
from codex_runner.engine.workspace import compare, is_watched, note, placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Record, Warned
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import (
        Account,
        Agent,
        Artifacts,
        ConfigTrust,
        Credentials,
        Group,
        ReplySchema,
        Reports,
        Transport,
        Workspaces,
    )
    from codex_runner.domain.state import RunState
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.secret_scan import SecretScan

# Whoever asks a run to end, a CI system for one, waits no longer than some seconds.
_HURRY = 5.0


@dataclass(frozen=True, slots=True)
class Outfit:
    """Everything that a run works with; `wiring` puts it together.

    `folder` is what the run leaves, searched for secrets at its end; `schema`, `scan`, `workspaces`, `group` and
    `account` are there where the job asks for one, `config_trust` on a pull or merge request; `doubts` are told at the
    run's beginning; `own` are folders on the host that the runner writes. `later` is what the host keeps of the
    attempts behind the one that is attached to: its records, an attempt each. `renewal` is in seconds: how often the
    run's claim is renewed. `configuration` is a digest of what a runner that attaches goes by beside the job.
    """

    transport: Transport
    credentials: Credentials
    agent: Agent
    artifacts: Artifacts
    reports: Reports
    recorder: Recorder
    stopping: Stopping
    folder: RunFolder | None = None
    schema: ReplySchema | None = None
    scan: SecretScan | None = None
    workspaces: Workspaces | None = None
    group: Group | None = None
    account: Account | None = None
    config_trust: ConfigTrust | None = None
    doubts: Sequence[Warned] = ()
    later: Sequence[Sequence[Record]] = ()
    own: Sequence[str] = ()
    renewal: float = RENEWAL
    configuration: str = ""


class Runner:
    """One run, new or begun by a runner that has gone. Call `run`, once."""

    def __init__(self, job: Job, run_id: str, outfit: Outfit) -> None:
        """Take everything; do nothing yet."""
        self._planned, self._run_id, self._outfit = job, run_id, outfit
        self._recorder, self._stopping = outfit.recorder, outfit.stopping
        self._admission = Admission(job, run_id, outfit)
        self._attempts = Attempts(job, run_id, outfit)
        self._proof = Proof(outfit)
        self._checks = Checks(job, outfit)
        self._conclusion = Conclusion(outfit)
        self._lesson = Lesson(job, outfit.recorder)
        self._noted = self._given_back = False

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    @property
    def _out_of_reach(self) -> bool:
        """Whether the last that is known of the run is that its host was lost: attaching goes on with it."""
        return self._state.attempt is not None and self._state.attempt.out_of_reach

    @property
    def _job(self) -> Job:
        return placed(self._planned, self._state)

    async def run(self) -> RunState:
        """Go on from where the state stands to the verdict and the reports.

        Of RunnerErrors, raises TakenOverError alone (or LeakError in its place): then nothing is reported.
        """
        return await while_held(self._run(), self._outfit, self._conclusion.search, self._admission.leave)

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
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave an agent running, nor a run without reports
            verdict = self._own_failure(error)
        await self._let_go(verdict)
        self._admission.charge(final=True)
        self._conclusion.conclude(await self._conclusion.search(verdict))
        self._conclusion.report()
        self._admission.leave()
        return self._state

    async def _to_verdict(self) -> Verdict:
        if self._state.verdict is None or self._out_of_reach:
            if (taken := await self._begin()) is not None:
                return Verdict(ExitCode.SUCCEEDED, taken, skipped=True)
            patch = await self._work()
            if not self._out_of_reach:
                await self._collect(patch)
                await self._give_back(judge_run(self._job, self._state))
        return judge_run(self._job, self._state)

    async def _work(self) -> bytes:
        """Have the agent do its turn, and check what came of it; return the patch.

        Where a check fails, and the job says so, the same thread is told and has another turn.
        """
        ending = await self._attempts.until_done()
        while True:
            patch = await self._compare()
            self._admission.charge()  # a runner that is killed from here on has said what was spent
            if ending.failure is not None:
                return patch
            await self._checks.run()
            complaint = self._checks.complaint()
            if complaint is None:
                return patch
            if (why_not := self._attempts.can_go_on()) is not None:
                self._recorder.warn("no-retry", f"No other turn {complaint.reason}: {why_not}.")
                return patch
            ending = await self._attempts.another_turn(complaint.prompt, complaint.reason)

    # --- before the agent --------------------------------------------------------------------------------------------

    async def _begin(self) -> str | None:
        """Say what was asked, and find out whether it can be done; return why not where it is to be skipped.

        Nothing has been spent when it returns.
        """
        if self._state.run_id:
            self._lesson.go_on()
            self._noted = True  # by whoever began it, as far as can be told
            await self._admission.enter_again()
            return None
        self._recorder.emit(
            RunStarted(
                self._run_id,
                self._job.name,
                self._job.host,
                planned(self._job, self._recorder, self._outfit.configuration),
            )
        )
        for doubt in self._outfit.doubts:
            self._recorder.emit(doubt)
        if (taken := await self._admission.enter()) is None:
            await self._stopping.unless_stopped(self._prepare())
        return taken

    async def _prepare(self) -> None:
        """Borrow the credential and look at codex: what can be refused is refused here, before anything is spent."""
        trust = self._outfit.config_trust
        judged = {} if trust is None else await trust.judge(self._recorder.emit)
        granted = await self._borrow(time.time())
        await self._make_workspace()
        noting = asyncio.ensure_future(self._note())
        try:
            facts = await self._proof.of(self._job, granted)
            self._noted = True
            transport, tell = self._outfit.transport, self._recorder.emit
            facts = {**facts, **await self._outfit.agent.prove(self._job, self._run_id, transport, tell)}
            tree = await noting
        except UnreachableError:
            self._noted = False
            raise
        finally:  # over before anybody cleans up after it
            noting.cancel()
            await asyncio.gather(noting, return_exceptions=True)
        self._recorder.emit(
            RunPrepared(
                {
                    **facts,
                    **judged,
                    "tree": tree,
                    "credential": to_json(granted.facts),
                    "secrets": self._lesson.names,
                }
            )
        )

    async def _make_workspace(self) -> None:
        job = self._job
        if job.workspace is None or self._outfit.workspaces is None:
            return
        self._noted = True
        try:
            made = await self._outfit.workspaces.make(job, self._run_id, self._recorder.emit)
        except UnreachableError:  # a later run there removes what has come of it
            self._noted = False
            raise
        self._recorder.emit(
            WorkspaceMade(made.path, made.cwd, made.commit, repo=job.workspace.repo, ref=job.workspace.ref)
        )

    async def _note(self) -> dict[str, Any] | None:
        if not is_watched(self._job):
            return None
        self._noted = True
        return await note(self._job, self._run_id, self._outfit.transport, self._recorder, self._outfit.own)

    async def _borrow(self, now: float) -> Granted:
        granted = await self._outfit.credentials.borrow(
            self._job,
            now=now,
            tell=self._recorder.emit,
            on_retry=lambda text: self._recorder.warn("retry", text),
            on_secret=self._lesson.learn,
        )
        for secret in granted.secrets:
            self._recorder.learn(secret)
        return granted

    # --- after it: what must hold, and what is left ------------------------------------------------------------------

    async def _compare(self) -> bytes:
        """Let git say what the agent changed, before any check changes more, and search that; return the patch."""
        noted = self._state.facts.get("tree")
        if noted is None or self._out_of_reach:
            return b""
        found = await self._stopping.unless_stopped(compare(self._job, noted, self._outfit.transport, self._recorder))
        if self._outfit.scan is not None:
            await self._stopping.unless_stopped(self._outfit.scan.search(found.patch + found.commits, self._recorder))
        return found.patch

    async def _collect(self, patch: bytes) -> None:
        rollout = await self._stopping.unless_stopped(self._read_rollout())
        kept, left_out = await self._stopping.unless_stopped(
            self._outfit.artifacts.collect(self._job, self._state, patch, rollout)
        )
        # A runner that was killed in here may have recorded some of it.
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
            return await self._outfit.agent.read_rollout(self._outfit.transport, self._run_id)
        except RunnerError as error:
            self._recorder.warn("artifact", f"left out codex's own record: {error.message}")
            return b""

    async def _give_back(self, verdict: Verdict) -> None:
        self._given_back = True
        made, spec = self._state.workspace, self._job.workspace
        keep = made is not None and spec is not None and spec.stays(failed=verdict.exit_code is not ExitCode.SUCCEEDED)
        clean = self._recorder.redactor.text
        try:
            async with asyncio.timeout(_HURRY if self._stopping.stop else None):
                late = await self._discard(keep=keep)
        except ClaimTakenError as taken:
            if is_judged(taken, self._state):
                raise
        except (UnreachableError, TimeoutError) as error:
            why = error.message if isinstance(error, UnreachableError) else "the host did not answer in time."
            # All that matters is here already, and a later run there removes what is left.
            self._recorder.warn("run-directory", f"The run's directory is left on {self._job.host}: {clean(why)}")
        except RunnerError as error:
            message = clean(f"not removed: {error.message}")
            self._recorder.emit(Guarded("run directory", passed=False, message=message))
        else:
            if made is not None and keep:
                self._recorder.emit(WorkspaceKept(made.path, self._job.limits.retention))
            if late is not None:  # the last that the host says of the run is that somebody had cancelled it
                raise late

    async def _discard(self, *, keep: bool) -> RunCancelledError | None:
        try:
            await self._outfit.transport.discard(self._run_id, keep_workspace=keep)
        except RunCancelledError as late:
            return late
        return None

    async def _let_go(self, verdict: Verdict) -> None:
        """Leave nothing on the host, however the run came to its verdict."""
        attempt = self._state.attempt
        if self._given_back or self._state.verdict is not None or (attempt is None and not self._noted):
            return
        if self._out_of_reach:
            return
        # A failure in here must not hide the one that led here.
        with quietly():
            if attempt is not None and attempt.ending is None:
                await end_unfinished(self._recorder, self._outfit.transport, verdict, self._stopping.stop)
            # What codex wrote is nowhere else where the journal could not take it.
            if not self._recorder.broken:
                await self._give_back(verdict)

    def _with_attach(self, remedy: str) -> str:
        """Say how what codex wrote is brought here, if the journal could not take it: the host keeps it for a while."""
        if not self._recorder.broken or self._state.attempt is None:
            return remedy
        return f"{remedy} `codex-runner attach {self._run_id}` then brings the rest of codex's output here."

    def _own_failure(self, error: Exception) -> Verdict:
        """Say what the machine refused, or where the bug is. The values at hand may be secret: do not show them."""
        if (fault := machine_fault(error)) is not None:
            return Verdict(fault.exit_code, fault.message, remedy=fault.remedy)
        said = f"a bug in codex-runner: {bug(error)}"
        return Verdict(ExitCode.INTERNAL, said, remedy=RunnerError.default_remedy)

    def _stopped_verdict(self) -> Verdict:
        stop, attempt = self._stopping.stop, self._state.attempt
        # If the agent is done, nothing else says why its run had to end.
        if stop is not None and attempt is not None and attempt.ending is not None and attempt.stop is None:
            with contextlib.suppress(RunnerError):
                self._recorder.emit(StopRequested(stop.reason.value, stop.message))
        cancelled = Ending(Failure.CANCELLED, "the run was cancelled")
        return Verdict.of(stop_ending(stop.reason, stop.message) if stop else cancelled)
