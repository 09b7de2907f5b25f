"""The gate before the agent: whether a run has something to do. It spends nothing, and asks the cheapest first.

First the job's own command, then the forge, then the files. What is not known never skips a run: the job runs, and its
log says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from codex_runner.domain.delivery import DeliveryState
from codex_runner.domain.delivery_spec import IfOpen
from codex_runner.domain.errors import DeliveryError, FolderGoneError, RunnerError
from codex_runner.domain.event import DeliveryEnded, Gated, build, to_json
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.gate import GateDecision, GreenRun, UnknownGreenRunError
from codex_runner.engine.command_output import is_alive, left_behind, shown_output
from codex_runner.engine.gate_files import CORRECT_GLOBS, begin_with, compared
from codex_runner.engine.handover import UnrevokedError, cleaned
from codex_runner.engine.verdict import own_failure
from codex_runner.git.base import UnknownBaseError
from codex_runner.git.guard import guarded_command
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.domain.delivery import Delivered
    from codex_runner.domain.delivery_spec import GateSpec
    from codex_runner.domain.gate import Outlook
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.handover import Handover
    from codex_runner.engine.recorder import Recorder

PATIENCE: Final = 60.0  # seconds that the gate's command may take
SKIP: Final = 78  # its exit code for "nothing to do"
_GREEN = frozenset({DeliveryState.DELIVERED, DeliveryState.UPDATED, DeliveryState.UNCHANGED})
_FACTS: Final = "gate"


class GateFailedError(RunnerError):
    """The gate's command failed, so nothing tells if the run has something to do."""

    exit_code = ExitCode.JOB_FAILED
    default_remedy = (
        f"Read the command's output in the log. It must exit with 0 to let the run go on, or with {SKIP} to skip it, "
        f"within {format_duration(PATIENCE)}."
    )


class GreenRuns(Protocol):
    """The records of jobs' last green runs on the runner's machine."""

    def key(self, job: str, repository: str, prefix: str) -> str:
        """Return the record's name for a job in this folder of a repository. It shows neither."""
        ...

    def read(self, key: str) -> GreenRun | None:
        """Return the record, None if there is none. Raises UnknownGreenRunError if it cannot be read."""
        ...

    def keep(self, key: str, green: GreenRun) -> None:
        """Write the record, as a whole or not at all. Raises RunnerError."""
        ...

    def forget(self, key: str) -> None:
        """Remove the record. Idempotent. Raises RunnerError."""
        ...


def skip_reason(gated: Gated | None) -> str | None:
    """Return the reason to skip a run, None if its gate did not decide so."""
    if gated is None or gated.decision != GateDecision.SKIP:
        return None
    return f"the gate skips this run: {gated.reason}"


