"""Runs that another runner has begun: attach to them, or cancel them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.app.claim import is_open, refuse_gone, take
from codex_runner.app.compose import Assignment, transport_to
from codex_runner.app.credentials import JobCredentials
from codex_runner.app.folders import LAST, find_run, made, read_state, whole_run_id
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Granted
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    HostError,
    RunGoneError,
    SecretStoreError,
    UsageError,
)
from codex_runner.domain.event import Record, RunStarted
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.host import Host
from codex_runner.domain.state import RunState, fold
from codex_runner.engine.config_secrets import PREFIX
from codex_runner.engine.planned import planned_job
from codex_runner.engine.recall import recall
from codex_runner.sinks.jsonl import FileJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.stopping import Stopping


_BY_SHAPE = "Or give --by-shape to go on without: output is then masked only if it looks like a token."


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that a runner has begun. `state` is what is known of it before a runner attaches.

    `noted` is empty if the run's folder is on this machine; otherwise it has the host's records, one list an attempt.
    """

    folder: RunFolder
    state: RunState
    noted: Sequence[Sequence[Record]] = ()

    @property
    def job(self) -> Job:
        """The job as recorded, without its secrets."""
        return planned_job(self.state)


async def find_begun(output_dir: Path, run: str, host: str | None, invocation: Invocation) -> Begun:
    """Find a run below `output_dir`, or else on `host`, which a runner on another machine has begun.

    Raises UsageError if there is no such run, if it never began, or if it runs on another host than `host`.
    """
    if host is not None and not _is_here(output_dir, run):
        noted = await _recall(run, Host(host), invocation)
        return Begun(RunFolder(output_dir / run), fold(noted[0]), noted)
    folder = find_run(output_dir, run)
    state = read_state(folder)
    if not state.run_id:
        raise UsageError(f"{folder.path}: the run was killed before it began; there is nothing to attach to.")
    if host not in (None, state.host):
        raise UsageError(f"{run} runs on {state.host}, not on {host}.", remedy="Leave out --host.")
    return Begun(folder, state)


async def attach(
    begun: Begun,
    invocation: Invocation,
    secrets: Mapping[str, Secret],
    *,
    stopping: Stopping,
    by_shape: bool = False,
) -> RunState:
    """Follow a run whose runner has gone, from its last complete record. `secrets` are the job's own, by name.

    The credential is fetched again from its source, in the version that the run has: it must be masked in all output
    from now on. With `by_shape` the run goes on without a secret that is missing, and its reports name that secret.

    Raises Stopped if it is to end before anything of the run is touched. Raises ConfigurationError if the
    configuration names other services, files or ssh settings than when the run began: the agent may have written it.
    Raises LockedError if another runner has the run's claim, or writes its folder. Raises CredentialError or
    SecretStoreError if a secret of the run is missing; nothing is touched then.
    """
    folder, state = begun.folder, begun.state
    if not begun.noted:  # else the agent's host is not this machine
        _refuse_changed(state, invocation)
    job = begun.job
    at_hand, why = dict(secrets), ""
    try:
        at_hand |= await stopping.unless_stopped(_fetch_again(job, state, invocation))
    except (CredentialError, SecretStoreError) as error:
        if not by_shape:
            error.remedy = f"{error.remedy} {_BY_SHAPE}".strip()
            raise
        why = f" {error.message}"
    named = {*at_hand, *(secret.name for secret in invocation.secrets())}
    missing = [name for name in state.facts.get("secrets", ()) if name not in named]
    # A codex setting may have come from the first runner's command line, which attaching does not have.
    demanded = [name for name in missing if not name.startswith(PREFIX)]
    if demanded and not by_shape:
        raise CredentialError(
            f"{folder.run_id}: secrets of the run are missing: {', '.join(demanded)}.",
            remedy=f"Attach with the configuration and the environment that the run was started with. {_BY_SHAPE}",
        )
    doubt = f"Attached without {', '.join(missing)}, which was masked from then on only if it looked like a token."
    without = [f"{doubt}{why}"] if missing else []
    from codex_runner.app.run import carry_out
    from codex_runner.app.way import Way

    way = Way(job, folder.run_id, invocation)
    try:
        # Before anything of the run is touched, here or there.
        state, journal = await stopping.unless_stopped(_claimed(begun, job, way.transport))
    except BaseException:
        await way.transport.close()
        raise
    assignment = Assignment(job, folder, journal, way, list(at_hand.values()), state, begun.noted, without)
    return await carry_out(assignment, invocation, stopping)


