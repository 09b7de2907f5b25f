"""What must hold once the agent has done its turn: the reply's shape, and the job's own checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import FolderGoneError
from codex_runner.domain.event import CheckEnded, CheckStarted
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.host import KEPT
from codex_runner.domain.job import RULES, SCAN, SCHEMA
from codex_runner.engine.check_names import is_lost
from codex_runner.engine.prompt import with_context
from codex_runner.engine.workspace import placed
from codex_runner.git.guard import guarded_command
from codex_runner.redaction.stream import OVERLAP
from codex_runner.text.counts import plural
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.domain.job import Check, Job
    from codex_runner.domain.ports import ReplySchema, Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping
    from codex_runner.redaction.redactor import Redactor

_TAIL = 64 * 1024  # bytes
_CANNOT_RUN = 126  # a shell's own word for it
# How the keeper of a check (transports/host/keeper.sh) tells of what the check has left.
_KEEPER, _LEFT = "codex-runner: ", "this command left behind"
_LOST = (
    "The command holds a secret. The run's record has a mask in its place, so that whoever attaches cannot run it. "
    "Start the job anew, and let the command read the secret from a file or a variable."
)
_TOLD = 16_000  # characters of an output

# For how many seconds a reply may be judged: what is left of the job's time, within these bounds. A process has to
# start, and no schema that works takes longer.
_JUDGED_AT_LEAST, _JUDGED_AT_MOST = 5.0, 60.0
_BACKTRACKS = "a `pattern` of the schema may take exponential time on it, as `^(a+)+$` does."

_PROMPT = (
    "Your work was checked, and a check failed. What follows says which, and shows the end of its output. Find the "
    "cause and correct it; do not change the checks themselves. Then give your final reply again, whole."
)


def names(job: Job) -> list[str]:
    """Return the names of all that will be checked, in their order."""
    ours = {RULES: job.rules.any, SCAN: job.secret_scan, SCHEMA: job.output_schema is not None}
    return [*(name for name, asked in ours.items() if asked), *(check.name for check in job.checks)]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the agent is told of checks that failed: the prompt of its next turn, and the reason for it in the log."""

    prompt: str
    reason: str


class Checks:
    """The checks of one run."""

    def __init__(
        self,
        job: Job,
        recorder: Recorder,
        stopping: Stopping,
        transport: Transport,
        schema: ReplySchema | None = None,
    ) -> None:
        """`schema` is the reply's, if the job has one."""
        self._planned, self._recorder, self._stopping = job, recorder, stopping
        self._transport, self._schema = transport, schema

    @property
    def _job(self) -> Job:
        return placed(self._planned, self._recorder.state)

    async def run(self) -> None:
        """Check whatever another runner has not checked already, and record what came of it.

        Nothing is run in a tree in which a git command of a check would do what the agent's own repository says.
        """
        done, changes = self._recorder.state.checks, self._recorder.state.changes
        if changes is not None and changes.repositories and changes.exit_code == ExitCode.FORBIDDEN_CHANGE:
            return
        if SCHEMA in names(self._job) and SCHEMA not in done:
            await self._stopping.unless_stopped(self._check_reply())
        for check in self._job.checks:
            if check.name not in done:
                await self._stopping.unless_stopped(self._run(check))

    def complaint(self) -> Complaint | None:
        """Return what to tell the agent; None where all holds, where the job wants no retry, or none is left.

        A change that no rule can allow, or a credential, is none to be made good: it ends the run.
        """
        state = self._recorder.state
        failed = [check for check in state.checks.values() if not check.passed]
        turns = sum(1 for attempt in state.attempts if attempt.ending is not None and attempt.ending.failure is None)
        forbidden = any(
            check.name in (RULES, SCAN) and check.exit_code == ExitCode.FORBIDDEN_CHANGE for check in failed
        )
        if not failed or forbidden or turns > self._job.retry.checks:
            return None
        reason = f"because {_listed(failed)} failed"
        return Complaint(with_context(_PROMPT, "check-output", "\n".join(map(self._told, failed))), reason)

    def _told(self, check: CheckEnded) -> str:
        command = next((each.run for each in self._job.checks if each.name == check.name), None)
        how = "ran out of time" if check.exit_code is None else f"exited with {check.exit_code}"
        head = f"# {check.name}" if command is None else f"# {check.name}: this command {how}\n$ {command}"
        # The agent's context is no place for a secret either.
        return f"{self._recorder.redactor.text(head)}\n{check.output[-_TOLD:].strip()}\n"

    async def _check_reply(self) -> None:
        if self._schema is None:
            return
        state, clock = self._recorder.state, self._recorder.clock
        began = clock.now()
        left = self._job.limits.timeout - (began - state.attempts[0].started)
        patience = max(_JUDGED_AT_LEAST, min(_JUDGED_AT_MOST, left))
        problems = await self._schema.judge(state.reply or "", timeout=patience)
        code = None if problems is None else int(bool(problems))
        if problems is None:
            problems = [f"The reply was not judged within {format_duration(patience)}: {_BACKTRACKS}"]
        self._recorder.emit(CheckEnded(SCHEMA, not problems, code, clock.now() - began, "\n".join(problems)))

    async def _run(self, check: Check) -> None:
        # A secret that was learned since the plan was recorded may stand in them too.
        masked = self._recorder.redactor.text
        name = masked(check.name)
        self._recorder.emit(CheckStarted(name, masked(check.run)))
        if is_lost(check, self._recorder.state.facts, self._recorder.redactor):
            self._recorder.emit(CheckEnded(name, False, _CANNOT_RUN, 0.0, _LOST))
            return
        script, arguments = (check.run, ()) if check.git == "as is" else (guarded_command(), (check.run,))
        try:
            done = await self._transport.execute(script, cwd=self._job.cwd, timeout=check.timeout, arguments=arguments)
        except FolderGoneError as error:
            # It was there when codex began to work in it.
            told = self._recorder.redactor.text(f"{error.message} It was there when the agent began.")
            self._recorder.emit(CheckEnded(name, False, _CANNOT_RUN, 0.0, told))
            return
        # Redacted before it is cut: a cut could halve a secret and hide it from the redactor.
        output = _redacted(done.output, self._recorder.redactor)[-_TAIL:].decode("utf-8", "replace")
        told = output.rstrip("\n").rpartition("\n")[2].partition(_KEEPER)[2]
        if _LEFT in told:
            self._recorder.warn("left-behind", f"The check {name!r}: {told}")
        self._recorder.emit(CheckEnded(name, done.exit_code == 0, done.exit_code, done.seconds, output))


def _redacted(output: bytes, redactor: Redactor) -> bytes:
    """Redact what is kept of an output; of one that was cut, leave out so much that no half of a secret stays."""
    if len(output) < KEPT:
        return redactor(output)
    start = max(OVERLAP, redactor.longest)
    start = max([start, *(end for begin, end, _ in redactor.spans(output) if begin < start < end)])
    return redactor(output[start:])


def _listed(checks: list[CheckEnded]) -> str:
    names = ", ".join(repr(check.name) for check in checks)
    return f"the {plural(len(checks), 'check')} {names}"
