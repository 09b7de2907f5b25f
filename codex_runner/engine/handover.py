"""The delivery of a run, in the steps that a run has for it: ask, pack, fetch, hand over.

The agent is paid in between, so everything that can be refused is refused before it, or before its run directory goes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from codex_runner.dataclass import dataclass
from codex_runner.domain.cancellation import RunCancelledError
from codex_runner.domain.change import show_path
from codex_runner.domain.claim import ClaimTakenError
from codex_runner.domain.delivery import AGAIN, ByHand, DeliveryState
from codex_runner.domain.errors import CredentialError, DeliveryError, LeakError, RunnerError, UnreachableError
from codex_runner.domain.event import DeliveryEnded, DeliveryReady, Guarded, build
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.gate import GreenRun, Outlook
from codex_runner.domain.guard_names import OF_DELIVERY, REVOCATION
from codex_runner.domain.run import Verdict
from codex_runner.git.changes import Before
from codex_runner.git.delivered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from codex_runner.domain.delivery import ChangeSet, Delivered
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.login_secrets import LoginSecrets
    from codex_runner.engine.recorder import Recorder
    from codex_runner.git.delivered import Packed
    from codex_runner.redaction.redactor import Redactor


@dataclass(frozen=True, slots=True)
class Asked:
    """What the forge said before the agent. `facts` are those that a later delivery needs, on whatever machine.

    `outlook` is for the gate: it is empty if the job has none.
    """

    facts: Mapping[str, Any]
    warnings: Sequence[str] = ()
    outlook: Outlook = field(default_factory=Outlook)


class UnrevokedError(CredentialError):
    """The delivery's login at Vault is not proven to be revoked."""


class Deliverer(Protocol):
    """Delivers a job's changes to its forge. `tell` gets the events of the credential, `learn` each of its secrets."""

    async def check(
        self, transport: Transport, tell: Callable[[Event], None], learn: Callable[[Secret], None]
    ) -> Asked:
        """Ask the forge for the repository and the base, and for what the job's gate asks. Changes nothing.

        Keeps no login.

        Raises CredentialError or DeliveryError for what is refused.
        """
        ...

    async def prove(self, commit: str) -> None:
        """Raise DeliveryError if the forge lacks the commit that the agent is to begin with. Call it after `check`.

        What the agent makes of such a commit could not be delivered.
        """
        ...

    async def keep(
        self, transport: Transport, packed: Packed, redactor: Redactor, spared: Collection[str]
    ) -> ChangeSet:
        """Fetch the pack from the host, and keep it on this machine. Idempotent.

        Raises LeakError, and keeps nothing, if there is a secret in it, except those named in `spared`. Raises
        DeliveryError.
        """
        ...

    async def deliver(
        self,
        state: RunState,
        *,
        is_change: bool,
        tell: Callable[[Event], None],
        learn: Callable[[Secret], None],
    ) -> Delivered:
        """Deliver the change of a run, if there is one, as `keep` has kept it. Idempotent.

        Raises DeliveryError or CredentialError. `state` has the facts of `check` under `delivery`.
        """
        ...

    def undelivered(self, state: RunState, reason: str, error: RunnerError | None) -> Delivered:
        """Return the result of a delivery that failed: how far it came, and the ways to finish it by hand.

        `error` is what the last `deliver` raised, None if the change was refused before.
        """
        ...

    async def remember(
        self,
        state: RunState,
        green: GreenRun,
        tell: Callable[[Event], None],
        learn: Callable[[Secret], None],
    ) -> bool:
        """Keep the record of a green run at the forge. Returns False if the forge does not take it. Idempotent.

        Raises DeliveryError or CredentialError.
        """
        ...