async def _claimed(begun: Begun, job: Job, transport: Transport) -> tuple[RunState, FileJournal]:
    folder = begun.folder
    if begun.noted:
        if not await take(transport, folder.run_id):
            raise RunGoneError(f"there is no run {folder.run_id} on {job.host} any more.")
        made(folder.path.parent)
        return RunState(), FileJournal.create(folder)
    records, journal = FileJournal.recover(folder)
    try:
        state = fold(records)
        if is_open(state) and not await take(transport, folder.run_id):
            refuse_gone(job, state)
    except BaseException:
        journal.close()
        raise
    return state, journal


async def cancel(output_dir: Path, run: str, host: str | None, invocation: Invocation) -> str:
    """End the run, in any phase, and return its id. The runner that follows it writes its reports.

    On `host`, another machine may have begun the run. Raises UsageError if it has no agent yet, or is over.
    """
    if host is not None and not _is_here(output_dir, run):
        await _cancel(run, Host(host), invocation)
        return run
    folder = find_run(output_dir, run)
    state = read_state(folder)
    if not state.host.is_here:  # the configuration says how to reach the host
        _refuse_changed(state, invocation)
    over = UsageError(
        f"{folder.run_id} is over: there is nothing to cancel.", remedy="`codex-runner runs` shows how it ended."
    )
    if not is_open(state):
        raise over
    if state.attempt is None:
        raise UsageError(
            f"{folder.run_id} has no agent yet, so there is nothing to end on its host.",
            remedy="Stop its runner, the process `codex-runner run`, with SIGTERM or Ctrl-C.",
        )
    try:
        await _cancel(folder.run_id, Host(host) if host else state.host, invocation)
    except RunGoneError:  # its runner is about to record the end
        raise over from None
    return folder.run_id


def _refuse_changed(state: RunState, invocation: Invocation) -> None:
    noted = state.facts.get("configuration")
    if noted and invocation.digest and noted != invocation.digest:
        raise ConfigurationError(
            f"{state.run_id}: the configuration was changed since the run began, in [vault], [hosts], notify, audit, "
            "ledger, metrics or ssh_config. The run's agent may have changed it, so no login is sent to these places.",
            remedy="Review the change. Restore the file, or give the original configuration with --config.",
        )


def _is_here(output_dir: Path, run: str) -> bool:
    return run == LAST or RunFolder(output_dir / whole_run_id(output_dir, run)).events.exists()


async def _recall(run_id: str, host: Host, invocation: Invocation) -> list[list[Record]]:
    transport = transport_to(host, invocation)
    try:
        noted = [[_here(record, host) for record in records] for records in await recall(transport, run_id, host)]
    finally:
        await transport.close()
    if fold(noted[0]).run_id != run_id:
        raise HostError(f"{host} has too few records of {run_id}: the runner cannot attach to it.")
    return noted


def _here(record: Record, host: Host) -> Record:
    """Give the host its name on this machine: the first runner may have called it `local`."""
    event = record.event
    if not isinstance(event, RunStarted):
        return record
    facts = {**event.facts, "job": {**event.facts["job"], "host": host}}
    return dataclasses.replace(record, event=dataclasses.replace(event, host=host, facts=facts))


async def _cancel(run_id: str, host: Host, invocation: Invocation) -> None:
    transport = transport_to(host, invocation)
    try:
        await transport.cancel(run_id)
    finally:
        await transport.close()


async def _fetch_again(job: Job, state: RunState, invocation: Invocation) -> dict[str, Secret]:
    """Fetch the run's credential again, judged as of the run's start: an expiry since then does not matter."""
    used = state.facts.get("credential")
    if not used or used["source"] == "workload_identity":
        return {}
    credentials = JobCredentials(invocation.vault, invocation.environ)

    async def borrow(version: int | None = None) -> Granted:
        return await credentials.borrow(
            job, now=state.started, tell=lambda _: None, on_retry=lambda _: None, version=version
        )

    version = used["version"]
    try:
        # Try the newest first: most roles may read no other version.
        granted = await borrow()
    except CredentialError:
        if version is None:
            raise
        granted = Granted()
    if version is not None and (granted.facts is None or granted.facts.version != version):
        try:
            granted = await borrow(version)
        except CredentialError as error:
            error.message = (
                f"{state.run_id} has version {version} of {used['place']}. That is not the newest any more, and Vault "
                f"does not give it out: {error.message}"
            )
            raise
    return {secret.name: secret for secret in granted.secrets}
