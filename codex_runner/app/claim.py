"""The claim on a run: that of this process, and taking over one that another runner has left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codex_runner.domain.claim import EXPIRY, RENEWAL, TAKEN_OVER, Claim, ClaimTakenError, Process
from codex_runner.domain.errors import LockedError, RunGoneError
from codex_runner.engine.checks import names
from codex_runner.text.durations import format_duration
from codex_runner.transports.processes import birth, here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport

# For tests, which cannot wait for a minute: `RENEWAL/EXPIRY` in seconds. Not a setting, and not documented.
_PACE = "CODEX_RUNNER_CLAIM_PACE"


def own_claim(run_id: str, environ: Mapping[str, str]) -> Claim:
    """Return this process's claim on a run."""
    renewal, _, expiry = environ.get(_PACE, "").partition("/")
    return Claim(run_id, _this_process(os.getpid()), float(renewal or RENEWAL), float(expiry or EXPIRY))


async def take(transport: Transport, run_id: str) -> bool:
    """Take a run's claim. Returns False if the run is not on its host. Raises LockedError if another runner has it.

    The claim of a runner that was on this machine, and is dead, is free at once.
    """
    try:
        return await transport.claim(run_id)
    except ClaimTakenError as taken:
        holder = taken.holder
        if holder.number is None or holder.process is None or not _is_dead(holder.process):
            raise _locked(run_id, taken) from None
    try:
        return await transport.claim(run_id, dead=holder.number)
    except ClaimTakenError as taken:
        raise _locked(run_id, taken) from None


def is_open(state: RunState) -> bool:
    """Whether a runner that attaches to the run has anything to do on its host."""
    return state.verdict is None or (state.attempt is not None and state.attempt.out_of_reach)


def refuse_gone(job: Job, state: RunState) -> None:
    """Raise RunGoneError for a run that its host does not have any more, if another runner has judged it.

    By its log another runner took it over, or it has checks left, which no runner may run any more.
    """
    attempt = state.attempt
    done = attempt is not None and attempt.ending is not None and attempt.ending.failure is None
    told = next((warning.message for warning in state.warnings if warning.code == TAKEN_OVER), "")
    if told or (done and set(names(job)) - set(state.checks)):
        raise RunGoneError(
            told or f"{state.run_id} is not on {state.host} any more: another runner has judged it, or it was removed.",
            remedy="If another machine attached to it, look for the reports there.",
        )


def _this_process(pid: int) -> Process:
    machine, boot, node = here()
    # The user is part of the name: the processes of another user may be invisible here.
    return Process.of(node, machine, f"{boot}.{os.getuid()}", pid, birth(pid) or "")


def _is_dead(process: Process) -> bool:
    ours = _this_process(process.pid)
    return (ours.machine, ours.boot) == (process.machine, process.boot) and ours.born != process.born


def _locked(run_id: str, taken: ClaimTakenError) -> LockedError:
    return LockedError(
        f"{run_id} is held by {taken.holder}.",
        remedy="Wait for it, end its agent with `codex-runner cancel`, or end that runner. A claim that is not renewed "
        f"is free after {format_duration(EXPIRY)}.",
    )
