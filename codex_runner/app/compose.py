"""The only place where adapters meet the engine: the ports of a run, made from its job and the invocation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.app.admission import LockedGroup, account_of, doubts
from codex_runner.app.credentials import JobCredentials
from codex_runner.app.green_runs import FolderGreenRuns
from codex_runner.app.hosts import transport_for
from codex_runner.app.imports import places
from codex_runner.app.job_checks import detector, reply_schema
from codex_runner.app.proposal import ProposedConfig
from codex_runner.app.secret_places import credential_files, passwords_of_proxies
from codex_runner.artifacts.local import LocalArtifacts
from codex_runner.artifacts.remote import RemoteArtifacts
from codex_runner.ci_systems import Pipeline
from codex_runner.codex.agent import Codex
from codex_runner.codex.bundled import bundled_codex
from codex_runner.dataclass import dataclass
from codex_runner.domain.concurrency import LockPolicy
from codex_runner.domain.event import Warned
from codex_runner.domain.job import Job, Sandbox
from codex_runner.domain.state import RunState
from codex_runner.engine.adapters import Adapters, RunContext
from codex_runner.engine.check_names import with_shown_names
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.runner import Runner
from codex_runner.engine.secret_scan import SecretScan
from codex_runner.git.workspaces import GitWorkspaces
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.writer import FileReports
from codex_runner.sinks.jsonl import read_records
from codex_runner.transports.directory import runs_root, state_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.app.invocation import Invocation
    from codex_runner.app.way import Way
    from codex_runner.domain.event import Record
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.host import Host
    from codex_runner.domain.ports import Artifacts, ConfigTrust
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.handover import Deliverer
    from codex_runner.engine.proposal import Proposal
    from codex_runner.engine.stopping import Stopping
    from codex_runner.sinks.jsonl import FileJournal


@dataclass(frozen=True, slots=True)
class Assignment:
    """A run that this runner has: a new one, or one that another runner has begun, to continue from its `state`.

    `secrets` are those of the job. `noted` are the host's records of a run begun on another machine, one list an
    attempt. `without` are sentences on the secrets that are missing.
    """

    job: Job
    folder: RunFolder
    journal: FileJournal
    way: Way
    secrets: Sequence[Secret]
    state: RunState = dataclasses.field(default_factory=RunState)
    noted: Sequence[Sequence[Record]] = ()
    without: Sequence[str] = ()


# Folders of the runner's state that no artifact may come from.
_PRIVATE = ("runs", "discarded", "deliveries", "gates")


def compose(assignment: Assignment, invocation: Invocation, stopping: Stopping) -> tuple[Runner, Redactor]:
    """Make the runner of a run, and the redactor that knows the secrets of this run and of no other."""
    folder, state, way = assignment.folder, assignment.state, assignment.way
    redactor = Redactor()
    recorder = Recorder(state, assignment.journal, invocation.sinks, redactor)
    way.tell = recorder.warn
    proxy = None if assignment.job.delivery is None else assignment.job.delivery.proxy
    for secret in (*assignment.secrets, *invocation.secrets(), *passwords_of_proxies({}, proxy)):
        recorder.learn(secret)
    job = with_shown_names(assignment.job, redactor)
    for record in assignment.noted[0] if assignment.noted else ():
        recorder.emit(record.event, record.time)
    own = [str(folder.path.parent.resolve())] if job.host.is_here else []
    context = RunContext(
        folder=folder,
        doubts=[
            *(Warned("retired", warning) for warning in invocation.warnings),
            *doubts(job, invocation.ledger, invocation.environ),
        ],
        own=own,
        later=assignment.noted[1:],
        renewal=way.claim.renewal,
        configuration=invocation.digest,
        provenance=invocation.provenance(),
    )
    adapters = _adapters(job, assignment, invocation, redactor, own)
    for sentence in (
        assignment.without if state.verdict is None or (state.attempt and state.attempt.out_of_reach) else ()
    ):
        recorder.warn("by-shape", sentence)
    return Runner(job, folder.run_id, adapters, recorder, stopping, context), redactor


def _adapters(
    job: Job, assignment: Assignment, invocation: Invocation, redactor: Redactor, own: Sequence[str]
) -> Adapters:
    folder, transport, environ = assignment.folder, assignment.way.transport, invocation.environ
    knowing, proposal = detector(job), Pipeline(environ).proposal()
    scan = SecretScan(knowing) if knowing else None
    shared = state_folder(environ)
    kept = LocalArtifacts(folder, redactor, hide=scan.hide if scan else None, skip=[shared / each for each in _PRIVATE])
    wanted = job.concurrency
    if wanted and assignment.state.run_id:  # a run that is attached to neither waits nor is refused
        wanted = dataclasses.replace(wanted, policy=LockPolicy.SKIP)
    return Adapters(
        transport=transport,
        credentials=JobCredentials(invocation.vault, environ),
        agent=Codex(
            expect_message=job.expect_message,
            sandboxed=job.sandbox is not Sandbox.DANGER_FULL_ACCESS,
            fallback=bundled_codex(job.host),
            hidden=credential_files(job, invocation.vault, invocation.notify, invocation.audit_files)
            if job.host.is_here
            else (),
            kept=own,
            places=places(job, folder.path.parent.resolve(), environ),
            proposal=proposal,
        ),
        artifacts=_artifacts(transport, kept, job.host, environ),
        reports=FileReports(
            folder,
            extra_junit=invocation.junit,
            guards=invocation.guards,
            records=lambda: read_records(folder.events),
            redactor=redactor,
        ),
        schema=reply_schema(job, environ),
        scan=scan,
        workspaces=GitWorkspaces(transport, environ, runs_root(environ)) if job.workspace else None,
        group=LockedGroup(shared / "locks", wanted, folder.run_id) if wanted else None,
        account=account_of(job, invocation.ledger, environ, shared),
        config_trust=_config_trust(proposal, job, invocation),
        deliverer=_deliverer(job, invocation, folder),
        green_runs=FolderGreenRuns(shared / "gates") if job.gate is not None else None,
    )


def looking_agent(job: Job, environ: Mapping[str, str]) -> Codex:
    """Return the agent for a survey of what is installed, and of what the job would start."""
    return Codex(fallback=bundled_codex(job.host), proposal=Pipeline(environ).proposal())


def transport_to(host: Host, invocation: Invocation) -> Transport:
    """Return a transport for what is not a run of a job: a survey, a cancel, the host's records of a run."""
    return transport_for(
        host,
        invocation.environ,
        ssh_config=invocation.ssh_config,
        tell=lambda _, message: invocation.complain(message),
        hidden=invocation.secret_names,
        given=invocation.given_to(host),
    )


def _deliverer(job: Job, invocation: Invocation, folder: RunFolder) -> Deliverer | None:
    if job.delivery is None:
        return None
    from codex_runner.app.delivery import JobDelivery

    return JobDelivery(job, job.delivery, invocation, folder)


def _config_trust(proposal: Proposal | None, job: Job, invocation: Invocation) -> ConfigTrust | None:
    if proposal is None or not invocation.named:  # no proposal, or a run that is attached to: judged when it began
        return None
    return ProposedConfig(proposal, job, invocation.named, invocation.environ)


def _artifacts(transport: Transport, local: LocalArtifacts, host: Host, environ: Mapping[str, str]) -> Artifacts:
    return local if host.is_here else RemoteArtifacts(transport, local, runs_root(environ))
