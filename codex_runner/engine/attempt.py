"""Follows one attempt from its first byte to its ending, and ends it when a limit is reached."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.domain import cksum
from codex_runner.domain.attempt_state import TURN_COMPLETED, TURN_FAILED
from codex_runner.domain.errors import HostError
from codex_runner.domain.event import (
    AttemptEnded,
    Guarded,
    ItemStarted,
    Position,
    ReplyMissing,
    StopRequested,
    TurnCompleted,
    TurnFailed,
)
from codex_runner.domain.failure import Failure
from codex_runner.domain.host import Ended, Lost, Output
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Verdict
from codex_runner.engine.budget import over
from codex_runner.engine.ending import lost_ending, stop_ending, stopped_ending, unreached_ending
from codex_runner.engine.meter import Meter
from codex_runner.engine.transcript import Transcript
from codex_runner.engine.watch import Stop, Watch
from codex_runner.text.clean import is_blank

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Piece
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Agent
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping

# Seconds between two looks at the limits. While codex writes nothing, the pause doubles from the first to the second.
_SOON, _LATE = 0.25, 1.0
_SHOW = 1.0

# Seconds. INT, 2 s, TERM, 1 s, KILL and the sweep take half of it; the other half is for a slow host.
_STOP_PATIENCE = 8.0

# Seconds at most for the end of codex on a host that still gives signs of life: it is busy, and not lost.
_BUSY_PATIENCE = 60.0

# Seconds at most in which a runner that attaches after the deadline reads what codex has written.
_READING = 10.0

# Seconds at most for reading codex's own record of the thread from the host.
_ASKING = 30.0


class AttemptFollower:
    """One attempt of one run, which the host has started already. `follow` may begin at any offset."""

    def __init__(  # noqa: PLR0913, PLR0917 - what an attempt consists of
        self, job: Job, run_id: str, recorder: Recorder, transport: Transport, agent: Agent, stopping: Stopping
    ) -> None:
        """Follow the recorder's last attempt, from the recorder's position on."""
        self._job, self._run_id = job, run_id
        self._recorder, self._transport, self._agent, self._stopping = recorder, transport, agent, stopping
        self._asked: tuple[Stop, float] | None = None
        self._meter = Meter(job, run_id, recorder, transport, agent)
        self._watch = Watch(job.limits, self._deadline(), time.monotonic())
        self._transcript = Transcript(recorder, agent, self._hear, said=self._catch_up())

    async def follow(self) -> Ending:
        """Follow the attempt to its end, record the ending and return it.

        Raises HostError if the host stays unreachable.
        """
        pieces = self._transport.follow(self._run_id, self._attempt.number, self._recorder.position)
        following = asyncio.ensure_future(anext(pieces))
        shown, looked, pause = 0.0, time.monotonic(), _SOON
        try:
            while True:
                asked = asyncio.ensure_future(self._stopping.wait())
                await asyncio.wait(
                    {following} if self._asked else {following, asked},
                    timeout=pause,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                asked.cancel()
                pause = min(pause * 2, _LATE)
                if following.done():
                    pause = _SOON
                    piece = following.result()
                    if isinstance(piece, Lost):
                        piece = await self._end_lost(piece)
                    if isinstance(piece, Ended | Lost):
                        await self._finish(piece, pieces)
                    ending = self._take(piece)
                    if ending is not None:
                        return ending
                    following = asyncio.ensure_future(anext(pieces))
                now = time.monotonic()
                self._meter.tick(now)
                self._transcript.tick(now)
                if not self._transport.reachable:
                    self._out_of_hearing(now - looked)
                looked = now
                if (stop := self._stopping.stop or self._watch.due(now) or self._spent()) and self._asked is None:
                    await self._stop(stop, now)
                if self._asked and self._is_unconfirmed(self._asked[1], now):
                    return self._record(
                        self._unreached("the runner told codex to end, and the host did not confirm it."), None
                    )
                if now - shown >= _SHOW:
                    shown = now
                    self._recorder.tick(self._recorder.clock.now())
        finally:
            await self._meter.stop()
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await following
            await pieces.aclose()  # type: ignore[attr-defined] # every transport's follow is a generator
            self._transcript.settle()

    @property
    def _attempt(self) -> Attempt:
        return self._recorder.state.attempts[-1]

    def _deadline(self) -> float:
        """The deadline of the whole run, on the monotonic clock. An attach does not restart it.

        If it has passed, the runner still gets some seconds to read what codex has written. The supervisor on the host
        keeps the deadline by itself.
        """
        spent = max(0.0, self._recorder.clock.now() - self._recorder.state.attempts[0].started)
        left = self._job.limits.timeout - spent
        return time.monotonic() + (left if left > 0 else _READING)

    def _catch_up(self) -> bytes:
        """Tell the watchdogs what an earlier runner saw: open items, the turn's end. Returns codex's errors so far."""
        now = time.monotonic()
        for item in self._attempt.open_items.values():
            self._watch.saw(ItemStarted(item), now)
        if self._attempt.turn == TURN_COMPLETED:
            self._watch.saw(TurnCompleted(self._attempt.usage), now)
        elif self._attempt.turn == TURN_FAILED:
            self._watch.saw(TurnFailed(self._attempt.turn_error or ""), now)
        errors = [f"Error: {said.message}\n" for said in self._attempt.diagnostics if said.level == "ERROR"]
        return "".join(errors).encode()

    def _hear(self, event: Event | None) -> None:
        if event is None:
            self._watch.heard(time.monotonic())
        else:
            self._watch.saw(event, time.monotonic())

    def _out_of_hearing(self, seconds: float) -> None:
        """The connection was down for `seconds`. Do not count them as silence, nor against `exit_grace`."""
        self._watch.skip(seconds)
        if self._asked and self._asked[0].reason is StopReason.LINGERED:
            self._asked = (self._asked[0], self._asked[1] + seconds)

    def _spent(self) -> Stop | None:
        """Return a Stop if the run has exceeded the job's budget, otherwise None."""
        passed = over(self._job.budget, self._recorder.state, self._job.price)
        return None if passed is None else Stop(StopReason.BUDGET, passed)

    async def _finish(self, end: Ended | Lost, pieces: AsyncIterator[Piece]) -> None:
        """Read the last lines, then ask the host for what codex did not print: tokens, and its record of the reply."""
        self._transcript.finish()
        await self._meter.finish()
        if isinstance(end, Ended):
            await pieces.aclose()  # type: ignore[attr-defined] # as above; its session serves what is asked now
            await self._look_for_reply(end.exit)

    async def _look_for_reply(self, exit_: ProcessExit) -> None:
        """Ask codex's own record whether the last message is the final one. Some of the model's work has no event."""
        attempt = self._attempt
        ended = attempt.turn == TURN_COMPLETED and exit_.stopped in {StopReason.NONE, StopReason.LINGERED}
        if not ended or attempt.thread_id is None or not attempt.answered or is_blank(attempt.reply or ""):
            return
        try:
            async with asyncio.timeout(_ASKING):
                said = await self._agent.has_reply(self._transport, self._run_id, attempt.thread_id)
        except (HostError, TimeoutError):
            said = None
            self._recorder.warn(
                "reply-unproven",
                "The last message may not be the final one: the host did not return codex's record in time.",
            )
        if said is False:
            self._recorder.emit(ReplyMissing(attempt.thread_id))

    async def _end_lost(self, lost: Lost) -> Piece:
        """The supervisor is gone: end codex from here, then ask the host once more how it ended."""
        with contextlib.suppress(HostError):  # another host, or one that has rebooted: `lost` says what is known
            await self._transport.stop(self._run_id, self._attempt.number, StopReason.LOST)
        read = self._transcript.received
        at = dataclasses.replace(self._recorder.position, stdout=read("stdout"), stderr=read("stderr"))
        with contextlib.suppress(HostError):  # or its directory is gone
            async for piece in self._transport.follow(self._run_id, self._attempt.number, at):
                if isinstance(piece, Ended | Lost):
                    return piece
                self._take(piece)
        return lost

    def _is_unconfirmed(self, asked: float, now: float) -> bool:
        """Return True if the host should have confirmed by now that codex has ended. A live host gets more time."""
        return now - max(asked, self._transport.heard) > _STOP_PATIENCE or now - asked > _BUSY_PATIENCE

    async def _stop(self, stop: Stop, now: float) -> None:
        self._asked = (stop, now)
        self._recorder.emit(StopRequested(stop.reason.value, stop.message))
        await self._transport.stop(self._run_id, self._attempt.number, stop.reason)

    def _take(self, piece: Piece) -> Ending | None:
        match piece:
            case Output():
                self._transcript.take(piece)
            case Ended():
                return self._record(self._judge(piece.exit), piece.exit)
            case Lost():
                return self._record(lost_ending(self._attempt, piece.message), None)
        return None

    def _judge(self, exit_: ProcessExit) -> Ending:
        at = self._recorder.position
        if (at.stdout, cksum.finish(at.stdout_crc, at.stdout)) != (exit_.stdout_size, exit_.stdout_cksum):
            return Ending(
                Failure.TRANSPORT,
                f"codex printed {exit_.stdout_size} bytes with checksum {exit_.stdout_cksum}, "
                f"and {at.stdout} bytes arrived with checksum {cksum.finish(at.stdout_crc, at.stdout)}",
            )
        stopped = stopped_ending(self._attempt, exit_.stopped)
        if stopped is not None:
            return stopped
        # codex prints its token counts at the turn's end, so the budget may show as exceeded only now.
        if (spent := self._spent()) is not None:
            return stop_ending(spent.reason, spent.message)
        begun, wanted = self._attempt.thread_id, self._attempt.resumes
        if wanted is not None and begun is not None and begun != wanted:
            return Ending(Failure.UNKNOWN, f"codex was told to resume thread {wanted}, and began thread {begun}")
        return self._agent.judge(self._attempt, exit_, self._transcript.stderr_tail.decode("utf-8", "replace"))

    def _unreached(self, why: str) -> Ending:
        return unreached_ending(why, self._job, self._run_id, self._attempt, self._recorder.clock.now())

    def _record(self, ending: Ending, exit_: ProcessExit | None) -> Ending:
        self._transcript.settle()
        if exit_ is not None and exit_.stopped is StopReason.LINGERED:
            self._recorder.warn("lingered", "codex did not exit after its final event, and the supervisor ended it")
        self._recorder.emit(sweep_guard(exit_, self._recorder.state.attempts[:-1]))
        self._recorder.emit(AttemptEnded(self._attempt.number, ending, exit_))
        return ending


