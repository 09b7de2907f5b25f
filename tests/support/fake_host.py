"""A host in memory. What codex does on it is written down beforehand: what it prints, when, and how it ends."""

import asyncio
import time
from dataclasses import dataclass, field

from codex_runner.domain.cksum import cksum
from codex_runner.domain.errors import HostError, RunGoneError
from codex_runner.domain.host import Completed, Ended, Lost, Output, Started
from codex_runner.domain.run import ProcessExit, StopReason, Sweep
from codex_runner.git.guard import guarded_command


@dataclass
class Play:
    """One codex: `steps` are (seconds to wait, stream, bytes). After them, codex hangs if `hangs` is set.

    `lost`: its supervisor dies after the steps. `breaks`: the connection breaks, with this error. `forged` replaces
    fields of the exit. `deaf`: a stop changes nothing. `slow`: the seconds that a stop takes. `piece`: so many bytes at
    once.
    """

    steps: tuple = ()
    code: int | None = 0
    signal: int | None = None
    hangs: bool = False
    lost: bool = False
    breaks: Exception | None = None
    deaf: bool = False
    slow: float = 0.0
    forged: dict = field(default_factory=dict)
    piece: int = 1 << 20


def prints(stdout=b"", stderr=b"", **rest):
    """A codex that prints this at once."""
    return Play(((0, "stdout", stdout), (0, "stderr", stderr)), **rest)


class _Attempt:
    def __init__(self, play):
        self.play = play
        self.streams = {"stdout": bytearray(), "stderr": bytearray()}
        self.exit = None
        self.over = False  # neither running, nor ever to tell its exit
        self.stopped = StopReason.NONE
        self._stop = asyncio.Event()
        self.task = asyncio.ensure_future(self._live())

    async def _live(self):
        for delay, stream, data in self.play.steps:
            if await self._stopped_within(delay):
                break
            self.streams[stream] += data
        if self.play.lost or self.play.breaks:
            self.over = True
            return
        if self.play.hangs:
            await self._stopped_within(None)
        if self._stop.is_set():
            await asyncio.sleep(self.play.slow)
        self._end()

    async def _stopped_within(self, seconds):
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    def stop(self, reason):
        if self.exit is not None or self.play.deaf:
            return
        if self.stopped is StopReason.NONE:
            self.stopped = reason
        self._stop.set()
        if self.over:
            self._end()

    def _end(self):
        stdout, interrupted = bytes(self.streams["stdout"]), self._stop.is_set()
        told = {
            "code": 1 if interrupted else self.play.code,
            "signal": self.play.signal,
            "stopped": self.stopped,
            "stdout_size": len(stdout),
            "stdout_cksum": cksum(stdout),
            "stderr_size": len(self.streams["stderr"]),
            "swept": Sweep.BEST_EFFORT if self.over else Sweep.CLEAN,
        }
        self.exit = ProcessExit(**{**told, **self.play.forged})


class FakeHost:
    """A Transport. `plays` gives each attempt its play, by its launch. `asked` lists the calls, in order.

    A method raises its error in `fails` once. `answers` are the results of commands. `present` are attempts, as (run
    id, number), that another runner has started: they begin with the first call for them.
    """

    def __init__(self, plays, *, answers=None, present=()):
        self._plays = plays if callable(plays) else lambda _: plays
        self._attempts = {}
        self._present = set(present)
        self.asked = []
        self.launches = []
        self.fails = {}
        self.answers = answers or {}
        self.reachable = True
        self.gives_signs = False

    @property
    def heard(self):
        return time.monotonic() if self.gives_signs else 0.0

    def _ask(self, *what):
        self.asked.append(what)
        if (error := self.fails.pop(what[0], None)) is not None:
            raise error

    def _life(self, run_id, attempt):
        key = (run_id, attempt)
        if key in self._present:
            self._present.remove(key)
            self._attempts[key] = _Attempt(self._plays(None))
        return self._attempts.get(key)

    @property
    def running(self):
        """The attempts whose codex still runs."""
        return [key for key, attempt in self._attempts.items() if attempt.exit is None]

    def name_run(self, run_id):
        pass

    async def start(self, launch):
        self._ask("start", launch.attempt)
        key = (launch.run_id, launch.attempt)
        if key in self._attempts:
            return Started(new=False)
        if any(run_id == launch.run_id for run_id, _ in self.running):
            raise HostError(f"another attempt of {launch.run_id} is still going.")
        self.launches.append(launch)
        self._attempts[key] = _Attempt(self._plays(launch))
        return Started(new=True)

    async def claim(self, run_id, dead=None):
        self._ask("claim", dead)
        return any(key[0] == run_id for key in [*self._attempts, *self._present])

    async def renew(self):
        self._ask("renew")
        return False

    async def cancel(self, run_id):
        self._ask("cancel")
        for key, attempt in self._attempts.items():
            if key[0] == run_id:
                attempt.stop(StopReason.CANCELLED)

    async def follow(self, run_id, attempt, position):
        self._ask("follow", attempt)
        life = self._life(run_id, attempt)
        if life is None:
            raise RunGoneError(f"run {run_id} has no attempt {attempt} in this memory.")
        at = {"stdout": position.stdout, "stderr": position.stderr}
        while True:
            exit_, over = life.exit, life.over
            for stream, written in life.streams.items():
                while data := bytes(written[at[stream] : at[stream] + life.play.piece]):
                    yield Output(stream, at[stream], data)
                    at[stream] += len(data)
            if exit_ is not None:
                yield Ended(exit_)
                return
            if over and life.play.breaks:
                raise life.play.breaks
            if over:
                yield Lost("the supervisor was killed")
                return
            await asyncio.sleep(0.001)

    async def stop(self, run_id, attempt, reason):
        self._ask("stop", attempt, reason)
        if life := self._life(run_id, attempt):
            life.stop(reason)

    async def execute(self, script, *, cwd=None, timeout=60.0, arguments=()):
        if script == guarded_command():
            (script,) = arguments
        self._ask("execute", script)
        answer = self.answers.get(script, Completed(0, b"", 0.0))
        if callable(answer):
            answer = await answer()
        return answer

    async def ask(self, script, **options):
        return await self.execute(script, **options)

    async def discard(self, run_id, *, keep_workspace=False):
        self._ask("discard", *(["but-workspace"] if keep_workspace else []))
        if any(running == run_id for running, _ in self.running):
            raise HostError(f"{run_id} is still going.")
        for key in [key for key in self._attempts if key[0] == run_id]:
            del self._attempts[key]

    async def close(self):
        self._ask("close")
        for attempt in self._attempts.values():
            attempt.task.cancel()
        await asyncio.gather(*(attempt.task for attempt in self._attempts.values()), return_exceptions=True)
