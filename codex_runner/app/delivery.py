"""The delivery of a job's changes: its credential, its forge, its words, put together for one run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.app.by_hand import Leftover, ways
from codex_runner.app.delivered_tree import doubts, origin_of_tree
from codex_runner.app.forge import ForgePlace, place_of
from codex_runner.app.forge_reach import ForgeReach, Listeners
from codex_runner.app.repository_address import password_of, path_of, without_user
from codex_runner.ci_systems import Pipeline
from codex_runner.dataclass import dataclass
from codex_runner.delivery import text
from codex_runner.delivery.by_hand import Undelivered
from codex_runner.delivery.deliver import Delivery, Reached
from codex_runner.delivery.destination import Destination
from codex_runner.delivery.http import DEADLINE
from codex_runner.delivery.leaks import secrets_in
from codex_runner.delivery.pack_store import PackStore
from codex_runner.delivery.refusals import ConflictError, RecordRefusedError
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.text import Words
from codex_runner.domain.delivery import Delivered, DeliveryState, ForgeKind
from codex_runner.domain.errors import CredentialError, UsageError
from codex_runner.domain.event import build, to_json
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.gate import Outlook
from codex_runner.domain.run import new_run_id
from codex_runner.domain.secret import Secret
from codex_runner.engine.credential_rules import default_workflow
from codex_runner.engine.handover import Asked, leaked
from codex_runner.git.delivered import fetch
from codex_runner.transports.directory import runs_root, state_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery import Access, ByHand, ChangeSet, Forge
    from codex_runner.domain.delivery_spec import DeliverySpec
    from codex_runner.domain.errors import RunnerError
    from codex_runner.domain.event import Event
    from codex_runner.domain.gate import GreenRun
    from codex_runner.domain.job import Job
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.git.delivered import Packed
    from codex_runner.redaction.redactor import Redactor


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

    def __init__(
        self,
        job: Job,
        spec: DeliverySpec,
        invocation: Invocation,
        folder: RunFolder,
        *,
        patience: float = DEADLINE,
    ) -> None:
        """Read and ask nothing. `folder` is the run's. `patience` is for how many seconds a request is tried."""
        self._job, self.spec, self._invocation, self._folder = job, spec, invocation, folder
        self._run_id, self._reached = folder.run_id, Reached()
        self._asked: tuple[Delivery, Access] | None = None
        self._forge = ForgeReach(job, spec, invocation, patience=patience)
        self.store = PackStore(state_folder(invocation.environ) / "deliveries")
        """The changes of earlier runs."""

    async def check(
        self, transport: Transport, tell: Callable[[Event], None], learn: Callable[[Secret], None]
    ) -> Asked:
        """See Deliverer.check."""
        self.store.prune()
        environ, secrets = self._invocation.environ, list[Secret]()
        origin = await origin_of_tree(self._job, transport, environ)
        place = place_of(self._job.name, self.spec, without_user(origin), environ)
        noted = Noted(place, self._workflow_at(place), Pipeline(environ).link())

        def learned(secret: Secret) -> None:
            secrets.append(secret)
            learn(secret)

        delivery, forge = await self._open(noted, Listeners(tell, learned))
        try:
            if password_of(origin) in {secret.reveal().strip() for secret in secrets}:
                raise CredentialError(
                    "The tree's remote `origin` has the delivery's token in its address, where the agent can read it.",
                    remedy=_IN_THE_TREE,
                )
            access = await delivery.check()
            gate = self._job.gate
            outlook = Outlook() if gate is None or gate.ignored else await delivery.look_ahead(access)
        finally:
            await _close(forge)
        self._asked = delivery, access
        return Asked(to_json(noted), [*access.warnings, *await doubts(self._job, transport, environ)], outlook)

    async def prove(self, commit: str) -> None:
        """See Deliverer.prove. Most nights begin with the base as it is, which `check` has seen."""
        if self._asked is None:
            return
        delivery, access = self._asked
        if commit != access.base_tip:
            await delivery.prove(commit, self.spec.base or access.default_branch)

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
        delivery, forge = await self._open(noted_of(state), Listeners(tell, learn, again=True))
        try:
            result = await delivery.deliver(change, self.words(state), when=state.started)
        finally:
            self._reached = delivery.reached
            await _close(forge)
        if result.state is DeliveryState.HELD:
            return dataclasses.replace(result, by_hand=self._ways(state, held=result.branch))
        return result

    def undelivered(self, state: RunState, reason: str, error: RunnerError | None) -> Delivered:
        """See Deliverer.undelivered."""
        place, reached = noted_of(state).place, self._reached
        return Delivered(
            DeliveryState.FAILED,
            place.kind,
            Remote(place.url).shown if place.kind is ForgeKind.GIT else place.repository,
            self._branch(state),
            reached.base or self.spec.base or "",
            reached.commit,
            state.ready.tree if state.ready else "",
            link=reached.link,
            reason=reason,
            by_hand=self._ways(state, again=not isinstance(error, ConflictError)),
        )

    def _ways(self, state: RunState, *, held: str = "", again: bool = True) -> tuple[ByHand, ...]:
        """Return the ways to finish by hand. `held` is the branch that others have changed: another one gets it."""
        tree, words, noted = state.ready.tree if state.ready else "", self.words(state), noted_of(state)
        if not tree:  # there is nothing to deliver, or it must not be delivered
            return ()
        change = Undelivered(
            noted.place.kind,
            noted.place.url,
            f"{held}-{self._run_id}" if held else self._branch(state),
            state.facts["tree"]["head"],
            tree,
            text.commit_message(self.spec, words).partition("\n")[0],
            self._reached.base or self.spec.base or "",
            "" if held else self._reached.tip,
        )
        left = Leftover(change, Reached() if held else self._reached, is_held=bool(held), helps_again=again)
        return tuple(ways(left, state, self._folder, self.store))

    def _branch(self, state: RunState) -> str:
        return text.branch(self.spec, self.words(state))

    async def remember(
        self,
        state: RunState,
        green: GreenRun,
        tell: Callable[[Event], None],
        learn: Callable[[Secret], None],
    ) -> bool:
        """See Deliverer.remember."""
        delivery, forge = await self._open(noted_of(state), Listeners(tell, learn, again=True))
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

    async def _open(self, noted: Noted, listeners: Listeners) -> tuple[Delivery, Forge | None]:
        environ, spec, place = self._invocation.environ, self.spec, noted.place
        remote, forge = await self._forge.to(place, listeners)
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