async def end_unseen(transport: Transport, run_id: str, number: int, reason: StopReason) -> ProcessExit | None:
    """End an attempt without reading its output. Returns its exit, or None if the host does not report it in time."""
    with contextlib.suppress(HostError, TimeoutError):
        async with asyncio.timeout(_STOP_PATIENCE):
            await transport.stop(run_id, number, reason)
            async for piece in transport.follow(run_id, number, Position()):
                if isinstance(piece, Ended | Lost):
                    return piece.exit if isinstance(piece, Ended) else None
    return None


async def end_unfinished(recorder: Recorder, transport: Transport, verdict: Verdict, stop: Stop | None) -> None:
    """End the running attempt after the run has got its verdict without it, and record how it ended.

    Without a `stop`, the runner itself cannot continue: record RUNNER_FAILED, so that no reader looks for a signal.
    """
    state = recorder.state
    attempt, reason = state.attempts[-1], stop.reason if stop else StopReason.RUNNER_FAILED
    exit_ = await end_unseen(transport, state.run_id, attempt.number, reason)
    recorder.emit(sweep_guard(exit_))
    ending = Ending(verdict.failure or Failure.RUNNER_FAILED, recorder.redactor.text(verdict.reason))
    recorder.emit(AttemptEnded(attempt.number, ending, exit_))


def sweep_guard(exit_: ProcessExit | None, earlier: Sequence[Attempt] = ()) -> Guarded:
    """Return the guard of the process sweep: whether a process of this attempt or of an `earlier` one is left."""
    name = "process sweep"
    for attempt in earlier:
        if attempt.exit is not None and attempt.exit.swept is Sweep.FAILED:
            message = f"the supervisor could not end all processes of the agent after attempt {attempt.number}"
            return Guarded(name, passed=False, message=message)
    if exit_ is None:
        return Guarded(name, passed=False, message="the host did not confirm that the agent's processes are gone")
    ended = f"; the supervisor ended {exit_.killed} that the agent had left behind" if exit_.killed else ""
    match exit_.swept:
        case Sweep.CLEAN:
            return Guarded(name, passed=True, message=f"no process of the agent is left{ended}")
        case Sweep.BEST_EFFORT:
            return Guarded(name, passed=True, message=f"sweep: best effort (the host has no child subreaper){ended}")
        case Sweep.FAILED:
            message = f"the supervisor could not end all processes of the agent{ended}"
            return Guarded(name, passed=False, message=message)
