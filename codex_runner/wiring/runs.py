"""A job in, a run to its end out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codex_runner.codex.agent import Codex
from codex_runner.domain.concurrency import LockPolicy
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.job import LOCAL_HOST, Job, Sandbox
from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.domain.signals import ending_signals
from codex_runner.domain.state import RunState
from codex_runner.engine.check_names import with_shown_names
from codex_runner.engine.config_secrets import secrets_of
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.redact import Redactor
from codex_runner.engine.runner import Outfit, Runner
from codex_runner.engine.secret_scan import SecretScan
from codex_runner.engine.stopping import Stopping
from codex_runner.reports.collect import LocalArtifacts
from codex_runner.reports.summary import append_step_summary, summary
from codex_runner.reports.writer import FileReports
from codex_runner.schema import JsonSchema
from codex_runner.secret_scan import DetectSecrets
from codex_runner.sinks.jsonl import FileJournal, read_records
from codex_runner.transports.directory import runs_root, state_folder
from codex_runner.wiring.admission import LockedGroup, account_of, doubts
from codex_runner.wiring.aftermath import require_usable, targets_of, tell_others
from codex_runner.wiring.artifacts import SshArtifacts
from codex_runner.wiring.credentials import JobCredentials
from codex_runner.wiring.folders import check_state_folder, made
from codex_runner.wiring.hosts import bundled_codex
from codex_runner.wiring.imports import places
from codex_runner.wiring.proposal import ProposedConfig, proposal_at
from codex_runner.wiring.setting import credential_files, surrounding_secrets
from codex_runner.wiring.way import Way
from codex_runner.workspaces.make import GitWorkspaces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codex_runner.domain.event import Record
    from codex_runner.domain.ports import Artifacts, ConfigTrust, Detector, ReplySchema, Transport, Workspaces
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.proposal import Proposal
    from codex_runner.transports.ssh import SshTransport
    from codex_runner.wiring.setting import Setting


_REASONS = {
    signal.SIGINT: StopReason.INTERRUPTED,
    signal.SIGTERM: StopReason.TERMINATED,
    signal.SIGHUP: StopReason.HUNG_UP,
}


def run_job(job: Job, output_dir: Path, setting: Setting) -> tuple[RunFolder, RunState]:
    """Run a job to its end, in a new folder below `output_dir`."""
    reply_schema(job)  # a bad one is refused before anything is made
    detector(job)
    if job.host == LOCAL_HOST:
        check_state_folder(setting.environ)
    require_usable(setting.notify, setting.environ)
    run_id = new_run_id(job.name)
    secrets = secrets_of(job.codex)
    # A signal waits until somebody can take it: a folder that is there has its reports, however the run ends.
    with blocked(ending_signals()):
        folder = RunFolder(made(output_dir) / run_id)
        journal = FileJournal.create(folder)
        return folder, asyncio.run(carry_out(job, folder, RunState(), journal, secrets, setting))


@contextlib.contextmanager
def blocked(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Keep these signals waiting, here and in what is started meanwhile, until they are unblocked or this is left."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


async def carry_out(  # noqa: PLR0913, PLR0917 - the parts of one run
    job: Job,
    folder: RunFolder,
    state: RunState,
    journal: FileJournal,
    secrets: Sequence[Secret],
    setting: Setting,
    noted: Sequence[Sequence[Record]] = (),
    without: Sequence[str] = (),
    way: Way | None = None,
) -> RunState:
    """Go on with a run from where `state` stands, to its end.

    `noted` is what the host keeps of one begun elsewhere; `without` are sentences on the secrets that are not at hand;
    `way` is there if the host has been asked already.
    """
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    signals = ending_signals()
    for number in signals:
        loop.add_signal_handler(number, stopping.request, _REASONS[number])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    # First, since a host answers while the rest is put together here.
    way = way or Way(job, folder.run_id, setting)
    transport = way.transport

    proposal = proposal_at(setting.environ)
    targets, unknown = targets_of(setting.notify, setting.environ)
    redactor = Redactor()
    recorder = Recorder(state, journal, setting.sinks, redactor)
    way.tell = recorder.warn
    for secret in (*secrets, *surrounding_secrets(setting)):
        recorder.learn(secret)
    job = with_shown_names(job, redactor)
    for record in noted[0] if noted else ():
        recorder.emit(record.event, record.time)
    scan = _scan(job)
    wanted = job.concurrency
    if wanted and state.run_id:  # what already runs neither waits nor is refused
        wanted = dataclasses.replace(wanted, policy=LockPolicy.SKIP)
    shared = state_folder(setting.environ)
    kept = LocalArtifacts(
        folder, redactor, hide=scan.hide if scan else None, skip=[shared / "runs", shared / "discarded"]
    )
    own = [str(folder.path.parent.resolve())] if job.host == LOCAL_HOST else []
    outfit = Outfit(
        transport=transport,
        credentials=JobCredentials(setting.vault, setting.environ),
        agent=Codex(
            expect_message=job.expect_message,
            sandboxed=job.sandbox is not Sandbox.DANGER_FULL_ACCESS,
            fallback=bundled_codex(job.host),
            hidden=credential_files(job, setting.vault) if job.host == LOCAL_HOST else (),
            kept=own,
            places=places(job, folder.path.parent.resolve(), setting.environ),
            proposal=proposal,
        ),
        artifacts=_artifacts(transport, kept, job.host, setting.environ),
        reports=FileReports(
            folder,
            extra_junit=setting.junit,
            guards=setting.guards,
            records=lambda: read_records(folder.events),
            redactor=redactor,
        ),
        recorder=recorder,
        stopping=stopping,
        folder=folder,
        schema=reply_schema(job),
        scan=scan,
        workspaces=_workspaces(transport, job, setting.environ) if job.workspace else None,
        group=LockedGroup(shared / "locks", wanted, folder.run_id) if wanted else None,
        account=account_of(job, setting.ledger, setting.environ, shared),
        config_trust=_config_trust(proposal, job, setting),
        doubts=doubts(job, setting.ledger, setting.environ),
        later=noted[1:],
        own=own,
        renewal=way.claim.renewal,
        configuration=setting.digest,
    )
    for sentence in without if state.verdict is None or (state.attempt and state.attempt.out_of_reach) else ():
        recorder.warn("by-shape", sentence)
    told = state.verdict if folder.is_reported else None
    try:
        state = await Runner(job, folder.run_id, outfit).run()
    finally:
        await transport.close()
    if told is not None and state.verdict == told:  # a runner before us has come as far as that, and told everybody
        targets.clear()
    else:
        _append_step_summary(state, setting, redactor)
    for sentence in [*unknown, *await tell_others(state, folder, redactor, targets, setting.metrics, setting.environ)]:
        setting.complain(sentence)
    _ignore(signals, loop)
    return state


def _ignore(signals: Sequence[signal.Signals], loop: asyncio.AbstractEventLoop) -> None:
    """Let the verdict stand: a signal that comes while the process leaves must not give it another exit code."""
    with blocked(signals):  # for a moment each has its default action
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def reply_schema(job: Job) -> ReplySchema | None:
    """Return what the job's final message is held against. ConfigurationError where that is no schema."""
    if job.output_schema is None:
        return None

    try:
        return JsonSchema(job.output_schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.output_schema: {error.message}", remedy=error.remedy) from None


def detector(job: Job) -> Detector | None:
    """Return what knows credentials when it sees them, where the job asks. ConfigurationError where it is missing."""
    if not job.secret_scan:
        return None

    try:
        return DetectSecrets()
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.secret_scan = true: {error.message}", remedy=error.remedy) from None


def _scan(job: Job) -> SecretScan | None:
    knowing = detector(job)
    if knowing is None:
        return None

    return SecretScan(knowing)


def _config_trust(proposal: Proposal | None, job: Job, setting: Setting) -> ConfigTrust | None:
    if proposal is None or not setting.named:  # no proposal, or a run that is attached to: it was judged when it began
        return None

    return ProposedConfig(proposal, job, setting.named, setting.environ)


def _artifacts(transport: Transport, local: LocalArtifacts, host: str, environ: Mapping[str, str]) -> Artifacts:
    if host == LOCAL_HOST:
        return local

    return SshArtifacts(cast("SshTransport", transport), local, runs_root(environ))


def _workspaces(transport: Transport, job: Job, environ: Mapping[str, str]) -> Workspaces:
    upload = None if job.host == LOCAL_HOST else cast("SshTransport", transport).upload
    return GitWorkspaces(transport, environ, runs_root(environ), upload)


def _append_step_summary(state: RunState, setting: Setting, redactor: Redactor) -> None:
    """Show the summary where GitHub shows it. A file that cannot be written does not change what a run came to."""
    path = setting.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return

    text = summary(state)
    if redactor.names_in(text.encode(errors="replace")) - set(state.facts.get("plain", ())):
        text = redactor.text(text)
    with contextlib.suppress(OSError):
        append_step_summary(Path(path), text)