async def probe(  # noqa: PLR0913 - what a run's own check gets, and the patience
    job: Job,
    spec: DeliverySpec,
    invocation: Invocation,
    transport: Transport,
    tell: Callable[[Event], None],
    *,
    patience: float,
) -> Asked:
    """Ask a job's forge what a run would ask before its agent, without a run. See Deliverer.check.

    It leaves out the gate's questions: they tell if a run has something to do, and not if it can.
    """
    ungated, folder = dataclasses.replace(job, gate=None), RunFolder(Path(new_run_id("doctor")))
    delivery = JobDelivery(ungated, spec, invocation, folder, patience=patience)
    return await delivery.check(transport, tell, lambda _: None)


def noted_of(state: RunState) -> Noted:
    """Return what the run has noted before its agent. Raises UsageError if it did not get so far."""
    if (facts := state.facts.get("delivery")) is None:
        raise UsageError(f"{state.run_id} never asked its forge, so it has nothing to deliver.")
    noted: Noted = build(Noted, facts)
    return noted


_IN_THE_TREE = (
    "In GitLab CI, set the job's variable FF_GIT_URLS_WITHOUT_TOKENS to `true`. Elsewhere, take the token out with "
    "`git remote set-url origin ADDRESS`."
)


async def _close(forge: Forge | None) -> None:
    if forge is not None:
        await forge.aclose()