class Handover:
    """What a run does for the delivery of its changes. Without a `deliverer`, nothing."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of one run
        self,
        job: Job,
        run_id: str,
        recorder: Recorder,
        login_secrets: LoginSecrets,
        transport: Transport,
        deliverer: Deliverer | None,
    ) -> None:
        """Do nothing yet."""
        self._job, self._run_id, self._recorder = job, run_id, recorder
        self._learn = login_secrets.learn  # no agent gets the token: attaching does not need that very one
        self._transport, self._deliverer = transport, deliverer
        self.facts: dict[str, Any] = {}
        self._outlook: Outlook | None = None
        self._packed: Packed | None = None
        self._refusal: RunnerError | None = None

    async def ask(self) -> Outlook:
        """Ask the forge for the repository and the base, once. Raises what it refuses, before any token is used.

        Returns what the forge says for the gate.
        """
        if self._outlook is not None:
            return self._outlook
        self._outlook = Outlook()
        if self._deliverer is not None:
            asked = await self._deliverer.check(self._transport, self._recorder.emit, self._learn)
            self.facts, self._outlook = {"delivery": asked.facts}, asked.outlook
            for sentence in asked.warnings:
                self._recorder.warn("delivery", self._recorder.redactor.text(sentence))
        return self._outlook

    async def remember(self, green: GreenRun) -> bool:
        """Keep the record of a green run at the forge. Returns False without a delivery, or if the forge refuses it.

        Raises DeliveryError or CredentialError, UnrevokedError if the login at Vault is not proven to be revoked. No
        other guard of the credential counts any more: the run has its verdict.
        """
        if self._deliverer is None:
            return False
        broken: list[Event] = []

        def tell(event: Event) -> None:
            if isinstance(event, Guarded) and event.failed and event.name == f"{OF_DELIVERY}{REVOCATION}":
                broken.append(event)
                self._recorder.emit(event)

        try:
            return await self._deliverer.remember(self._recorder.state, green, tell, self._learn)
        except RunnerError as error:
            if broken:
                raise UnrevokedError(error.message, remedy=error.remedy) from error
            raise

    async def prove(self, tree: Mapping[str, Any] | None) -> None:
        """Raise DeliveryError if nothing could be delivered from this tree, as git has noted it before the agent."""
        if self._deliverer is None or tree is None:
            return
        if not tree["head"]:
            raise DeliveryError(
                "The job has a delivery, and its repository has no commit yet.",
                remedy="Make the first commit, and push it to the delivery's `base`.",
            )
        await self._deliverer.prove(tree["head"])

    async def pack(self, patch: bytes) -> None:
        """Pack what the last comparison found, on the host. Call it before a check or another process can write there.

        What must not be delivered fails the delivery later, once the run has its artifacts.
        """
        if self._deliverer is None:
            return
        self._refusal = self._packed = None
        try:
            self._packed = await self._pack(patch)
        except (UnreachableError, ClaimTakenError, RunCancelledError):
            raise
        except RunnerError as error:
            self._refusal = error

    @property
    def refusal(self) -> str | None:
        """Why the changes of the last comparison cannot be delivered, None if they can. Another turn adds to them."""
        if self._refusal is None:
            return None
        return f"its changes cannot be delivered: {self._recorder.redactor.text(self._refusal.message).rstrip('.')}"

    async def _pack(self, patch: bytes) -> Packed:
        noted = self._recorder.state.facts.get("tree")
        if noted is None:
            raise DeliveryError(
                "The job has a delivery, and git did not compare its tree: there is no repository, or no git.",
                remedy="Let the job work in a git repository, or remove `delivery`.",
            )
        if names := self._recorder.redactor.names_in(patch) - self._spared:
            raise leaked(names)
        packed = await pack(self._transport, build(Before, noted))
        if packed.refused:
            raise DeliveryError(" ".join(packed.refused), remedy=_REFUSED)
        if packed.left_out:
            more = packed.uncommitted - len(packed.left_out)
            shown = ", ".join(map(show_path, packed.left_out)) + (f" and {more} more" if more else "")
            said = f"Not delivered, since they had uncommitted changes before the agent: {shown}."
            self._recorder.warn("delivery", self._recorder.redactor.text(said))
        return packed

    @property
    def _spared(self) -> set[str]:
        """The secrets that are plain words, which a change may hold."""
        return set(self._recorder.state.facts.get("plain", ()))

    async def fetch(self, verdict: Verdict) -> None:
        """Fetch the pack to this machine if the run is green. Call it before the run's directory is removed.

        Records that, so that a runner which attaches later does not need the host.
        """
        if not self._is_due(verdict) or self._deliverer is None:
            return
        tree = ""
        try:
            if self._refusal is not None:
                raise self._refusal
            if self._packed is None:
                raise DeliveryError("The agent's changes were never packed, so nothing can be delivered.")
            if self._packed.is_change:
                change = await self._deliverer.keep(
                    self._transport, self._packed, self._recorder.redactor, self._spared
                )
                tree = change.tree
        except (UnreachableError, ClaimTakenError, RunCancelledError):
            raise
        except RunnerError as error:
            clean = self._recorder.redactor.text
            if self._packed is not None and self._packed.is_change and not isinstance(error, LeakError):
                tree = self._packed.tree  # changes.patch has it
            refused = DeliveryReady(tree, clean(error.message), int(error.exit_code), clean(error.remedy))
            self._recorder.emit(refused)
        else:
            self._recorder.emit(DeliveryReady(tree))

    @property
    def is_ready(self) -> bool:
        """Whether an earlier runner has fetched the pack, and did not come to the end of the delivery."""
        return self._deliverer is not None and self._recorder.state.ready is not None

    async def hand_over(self, verdict: Verdict) -> Verdict:
        """Deliver the change of a green run, and record the result. Returns the verdict of both."""
        recorder, ready = self._recorder, self._recorder.state.ready
        if not self._is_due(verdict) or self._deliverer is None or ready is None:
            return verdict
        clean = recorder.redactor.text
        if ready.refusal:
            refusal = Verdict(ExitCode(ready.exit_code), ready.refusal, remedy=ready.remedy)  # type: ignore[call-arg] # the enum's own __new__ has more
            return self._failed(self._deliverer, verdict, refusal)
        delivered = recorder.state.delivery  # by an earlier runner, which was killed before the verdict
        if delivered is None or delivered.state is DeliveryState.FAILED:
            try:
                delivered = await self._deliverer.deliver(
                    recorder.state, is_change=bool(ready.tree), tell=recorder.emit, learn=self._learn
                )
            except RunnerError as error:
                refusal = Verdict(error.exit_code, error.message, remedy=error.remedy)
                return self._failed(self._deliverer, verdict, refusal, error)
            recorder.emit(DeliveryEnded(cleaned(delivered, clean)))
            told = {warning.message for warning in recorder.state.warnings}  # `ask` may have said the same
            for sentence in map(clean, delivered.warnings):
                if sentence not in told:
                    recorder.warn("delivery", sentence)
        spec = self._job.delivery
        if spec is not None and spec.fails(delivered.state):
            said = f"{verdict.reason}, but its delivery is held: {delivered.reason}"
            return Verdict(ExitCode.DELIVERY, said, remedy=_HELD)
        return verdict

    def _failed(
        self, deliverer: Deliverer, verdict: Verdict, refusal: Verdict, error: RunnerError | None = None
    ) -> Verdict:
        failed = deliverer.undelivered(self._recorder.state, refusal.reason, error)
        self._recorder.emit(DeliveryEnded(cleaned(failed, self._recorder.redactor.text)))
        helps = any(way.way == AGAIN for way in failed.by_hand)
        again = f" Then deliver it with `codex-runner deliver {self._run_id}`." if helps else ""
        reason = f"{verdict.reason}, but its delivery failed: {refusal.reason}"
        return dataclasses.replace(refusal, reason=reason, remedy=f"{refusal.remedy}{again}")

    def _is_due(self, verdict: Verdict) -> bool:
        return self._deliverer is not None and not verdict.exit_code and not verdict.skipped


def leaked(names: Collection[str]) -> LeakError:
    """Return the error for a change that holds these secrets."""
    return LeakError(f"The changes hold {', '.join(sorted(names))}, so they are not delivered.")


def cleaned(delivered: Delivered, clean: Callable[[str], str]) -> Delivered:
    """Return the result with every text redacted."""
    return dataclasses.replace(
        delivered,
        repository=clean(delivered.repository),
        branch=clean(delivered.branch),
        base=clean(delivered.base),
        link=clean(delivered.link),
        reason=clean(delivered.reason),
        warnings=tuple(map(clean, delivered.warnings)),
        by_hand=tuple(
            ByHand(way.way, clean(way.needs), tuple(map(clean, way.commands)), clean(way.link))
            for way in delivered.by_hand
        ),
    )


_HELD = "Merge or close what is there, or delete the branch. Then `codex-runner deliver` delivers this run."
_REFUSED = "Correct what the message names, and run the job again. The changes are in artifacts/changes.patch."
