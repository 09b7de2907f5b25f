"""Checks after the agent's turn: the reply against its schema, and the job's own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import FolderGoneError
from codex_runner.domain.event import CheckEnded, CheckStarted
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.job import RULES, SCAN, SCHEMA
from codex_runner.engine.check_names import is_lost
from codex_runner.engine.command_output import left_behind, shown_output
from codex_runner.engine.prompt import with_context
from codex_runner.engine.workspace import has_rules, placed
from codex_runner.git.guard import guarded_command
from codex_runner.text.counts import plural
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.domain.job import Check, Job
    from codex_runner.domain.ports import ReplySchema
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.recorder import Recorder
    from codex_runner.engine.stopping import Stopping

_CANNOT_RUN = 126  # the shells' exit code for a command that cannot be executed
_LOST = (
    "The command holds a secret, and the run's record has a mask in its place: a runner that attaches cannot run it. "
    "Start the job again, and let the command read the secret from a file or a variable."
)
_TOLD = 16_000  # characters of an output

# Bounds in seconds for judging a reply, which otherwise gets what is left of the job's timeout. The lower one lets a
# process start; no schema that works needs more than the upper one.
_JUDGED_AT_LEAST, _JUDGED_AT_MOST = 5.0, 60.0
_BACKTRACKS = "a `pattern` of the schema may take exponential time on it, as `^(a+)+$` does."

_PROMPT = (
    "Your work was checked, and a check failed. What follows says which, and shows the end of its output. Find the "
    "cause and correct it; do not change the checks themselves. Then give your final reply again, whole."
)


def names(job: Job) -> list[str]:
    """Return the names of all checks of the job in their order, the runner's own first."""
    ours = {RULES: has_rules(job), SCAN: job.secret_scan, SCHEMA: job.output_schema is not None}
    return [*(name for name, asked in ours.items() if asked), *(check.name for check in job.checks)]


@dataclass(frozen=True, slots=True)
class Complaint:
    """The answer to failed checks: the prompt of the agent's next turn, and the reason for that turn in the log."""

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
        """`schema` is None if the job has no `output_schema`."""
        self._planned, self._recorder, self._stopping = job, recorder, stopping
        self._transport, self._schema = transport, schema

    @property
    def _job(self) -> Job:
        return placed(self._planned, self._recorder.state)

    async def run(self) -> None:
        """Run each check that no earlier runner has run, and record the results.

        Runs none if the agent has made a repository in the tree: a check's git command would obey its settings.
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
        """Return what to tell the agent of failed checks. Returns None if none failed or no such turn is left.

        Also returns None after a forbidden change or a credential in the tree: these end the run.
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
        # A secret must not get into the agent's context either.
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
        # Redacted again: the redactor may have learned a secret since the plan was recorded.
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
            # The folder existed when codex was started in it.
            told = self._recorder.redactor.text(f"{error.message} It existed when the agent began.")
            self._recorder.emit(CheckEnded(name, False, _CANNOT_RUN, 0.0, told))
            return
        output = shown_output(done.output, self._recorder.redactor)
        if told := left_behind(output):
            self._recorder.warn("left-behind", f"The check {name!r}: {told}")
        self._recorder.emit(CheckEnded(name, done.exit_code == 0, done.exit_code, done.seconds, output))


def _listed(checks: list[CheckEnded]) -> str:
    names = ", ".join(repr(check.name) for check in checks)
    return f"the {plural(len(checks), 'check')} {names}"
