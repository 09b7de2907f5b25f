"""The delivery of a job's changes: its credential, its forge, its words, put together for one run."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.app.credentials import default_workflow_of
from codex_runner.app.forge import ForgePlace, place_of
from codex_runner.app.repository_address import path_of, without_user
from codex_runner.ci_systems import Pipeline
from codex_runner.credentials.local import SOURCE, take
from codex_runner.dataclass import dataclass
from codex_runner.delivery import text
from codex_runner.delivery.deliver import Delivery, Destination
from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.gitlab import GitLabForge
from codex_runner.delivery.http import ForgeEndpoint
from codex_runner.delivery.leaks import secrets_in
from codex_runner.delivery.pack_store import PackStore
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.text import Words
from codex_runner.domain.credential import CredentialSource
from codex_runner.domain.delivery import ForgeCredential, ForgeKind
from codex_runner.domain.errors import UsageError
from codex_runner.domain.event import Guarded, Warned, build, to_json
from codex_runner.domain.gate import Outlook
from codex_runner.engine.credential_rules import CredentialUse, default_workflow
from codex_runner.engine.handover import Asked, leaked
from codex_runner.git.delivered import fetch
from codex_runner.git.guard import guard_script
from codex_runner.shell.script import shell_script
from codex_runner.transports.directory import runs_root, state_folder
from codex_runner.transports.local import LocalTransport
from codex_runner.vault.endpoint import proxy_of, require_ca
from codex_runner.vault.lease import borrow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery import ChangeSet, Delivered, Forge
    from codex_runner.domain.delivery_spec import DeliveryCredential, DeliverySpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.gate import GreenRun
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.git.delivered import Packed
    from codex_runner.redaction.redactor import Redactor

# The user name that git over HTTPS sends with a token.
_USERS = {ForgeKind.GITHUB: "x-access-token", ForgeKind.GITLAB: "oauth2", ForgeKind.GIT: "git"}


@dataclass(frozen=True, slots=True)
class _Listeners:
    tell: Callable[[Event], None]
    learn: Callable[[Secret], None]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """What a run notes of its delivery before the agent: another environment would give other answers later.

    `link` is the CI system's page of the run.
    """

    place: ForgePlace
    workflow: str
    link: str = ""


class JobDelivery:
    """Implements engine.handover.Deliverer for a job with a `delivery`."""

    def __init__(self, job: Job, spec: DeliverySpec, invocation: Invocation, run_id: str) -> None:
        """Read and ask nothing."""
        self._job, self.spec, self._invocation, self._run_id = job, spec, invocation, run_id
        self.store = PackStore(state_folder(invocation.environ) / "deliveries")
        """The changes of earlier runs."""

    async def check(
        self, transport: Transport, tell: Callable[[Event], None], learn: Callable[[Secret], None]
    ) -> Asked:
        """See Deliverer.check."""
        self.store.prune()
        environ = self._invocation.environ
        place = place_of(self._job.name, self.spec, await _origin(self._job, transport, environ), environ)
        noted = Noted(place, self._workflow_at(place), Pipeline(environ).link())
        delivery, forge = await self._open(noted, _Listeners(tell, learn))
        try:
            access = await delivery.check()
            gate = self._job.gate
            outlook = Outlook() if gate is None or gate.ignored else await delivery.look_ahead(access)
        finally:
            await _close(forge)
        return Asked(to_json(noted), access.warnings, outlook)

    async def keep(
        self, transport: Transport, packed: Packed, redactor: Redactor, spared: Collection[str]
    ) -> ChangeSet:
        """See Deliverer.keep."""
        environ = self._invocation.environ
        with self.store.staging() as staged:
            change = await fetch(transport, packed, staged)
            if names := await secrets_in(change, redactor, environ, runs_root(environ)) - set(spared):
                raise leaked(names)
            return self.store.keep(change, run=self._run_id, retention=self.spec.retention)

    async def deliver(
        self,
        state: RunState,
        *,
        is_change: bool,
        tell: Callable[[Event], None],
        learn: Callable[[Secret], None],
    ) -> Delivered:
        """See Deliverer.deliver."""
        change = self.store.read(self._run_id).change if is_change else None
        delivery, forge = await self._open(noted_of(state), _Listeners(tell, learn, again=True))
        try:
            return await delivery.deliver(change, self.words(state), when=state.started)
        finally:
            await _close(forge)

    async def remember(
        self,
        state: RunState,
        green: GreenRun,
        tell: Callable[[Event], None],
        learn: Callable[[Secret], None],
    ) -> bool:
        """See Deliverer.remember."""
        delivery, forge = await self._open(noted_of(state), _Listeners(tell, learn, again=True))
        try:
            await delivery.remember(green, when=state.started)
        except RecordRefusedError:
            return False
        finally:
            await _close(forge)
        return True

    def words(self, state: RunState) -> Words:
        """Return what the run has to say."""
        noted = noted_of(state)
        return Words(
            noted.workflow,
            self._job.name,
            self._run_id,
            state.reply or "",
            str(state.facts.get("diffstat", "")),
            noted.link,
            self.spec.names,
        )

    def _workflow_at(self, place: ForgePlace) -> str:
        """Return the workflow whose branch it is: the same from every machine, and from every folder there."""
        credential = self.spec.credential
        return (credential and credential.workflow) or default_workflow(path_of(place.url), self._job.name).lstrip("/")

    async def _open(self, noted: Noted, listeners: _Listeners) -> tuple[Delivery, Forge | None]:
        environ, spec, place = self._invocation.environ, self.spec, noted.place
        if spec.ca_file is not None:
            require_ca(spec.ca_file, f"jobs.{self._job.name}.delivery.ca_file")
        credential = None
        if spec.credential is not None:
            secret = await self._borrow(spec.credential, listeners)
            credential = ForgeCredential(secret, spec.credential.user or _USERS[place.kind])
        config = self._invocation.ssh_config
        ssh = ("ssh",) if config is None else ("ssh", "-F", str(config))
        remote = Remote(place.url, credential, spec.ca_file or "", ssh)
        forge = None if credential is None else self._forge(place, credential)
        destination = Destination(
            place.kind,
            remote,
            forge,
            remote.shown if place.kind is ForgeKind.GIT else place.repository,
            spec.base,
            text.branch(spec, Words(noted.workflow, self._job.name, self._run_id, names=spec.names)),
            noted.workflow,
            environ,
            runs_root(environ),
            self._job.gate.unless_changed if self._job.gate is not None else (),
        )
        return Delivery(destination, spec), forge

    def _forge(self, place: ForgePlace, credential: ForgeCredential) -> Forge | None:
        if place.kind is ForgeKind.GIT:
            return None
        proxy = self.spec.proxy or proxy_of(self._invocation.environ, place.api)
        endpoint = ForgeEndpoint(
            place.api, self.spec.ca_file or self._invocation.environ.get("SSL_CERT_FILE") or None, proxy
        )
        if place.kind is ForgeKind.GITHUB:
            return GitHubForge(endpoint, credential, place.repository)
        return GitLabForge(endpoint, credential, place.repository)

    async def _borrow(self, credential: DeliveryCredential, listeners: _Listeners) -> Secret:
        """Read the token, and give the login back. It is judged by the rules of any credential."""
        spec, environ = credential.spec, self._invocation.environ
        complete = spec.source is CredentialSource.VAULT
        use = CredentialUse(
            credential.workflow or default_workflow_of(self._job, environ),
            self._job.limits.timeout,
            time.time(),
            complete=complete,
        )
        tell = _Renamed(listeners.tell, again=listeners.again)
        if complete:
            borrowed = await borrow(
                spec,
                self._invocation.vault,
                use,
                environment=environ,
                on_event=tell,
                on_secret=listeners.learn,
            )
        else:
            borrowed = take(spec, use, environment=environ, on_event=tell, on_secret=listeners.learn)
        return borrowed.credential.secret


def noted_of(state: RunState) -> Noted:
    """Return what the run has noted before its agent. Raises UsageError if it did not get so far."""
    if (facts := state.facts.get("delivery")) is None:
        raise UsageError(f"{state.run_id} never asked its forge, so it has nothing to deliver.")
    noted: Noted = build(Noted, facts)
    return noted


class _Renamed:
    """Passes on the guards of the delivery's credential under names of their own: it is not the job's credential.

    `again`: the credential is read a second time, and only what fails is news.
    """

    def __init__(self, tell: Callable[[Event], None], *, again: bool) -> None:
        self._tell, self._again = tell, again

    def __call__(self, event: Event) -> None:
        if isinstance(event, Guarded) and (event.failed or not self._again):
            self._tell(dataclasses.replace(event, name=f"delivery {event.name}"))
        elif isinstance(event, Warned) and not self._again and event.code != SOURCE:  # a CI system's own token is fine
            self._tell(event)


async def _close(forge: Forge | None) -> None:
    if forge is not None:
        await forge.aclose()


async def _origin(job: Job, transport: Transport, environ: Mapping[str, str]) -> str:
    """Return the address of the tree's remote, as the host has it before the agent. Returns "" if there is none."""
    if job.workspace is not None and job.workspace.is_url:
        return without_user(job.workspace.repo)
    script = f"{guard_script()}\n{shell_script('codex_runner.git', 'origin.sh')}"
    cwd = job.cwd if job.workspace is None else job.workspace.repo
    if job.workspace is not None:
        transport = LocalTransport(environ)
    done = await transport.ask(script, cwd=cwd)
    return without_user(done.output.decode("utf-8", "surrogateescape").strip())