class Gate:
    """The gate of one run. `decide` comes before the agent, `remember` after a green verdict."""

    def __init__(
        self, run_id: str, recorder: Recorder, handover: Handover, transport: Transport, green_runs: GreenRuns
    ) -> None:
        """Do nothing yet."""
        self._run_id, self._recorder = run_id, recorder
        self._transport, self._handover, self._green_runs = transport, handover, green_runs
        self.facts: dict[str, Any] = {}

    async def decide(self, job: Job) -> str | None:
        """Return None if the run goes on, otherwise the reason to skip it. `job` has its final `cwd`.

        Raises GateFailedError if the gate's command fails, DeliveryError if the delivery is held and the job asks for
        exit code 13 then.
        """
        spec = job.gate
        if spec is None:
            return None
        ran, said = Gated(GateDecision.GO, ""), []
        if spec.ignored:
            said.append("--no-gate lets this run go on")
        elif spec.command is not None:
            ran = await self._run(job, spec.command)
            if ran.decision != GateDecision.GO:
                return self._tell(ran)
            said.append(ran.reason)
        outlook = await self._handover.ask()
        if not spec.ignored and (why := self._blocked(job, spec, outlook)):
            return self._tell(ran, GateDecision.SKIP, why)
        if spec.unless_changed:
            is_same, why = await self._compare(job, spec, outlook)
            if is_same and not spec.ignored:
                return self._tell(ran, GateDecision.SKIP, why)
            said.append(why)
        return self._tell(ran, GateDecision.GO, "; ".join(each for each in said if each) or "nothing speaks against it")

    def _tell(self, ran: Gated, decision: GateDecision | None = None, reason: str | None = None) -> str | None:
        """Record the decision. Returns the reason if it is to skip the run."""
        made = ran if decision is None else Gated(decision, reason or "", ran.exit_code, ran.seconds, ran.output)
        told = self._recorder.redactor.text(made.reason)
        self._recorder.emit(Gated(made.decision, told, made.exit_code, made.seconds, made.output))
        if made.decision == GateDecision.FAIL:
            raise GateFailedError(f"gate failed: {made.reason}", remedy=_CANNOT_RUN.get(made.exit_code or 0))
        return skip_reason(made)

    # --- the command --------------------------------------------------------------------------------------------------

    async def _run(self, job: Job, command: str) -> Gated:
        """Run the gate's command in the job's folder. Its environment has no secret, as that of a check."""
        try:
            done = await self._transport.execute(guarded_command(), cwd=job.cwd, timeout=PATIENCE, arguments=(command,))
        except FolderGoneError as error:
            return Gated(GateDecision.FAIL, error.message)
        output = shown_output(done.output, self._recorder.redactor)
        left = left_behind(output)
        if left:
            self._recorder.warn("left-behind", f"The gate's command: {left}")
        decision, how = GateDecision.FAIL, f"its command exited with {done.exit_code}"
        if done.exit_code is None:
            how = f"its command did not end within {format_duration(PATIENCE)}"
        elif done.exit_code > 128:
            how = f"its command was ended by signal {done.exit_code - 128}"
        elif is_alive(left):
            how = "its command left processes behind that could not be ended"
        elif done.exit_code == 0:
            decision = GateDecision.GO
        elif done.exit_code == SKIP:
            decision = GateDecision.SKIP
        return Gated(decision, how, done.exit_code, done.seconds, output)

    # --- the forge ----------------------------------------------------------------------------------------------------

    def _blocked(self, job: Job, spec: GateSpec, outlook: Outlook) -> str:
        """Return why the delivery would go nowhere, "" if it would not. Records that as the delivery's result."""
        if outlook.blocked is None:
            wanted = spec.if_open is IfOpen.SKIP and outlook.open_pull
            return f'{outlook.open_pull.rstrip(".")}, and `if_open = "skip"`.' if wanted else ""
        result: Delivered = cleaned(outlook.blocked, self._recorder.redactor.text)
        self._recorder.emit(DeliveryEnded(result))
        if job.delivery is not None and job.delivery.fails(result.state):
            self._recorder.emit(Gated(GateDecision.FAIL, result.reason))
            raise DeliveryError(f"the delivery would be held: {result.reason}", remedy=_HELD)
        return outlook.blocked.reason

    # --- the files ----------------------------------------------------------------------------------------------------

    async def _compare(self, job: Job, spec: GateSpec, outlook: Outlook) -> tuple[bool, str]:
        """Return whether this run would be the last green one again, and a sentence on it."""
        try:
            found = await begin_with(job, spec, self._run_id, self._transport, self._recorder.redactor.text)
            if found.spare:
                globs = ", ".join(f"`{glob}`" for glob in found.spare)
                self._recorder.warn(_FACTS, f"gate.unless_changed matches no file with {globs}. {CORRECT_GLOBS}")
            key = self._green_runs.key(job.name, *found.place)
            self.facts = {_FACTS: {"key": key, "green": to_json(found.green)}}
            last = self._last(key, outlook)
        except RunnerError as error:
            if not isinstance(error, UnknownBaseError | UnknownGreenRunError):
                raise
            self._recorder.warn(_FACTS, f"{error.message} So the gate cannot tell if a file has changed.")
            return False, "it cannot tell if a file has changed"
        return compared(last, found.green, spec.unless_changed)

    def _last(self, key: str, outlook: Outlook) -> GreenRun | None:
        """Return the last green run that the forge or this machine knows. Raises UnknownGreenRunError.

        This machine has a newer record than the forge if the forge did not take it.
        """
        if outlook.unknown:
            raise UnknownGreenRunError(outlook.unknown)
        known = [each for each in (outlook.green, self._green_runs.read(key)) if each is not None]
        # Their names begin with their time. Of one run's two records, the one counts that was taken back.
        return max(known, key=lambda green: (green.run, not green.files), default=None)

    # --- after the run ------------------------------------------------------------------------------------------------

    async def remember(self, job: Job, *, is_green: bool) -> None:
        """Keep the record of this run if it is green, and its delivery too. A record that cannot be kept is a warning.

        `is_green` False takes the record back: the run had a good verdict, and lost it when it wrote its reports.
        Raises UnrevokedError if a login stays behind, and RunnerError if the journal fails.
        """
        state = self._recorder.state
        noted = state.facts.get(_FACTS)
        if noted is None:
            return
        if job.delivery is not None and (state.delivery is None or state.delivery.state not in _GREEN):
            return
        green: GreenRun = build(GreenRun, noted["green"])
        tree = state.facts.get("tree")
        is_clean = tree is not None and not tree["dirty"] and tree["head"] == green.commit
        if is_green and not is_clean:
            # What an earlier run has left would hide what this agent did, or failed to do.
            self._recorder.warn(_FACTS, f"This green run is not on record: {_DIRTY}")
        if not (is_green and is_clean):  # an older record must not stay either: it knows nothing of this run's work
            green = green.taken_back
        try:
            await self._keep(noted["key"], green)
        except UnrevokedError:
            raise
        except RunnerError as error:
            self._warn_unkept(error.message, is_green=is_green)
        except Exception as error:  # noqa: BLE001 - the agent is paid, and its changes are delivered: the run must end
            self._warn_unkept(own_failure(error).reason, is_green=is_green)

    async def _keep(self, key: str, green: GreenRun) -> None:
        """Put a record at the forge; if the forge does not take it, on this machine."""
        try:
            if await self._handover.remember(green):
                self._green_runs.forget(key)
                return
        except Exception:
            self._green_runs.keep(key, green)
            raise
        self._green_runs.keep(key, green)

    def _warn_unkept(self, why: str, *, is_green: bool) -> None:
        if is_green:  # otherwise the journal is closed
            self._recorder.warn(_FACTS, f"This green run could not be put on record for other machines: {why}")


# What sh tells by its exit code. The command itself may end so, too: the remedy names the output.
_CANNOT_RUN: Final = {
    126: "Make the program that `gate.command` names executable (`chmod +x`), or name its interpreter: `sh FILE`. "
    "Its output in the log says which one it is.",
    127: "Correct the program's name in `gate.command`, or install it on the job's host: sh finds it by PATH, or by a "
    "path from the job's `cwd`. Its output in the log says which one it is.",
}
_DIRTY = "it did not begin with just the files of its commit, but with uncommitted changes. The next run goes on."
_HELD = "Merge or close what is there, or delete the branch. Then run the job again."
