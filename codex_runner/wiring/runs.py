"""A job in, a run to its end out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote

from codex_runner.domain.concurrency import LockPolicy
from codex_runner.domain.credential import Granted, VaultSettings
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.job import LOCAL_HOST, Job, Limits
from codex_runner.domain.run import StopReason, check_run_id, new_run_id
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.config import Config, NotifySettings
    from codex_runner.domain.event import Record
    from codex_runner.domain.ports import Artifacts, Detector, ReplySchema, Sink, Transport, Workspaces
    from codex_runner.engine.redact import Redactor
    from codex_runner.reports.collect import LocalArtifacts
    from codex_runner.sinks.jsonl import FileJournal
    from codex_runner.transports.ssh import SshTransport

LAST = "last"
_IGNORE = "# Written by codex-runner: runs do not belong into the repository.\n*\n"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command knows of its surroundings, read once from the process and the configuration.

    `junit` is a second place for junit.xml; `ssh_config` is what `ssh -F` gets; without `guards`, JUnit leaves out the
    runner's own promises that were kept. `complain` gets a sentence for whatever fails once the reports are written.
    """

    environ: Mapping[str, str]
    sinks: Sequence[Sink]
    junit: Path | None = None
    vault: VaultSettings = field(default_factory=VaultSettings)
    ssh_config: Path | None = None
    guards: bool = True
    notify: Sequence[NotifySettings] = ()
    metrics: Path | None = None
    ledger: Path | None = None
    complain: Callable[[str], None] = lambda _: None

    @classmethod
    def of(
        cls,
        config: Config | None,
        environ: Mapping[str, str],
        sinks: Sequence[Sink],
        junit: Path | None = None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Take what the configuration says; None stands for its defaults."""
        if config is None:
            return cls(environ, sinks, junit, complain=complain)
        return cls(
            environ,
            [*sinks, *_audit(config, environ)],
            junit,
            vault=config.vault,
            ssh_config=config.ssh_config,
            guards=config.junit_guards,
            notify=config.notify,
            metrics=config.metrics,
            ledger=config.ledger,
            complain=complain,
        )


def _audit(config: Config, environ: Mapping[str, str]) -> list[Sink]:
    wanted = config.audit
    if wanted.file is None and not wanted.syslog:
        return []
    from codex_runner.sinks.audit import SYSLOG_SOCKET, AuditLog, who  # noqa: PLC0415

    digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
    syslog = SYSLOG_SOCKET if wanted.syslog else None
    return [AuditLog(wanted.file, who(environ), config_sha256=digest, syslog=syslog)]


def transport_for(  # noqa: PLR0913 - each a thing in which its callers differ
    host: str,
    environ: Mapping[str, str],
    *,
    reconnect: float = Limits().reconnect,
    ssh_config: Path | None = None,
    tell: Callable[[str, str], None] = lambda _code, _message: None,
    at_once: bool = False,
) -> Transport:
    """Return the transport that reaches a host: this machine, or any alias of OpenSSH's configuration.

    `tell` gets each warning about the connection: a code and a sentence. `at_once`: it starts to connect now.
    """
    if host == LOCAL_HOST:
        from codex_runner.transports.local import LocalTransport  # noqa: PLC0415 - each host loads its own

        return LocalTransport(environ)
    if wrong := host_name_problem(host):  # it may stand on a command line, or in a run's records
        raise ConfigurationError(f"{host!r}: {wrong}.")
    from codex_runner.transports.ssh import SshTransport  # noqa: PLC0415

    options = ("-F", str(ssh_config)) if ssh_config else ()
    transport = SshTransport(host, environ, reconnect=reconnect, ssh_options=options, tell=tell)
    if at_once:
        transport.begin()
    return transport


def bundled_codex(host: str) -> str | None:
    """Return the codex that the package `openai-codex-cli-bin` has put beside this one, if any, for this machine."""
    from importlib.util import find_spec  # noqa: PLC0415

    package = find_spec("codex_cli_bin") if host == LOCAL_HOST else None
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).with_name("bin") / "codex"
    return str(binary) if binary.is_file() else None


def run_job(job: Job, output_dir: Path, setting: Setting) -> tuple[RunFolder, RunState]:
    """Run a job to its end, in a new folder below `output_dir`."""
    from codex_runner.sinks.jsonl import FileJournal  # noqa: PLC0415

    reply_schema(job)  # a bad one is refused before anything is made
    detector(job)
    run_id = new_run_id(job.name)
    folder = RunFolder(made(output_dir) / run_id)
    journal = FileJournal.create(folder)
    secrets = list(job.codex.environment.values())
    return folder, asyncio.run(carry_out(job, folder, RunState(), journal, secrets, setting))


def surrounding_secrets(setting: Setting) -> list[Secret]:
    """Return the secrets that no job has: proxies' passwords, and the addresses and keys of those who are told."""
    from codex_runner.wiring.aftermath import targets_of  # noqa: PLC0415

    targets, _ = targets_of(setting.notify, setting.environ)
    return [*proxy_passwords(setting.environ), *(secret for target in targets for secret in target.secrets)]


async def carry_out(  # noqa: PLR0913, PLR0917 - the parts of one run
    job: Job,
    folder: RunFolder,
    state: RunState,
    journal: FileJournal,
    secrets: Sequence[Secret],
    setting: Setting,
    noted: Sequence[Sequence[Record]] = (),
    without: Sequence[str] = (),
) -> RunState:
    """Go on with a run from where `state` stands, to its end.

    `noted` is what the host keeps of one begun elsewhere; `without` are sentences on the secrets that are not at hand.
    """
    # Checks run what the agent may have written: they get no variable that is known to hold a secret.
    environ = {name: value for name, value in setting.environ.items() if name not in _secret_variables(job, setting)}
    # First, since a host answers while the rest is loaded here.
    transport = transport_for(
        job.host,
        environ,
        reconnect=job.limits.reconnect,
        ssh_config=setting.ssh_config,
        tell=lambda code, message: recorder.warn(code, message),  # noqa: PLW0108 - there is no recorder yet
        at_once=True,
    )
    from codex_runner.codex.agent import Codex  # noqa: PLC0415
    from codex_runner.engine.recorder import Recorder  # noqa: PLC0415
    from codex_runner.engine.redact import Redactor  # noqa: PLC0415
    from codex_runner.engine.runner import Outfit, Runner  # noqa: PLC0415
    from codex_runner.engine.secret_scan import SecretScan  # noqa: PLC0415
    from codex_runner.engine.stopping import Stopping  # noqa: PLC0415
    from codex_runner.reports.collect import LocalArtifacts  # noqa: PLC0415
    from codex_runner.reports.writer import FileReports  # noqa: PLC0415
    from codex_runner.sinks.jsonl import read_records  # noqa: PLC0415
    from codex_runner.transports.directory import state_folder  # noqa: PLC0415
    from codex_runner.wiring.admission import LockedGroup, account_of, doubts  # noqa: PLC0415
    from codex_runner.wiring.aftermath import targets_of, tell_others  # noqa: PLC0415
    from codex_runner.wiring.credentials import JobCredentials  # noqa: PLC0415

    targets, unknown = targets_of(setting.notify, setting.environ)
    redactor = Redactor([*secrets, *surrounding_secrets(setting)])
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    for number, reason in ((signal.SIGINT, StopReason.INTERRUPTED), (signal.SIGTERM, StopReason.TERMINATED)):
        loop.add_signal_handler(number, stopping.request, reason)
    recorder = Recorder(state, journal, setting.sinks, redactor)
    for record in noted[0] if noted else ():
        recorder.emit(record.event, record.time)
    knowing = detector(job)
    scan = SecretScan(knowing) if knowing else None
    wanted = job.concurrency
    if wanted and state.run_id:  # what already runs neither waits nor is refused
        wanted = dataclasses.replace(wanted, policy=LockPolicy.SKIP)
    shared = state_folder(setting.environ)
    own = [str(folder.path.parent.resolve())] if job.host == LOCAL_HOST else []
    outfit = Outfit(
        transport=transport,
        credentials=JobCredentials(setting.vault, setting.environ),
        agent=Codex(
            expect_message=job.expect_message,
            fallback=bundled_codex(job.host),
            hidden=_credential_files(job, setting.vault) if job.host == LOCAL_HOST else (),
            kept=own,
        ),
        artifacts=_artifacts(transport, LocalArtifacts(folder, redactor, *([scan.hide] if scan else [])), job.host),
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
        doubts=doubts(job, setting.ledger, setting.environ),
        later=noted[1:],
        own=own,
    )
    for sentence in without if state.verdict is None or (state.attempt and state.attempt.out_of_reach) else ():
        recorder.warn("by-shape", sentence)
    try:
        state = await Runner(job, folder.run_id, outfit).run()
    finally:
        await transport.close()
    _append_step_summary(state, setting, redactor)
    for sentence in [*unknown, *await tell_others(state, folder, redactor, targets, setting.metrics, setting.environ)]:
        setting.complain(sentence)
    # The verdict stands: a signal that comes while the process leaves must not give it another exit code.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    return state


def reply_schema(job: Job) -> ReplySchema | None:
    """Return what the job's final message is held against. ConfigurationError where that is no schema."""
    if job.output_schema is None:
        return None
    from codex_runner.schema import JsonSchema  # noqa: PLC0415 - brings jsonschema

    try:
        return JsonSchema(job.output_schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.output_schema: {error.message}", remedy=error.remedy) from None


def detector(job: Job) -> Detector | None:
    """Return what knows credentials when it sees them, where the job asks. ConfigurationError where it is missing."""
    if not job.secret_scan:
        return None
    from codex_runner.secret_scan import DetectSecrets  # noqa: PLC0415 - and it loads its library when it is needed

    try:
        return DetectSecrets()
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.secret_scan = true: {error.message}", remedy=error.remedy) from None


def _secret_variables(job: Job, setting: Setting) -> set[str | None]:
    """Return the variables that the configuration names as a secret's place."""
    named = {getattr(setting.vault.auth, f"{what}_variable", None) for what in ("token", "secret_id", "password")}
    if (spec := job.credential) is not None:
        named |= {spec.variable, spec.environment_variable}
    return named.union(*((each.url_variable, each.key_variable, each.token_variable) for each in setting.notify))


def _credential_files(job: Job, vault: VaultSettings) -> list[str]:
    """Return the files that the job's credential, or the login that fetches it, is read from."""
    login = [getattr(vault.auth, name, None) for name in ("token_file", "secret_id_file", "password_file", "key_file")]
    named = [job.credential.file if job.credential else None, *login]
    return [str(Path(each).resolve()) for each in named if each and Path(each).exists()]


def _artifacts(transport: Transport, local: LocalArtifacts, host: str) -> Artifacts:
    if host == LOCAL_HOST:
        return local
    from codex_runner.wiring.artifacts import SshArtifacts  # noqa: PLC0415 - only for hosts that need it

    return SshArtifacts(cast("SshTransport", transport), local)


def _workspaces(transport: Transport, job: Job, environ: Mapping[str, str]) -> Workspaces:
    from codex_runner.workspaces.make import GitWorkspaces  # noqa: PLC0415 - only for jobs that ask for one

    upload = None if job.host == LOCAL_HOST else cast("SshTransport", transport).upload
    return GitWorkspaces(transport, environ, upload)


def proxy_passwords(environ: Mapping[str, str]) -> list[Secret]:
    """Return the passwords in proxies' addresses, as written and decoded: codex gets them, and errors quote them."""
    found: dict[str, None] = {}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for address in (environ.get(name, ""), environ.get(name.lower(), "")):
            # Not urlsplit: addresses without a scheme are common, and a broken one must not hide its password.
            login, at, _ = address.rpartition("@")
            _, colon, password = login.rpartition("//")[2].partition(":")
            if at and colon and password:
                found |= dict.fromkeys((password, unquote(password)))
    return [Secret("PROXY_PASSWORD", password) for password in found]


def read_state(folder: RunFolder) -> RunState:
    """Build a run's state from its events.jsonl, without touching it."""
    from codex_runner.sinks.jsonl import read_records  # noqa: PLC0415

    return fold(read_records(folder.events))


def find_run(output_dir: Path, run: str) -> RunFolder:
    """Find a run by its id below `output_dir`, or the newest as `last`. UsageError where it is not there."""
    if run == LAST:
        from codex_runner.wiring.history import newest  # noqa: PLC0415

        if (found := newest(output_dir)) is not None:
            return found
        raise UsageError(f"There is no run in {output_dir}.", remedy="-o names another folder.")
    folder = RunFolder(output_dir / check_run_id(run))
    if not folder.events.exists():
        raise UsageError(
            f"There is no run {run} in {output_dir}.",
            remedy="`codex-runner runs` lists the runs; -o names another folder. A run that another machine has begun "
            "is attached to with --host.",
        )
    return folder


async def plan(job: Job, environ: Mapping[str, str], ssh_config: Path | None = None) -> dict[str, Any]:
    """Say what a run of this job would do, and start nothing. Values of the environment are left out."""
    from codex_runner.codex.agent import Codex  # noqa: PLC0415

    reply_schema(job)
    detector(job)
    made = {}
    if job.workspace is not None:
        from codex_runner.workspaces.make import look  # noqa: PLC0415

        made = {"workspace": await look(job.workspace, environ)}
    transport = transport_for(job.host, environ, ssh_config=ssh_config)
    agent = Codex(fallback=bundled_codex(job.host))
    try:
        facts = await agent.prepare(job, transport, Granted(), lambda _: None)
    finally:
        await transport.close()
    launch = agent.launch(job, new_run_id(job.name), 1)
    return {
        "job": job.name,
        "host": job.host,
        **made,
        "cwd": launch.cwd,
        "argv": list(launch.command),
        "environment": sorted(launch.environment),
        "config.toml": launch.config,
        "prompt": job.prompt,
        "timeout": launch.timeout,
        "checks": [{"name": check.name, "run": check.run} for check in job.checks],
        "artifacts": list(job.artifacts),
        **facts,
    }


def _append_step_summary(state: RunState, setting: Setting, redactor: Redactor) -> None:
    """Show the summary where GitHub shows it. A file that cannot be written does not change what a run came to."""
    path = setting.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from codex_runner.reports.summary import append_step_summary, summary  # noqa: PLC0415

    text = summary(state)
    if redactor.names_in(text.encode(errors="replace")) - set(state.facts.get("plain", ())):
        text = redactor.text(text)
    with contextlib.suppress(OSError):
        append_step_summary(Path(path), text)


def made(folder: Path) -> Path:
    """Make the output folder, and keep it out of version control."""
    if not folder.exists():
        try:
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text(_IGNORE, encoding="ascii")
        except OSError as error:
            raise ConfigurationError(
                f"{folder}: the output folder cannot be made: {error.strerror}.", remedy="Name another with -o."
            ) from None
    return folder
