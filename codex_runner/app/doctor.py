"""What would stop a run, checked without starting one: every check with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from codex_runner.app.compose import looking_agent, transport_to
from codex_runner.app.credentials import JobCredentials
from codex_runner.app.dedicated_host import dedicated
from codex_runner.app.diagnosis import (
    AUDIT_FILE,
    CODEX,
    CODEX_VERSION,
    CONFIGURATION,
    CREDENTIAL,
    DELIVERY,
    HOST,
    OUTPUT_DIR,
    PREFLIGHT,
    RUN_DIR,
    RUNNER,
    VAULT,
    Diagnosis,
)
from codex_runner.app.doctor_git import look_at_git
from codex_runner.app.findings import Findings
from codex_runner.app.folders import cannot_hold_runs
from codex_runner.app.job_checks import detector
from codex_runner.codex.versions import VERSIONS, Standing
from codex_runner.config import resolve_job, variables_of
from codex_runner.domain.credential import AppRoleAuth, CredentialSource, Granted
from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError, SecretStoreError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.job import PROOF
from codex_runner.domain.run import new_run_id
from codex_runner.shell.script import shell_script
from codex_runner.text.counts import counted
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from codex_runner.app.invocation import Invocation
    from codex_runner.config import Config
    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.delivery_spec import DeliveryCredential
    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Host
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Prepared
    from codex_runner.domain.transport_port import Transport

_PATIENCE: Final = 10.0  # seconds for a Vault that does not answer: a person waits here
_SCARCE: Final = 1 << 30  # bytes: a run of a large repository may need as much
_NOTHING: Final = 50 << 20  # bytes: less than codex writes by itself


class Doctor:
    """Checks one configuration. It leaves nothing behind: no login, no file, no process."""

    def __init__(self, config: Config, invocation: Invocation, tell: Callable[[str], None]) -> None:
        """Checks nothing yet. `tell` gets a line of progress."""
        self._config, self._invocation, self._tell = config, invocation, tell
        self._environ = invocation.environ
        self._say = Findings()

    async def examine(self, jobs: Sequence[str]) -> tuple[Diagnosis, ...]:
        """Check everything that these jobs need, in the order in which their runs would need it."""
        self._say.passed(CONFIGURATION, f"{self._config.path}: {counted(len(self._config.jobs), 'job')}")
        self._look_at_files()
        resolved = [job for name in jobs if (job := self._resolve(name))]
        await self._look_at_vault(resolved)
        for host in dict.fromkeys(job.host for job in resolved):
            await self._look_at_host(host, [job for job in resolved if job.host == host])
        return tuple(self._say.found)

    async def examine_host(self, host: Host) -> tuple[Diagnosis, ...]:
        """Check a host without any job: what a run needs there, and what a host for agents alone should not have."""
        self._say.passed(CONFIGURATION, f"{self._config.path}: {counted(len(self._config.jobs), 'job')}")
        self._say.subject = RUNNER if host.is_here else host
        here = (job.cwd for job in self._config.jobs.values() if job.host == host and job.cwd)
        try:
            transport = transport_to(host, self._invocation)
            try:
                await self._look_around(host, transport)
                self._say.found += await dedicated(self._say.subject, transport, tuple(here))
            finally:
                await transport.close()
        except RunnerError as error:
            self._say.failed(HOST, error)
        return tuple(self._say.found)

    # --- this machine ------------------------------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        file = self._config.ssh_config
        if file is not None and not file.is_file():
            error = ConfigurationError(
                f"ssh_config = {str(file)!r}: there is no such file.", remedy="Correct the path."
            )
            self._say.failed("ssh-config", error)
        self._look_at_folder(OUTPUT_DIR, self._config.output_dir)
        if self._config.audit.file is not None:
            self._look_at_folder(AUDIT_FILE, self._config.audit.file, space=False)

    def _look_at_folder(self, rule: str, path: Path, *, space: bool = True) -> None:
        """Check if a folder can be written, or made, and how much space is free; without `space` it is a file."""
        there = next(parent for parent in (path, *path.parents) if parent.exists())
        kind_fits = there.is_dir() if space or there != path else there.is_file()
        if not kind_fits:
            kind = "folder" if space else "file"
            wrong = ConfigurationError(f"{path} must be a {kind}, but {there} is not.", remedy="Name another place.")
            self._say.failed(rule, wrong)
        elif not os.access(there, os.W_OK):
            wrong = ConfigurationError(f"{there} is not writable.", remedy="Make it writable, or name another place.")
            self._say.failed(rule, wrong)
        elif space:
            self._judge_space(rule, str(there), shutil.disk_usage(there).free)

    def _judge_space(self, rule: str, where: str, free: int) -> None:
        message = f"{where} has {free / (1 << 30):.1f} GiB free"
        remedy = "Make room; `codex-runner prune` removes old runs."
        if free < _NOTHING:
            self._say.failed(rule, ConfigurationError(message, remedy=remedy))
        elif free < _SCARCE:
            self._say.warned(rule, message, remedy)
        else:
            self._say.passed(rule, message)

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _resolve(self, name: str) -> Job | None:
        self._say.subject = name
        try:
            needed = variables_of(self._config, name)
            job = resolve_job(self._config, name, variables=dict.fromkeys(needed, ""))
            detector(job)
        except RunnerError as error:
            self._say.failed(CONFIGURATION, error)
            return None
        asks = "".join(f" --var {variable}=..." for variable in sorted(needed))
        self._say.passed(CONFIGURATION, f"it runs with `codex-runner run {name}{asks}`")
        return job

    async def _look_at_vault(self, jobs: Sequence[Job]) -> None:
        self._say.subject = RUNNER
        forges = [job.delivery.credential for job in jobs if job.delivery is not None]
        if not any(_is_from_vault(each) for each in (*(job.credential for job in jobs), *forges)):
            return
        from codex_runner.vault.client import VaultClient

        try:
            with VaultClient(self._impatient, self._environ, on_retry=self._tell) as client:
                health = client.health()
                if not health.initialized or health.sealed:
                    state = "sealed" if health.initialized else "not initialized"
                    raise SecretStoreError(f"Vault at {client.address} is {state}.", remedy="Unseal it.")
                if health.secondary:
                    raise SecretStoreError(
                        f"Vault at {client.address} is a disaster recovery secondary, which serves no requests.",
                        remedy="Point VAULT_ADDR (or `vault.address`) to the primary cluster.",
                    )
                self._say.passed(VAULT, f"{client.address} answers and is unsealed (version {health.version})")
        except RunnerError as error:
            self._say.failed(VAULT, error)

    @property
    def _impatient(self) -> VaultSettings:
        vault = self._config.vault
        return replace(
            vault,
            retry_deadline=min(_PATIENCE, vault.retry_deadline),
            sealed_deadline=min(1.0, vault.sealed_deadline),
        )

    async def _look_at_host(self, host: Host, jobs: Sequence[Job]) -> None:
        self._say.subject = RUNNER if host.is_here else host
        try:
            transport = transport_to(host, self._invocation)
        except RunnerError as error:
            self._say.failed(HOST, error)
            return
        try:
            await self._look_around(host, transport)
            for job in jobs:
                self._say.subject = job.name
                await self._look_at_job(job, transport)
        except RunnerError as error:
            self._say.failed(HOST, error)
        finally:
            await transport.close()

    async def _look_around(self, host: Host, transport: Transport) -> None:
        done = await transport.ask(shell_script("codex_runner.app", "doctor_host.sh"), timeout=30)
        lines = done.output.decode("utf-8", "replace").rstrip("\n").split("\n")
        if done.exit_code != 0 or len(lines) < 3:  # system, folder (whose name may have lines), space
            raise HostError(f"{host}: its shell gave no answer: {end_of(done.last_words, 200)!r}.")
        system, state, free = lines[0], "\n".join(lines[1:-1]), lines[-1]
        where = f"this machine, {platform.node()}" if host.is_here else host
        self._say.passed(HOST, f"{where}: {system}")
        if state.startswith("!"):
            self._say.failed(RUN_DIR, cannot_hold_runs(state[1:]))
        elif free.isdecimal():
            self._judge_space(RUN_DIR, state, int(free) * 1024)

    async def _look_at_job(self, job: Job, transport: Transport) -> None:
        granted = await self._borrow(job)
        await self._look_at_delivery(job, transport)
        if await self._look_at_codex(job, transport) and granted is not None and granted.kind is not None:
            await self._preflight(job, transport, granted)
        await look_at_git(job, transport, self._environ, self._say)

    async def _borrow(self, job: Job) -> Granted | None:
        """Borrow the credential and judge it as a run would; give the login back before this returns."""
        if _is_from_vault(job.credential) and self._must_spare_vault(CREDENTIAL):
            return None
        events: list[Event] = []
        try:
            granted = await JobCredentials(self._impatient, self._environ).borrow(
                job, now=time.time(), tell=events.append, on_retry=self._tell
            )
        except RunnerError as error:
            self._say.refused(CREDENTIAL, events, error)
            return None
        self._say.hear(events)
        if granted.facts is not None:
            version = f", version {granted.facts.version}" if granted.facts.version else ""
            self._say.passed(CREDENTIAL, f"{granted.facts.place}{version}")
        return granted

    def _must_spare_vault(self, rule: str) -> bool:
        """Whether to read nothing from Vault: it is ill, as reported already; or the login works once, for the run."""
        auth = self._config.vault.auth
        if isinstance(auth, AppRoleAuth) and (auth.wrapped or auth.single_use):
            message = "not checked: the secret id works only once, and the run needs it"
            self._say.warned(rule, message, "`codex-runner token list` shows what is known of the token.")
            return True
        return any(each.finding.rule == VAULT and each.exit_code for each in self._say.found)

    async def _look_at_delivery(self, job: Job, transport: Transport) -> None:
        """Ask the forge as a run would before its agent. It changes nothing there, and gives a login back."""
        spec = job.delivery
        if spec is None or (_is_from_vault(spec.credential) and self._must_spare_vault(DELIVERY)):
            return
        from codex_runner.app.delivery import probe

        events: list[Event] = []
        hasty = replace(self._invocation, vault=self._impatient)
        try:
            asked = await probe(job, spec, hasty, transport, events.append, patience=_PATIENCE)
        except RunnerError as error:
            self._say.refused(DELIVERY, events, error)
            return
        self._say.hear(events)
        for sentence in asked.warnings:
            self._say.warned(DELIVERY, sentence, "")
        place = asked.facts["place"]
        self._say.passed(DELIVERY, f"{place['repository']} ({place['kind']}) takes it, as far as the forge tells")

    async def _look_at_codex(self, job: Job, transport: Transport) -> bool:
        agent = looking_agent(job, self._environ)
        told: list[Event] = []
        try:
            prepared = await agent.prepare(job, transport, Granted(), told.append)
        except RunnerError as error:
            self._say.failed(CODEX, error)
            return False
        facts = prepared.facts
        kept = facts["permissions"]["kept"]
        more = f"; read-only to the agent, since it runs outside of the sandbox: {', '.join(kept)}" if kept else ""
        version = facts["codex"]["version"]
        self._say.passed(CODEX, f"{version} at {facts['codex']['path']}{more}")
        self._judge_version(version)
        if job.workspace is None:
            await self._prove(prepared, job, transport, told)
        self._say.hear(told)
        return True

    def _judge_version(self, version: str) -> None:
        verdict = VERSIONS.judge(version)
        if verdict.standing is Standing.SUPPORTED:
            self._say.passed(CODEX_VERSION, f"codex {version} is {verdict.why}")
        else:  # one that is refused has been
            self._say.warned(CODEX_VERSION, f"codex {version} is {verdict.why}", verdict.remedy)

    async def _prove(self, prepared: Prepared, job: Job, transport: Transport, told: list[Event]) -> None:
        """Try the sandbox as a run would, in a run's directory that is removed afterwards."""
        run_id = new_run_id("doctor")
        transport.name_run(run_id)
        try:
            await prepared.prove(job, run_id, transport, told.append)
        except ConfigurationError as error:
            told[:] = [event for event in told if not isinstance(event, Guarded)]
            self._say.failed(PROOF, error)
        finally:
            await transport.discard(run_id)
            transport.name_run(None)

    async def _preflight(self, job: Job, transport: Transport, granted: Granted) -> None:
        told: list[Event] = []
        try:
            prepared = await looking_agent(job, {}).prepare(job, transport, granted, told.append)
            logged_in = await prepared.log_in(job, transport, granted, told.append)
        except RunnerError as error:
            self._say.failed(PREFLIGHT, error)
            return
        doubts = [event for event in told if isinstance(event, Warned)]
        for doubt in doubts:
            self._say.warned(PREFLIGHT, doubt.message, "")
        if any(doubt.code == PREFLIGHT for doubt in doubts) and not any(
            isinstance(event, Guarded) and event.name == PREFLIGHT and event.judged for event in told
        ):
            return  # nothing was proven
        done = logged_in.get("preflight") or {}
        answer = done.get("answer")
        self._say.passed(PREFLIGHT, str(answer) if answer else f"by {done.get('method')}: nothing more can be proven")


def _is_from_vault(credential: CredentialSpec | DeliveryCredential | None) -> bool:
    return credential is not None and credential.source is CredentialSource.VAULT
