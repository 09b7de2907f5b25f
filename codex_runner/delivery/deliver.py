"""One delivery: from a run's change to one branch and, at a forge, one pull request.

Each step may be repeated: the next try, on whatever machine, finds what an earlier one has done and goes on from there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.delivery import record as block
from codex_runner.delivery import text
from codex_runner.delivery.branch import DeliveredChange, DeliveryPolicy, DeliveryTarget, Found, Move, decide, foresee
from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.gitlab_job import GitLabJobForge, require_possible, unknowns
from codex_runner.delivery.green_ref import keep_green, read_green
from codex_runner.delivery.mover import Mover, Tip, note
from codex_runner.delivery.plain_git import find_base, require_push
from codex_runner.delivery.repository import RUNNER, open_repository
from codex_runner.delivery.situation import look
from codex_runner.delivery.tree import change_on
from codex_runner.domain.delivery import Decoration, Delivered, DeliveryRecord
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import BranchMovedError, ConfigurationError, DeliveryError
from codex_runner.domain.gate import GreenRun, Outlook

if TYPE_CHECKING:
    from codex_runner.delivery.branch import Plan
    from codex_runner.delivery.destination import Destination
    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.delivery.text import Words
    from codex_runner.domain.delivery import Access, ChangeSet, PullRequest
    from codex_runner.domain.delivery_spec import DeliverySpec

_TRIES: Final = 3  # another run of the workflow may move the branch in between


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a delivery has come. `base` is the branch of the pull request, "" if the forge was not asked yet.

    `tip` is the branch's commit that the plan replaces, "" if the plan makes the branch. `commit` is on the branch
    instead, "" if it is not there yet. `link` is the page of the pull request that was open before, or is open now.
    """

    base: str = ""
    tip: str = ""
    commit: str = ""
    link: str = ""


class Delivery:
    """One destination and what the job says of it. No call needs what an earlier one has left."""

    def __init__(self, destination: Destination, spec: DeliverySpec) -> None:
        """Make no request."""
        self._to, self._spec = destination, spec
        self._warnings: list[str] = []
        self.reached = Reached()
        """How far the last `deliver` has come."""

    async def check(self) -> Access:
        """Ask what the credential may do, and for the base. Changes nothing. Raises as `Forge.check` does."""
        async with open_repository(self._to.remote, self._to.environ, self._to.runs) as repository:
            access, forge = await self._access(repository), self._to.forge
            self._require_own_branch(access)
            if forge is None or isinstance(forge, (GitHubForge, GitLabJobForge)):
                await require_push(repository)
            if isinstance(forge, GitHubForge):  # it tells what a token may do only when it refuses
                await forge.require_opening(self._to.base or access.default_branch)
            return access

    def _require_own_branch(self, access: Access) -> None:
        """Raise ConfigurationError if `branch` is one that each night's delivery would hold."""
        target = self._target(access)
        if target.is_protected:
            kind = "base" if target.branch == target.base else "repository's default branch"
            raise ConfigurationError(
                f"`delivery.branch` is {target.branch!r}, the {kind}: a delivery writes to a branch of its own.",
                remedy="Name another branch, or leave `branch` out: then it is codex/<owner>/<repo>/<job>.",
            )

    async def prove(self, commit: str, base: str) -> None:
        """Raise DeliveryError if the forge lacks the commit that the agent is to begin with. Changes nothing."""
        async with open_repository(self._to.remote, self._to.environ, self._to.runs, like=commit) as repository:
            await repository.prove(base, commit)

    async def look_ahead(self, access: Access) -> Outlook:
        """Return what the gate asks, after `check`. Changes nothing. Raises as `deliver` does."""
        target = self._target(access)
        async with open_repository(
            self._to.remote, self._to.environ, self._to.runs, like=access.base_tip
        ) as repository:
            found, _ = await look(self._to, repository, target, None, access.base_tip)
            plan = foresee(target, found, self._policy)
            blocked = None if plan is None else self._told(plan, target, plan.pull, None, found.tip)
            pull = found.open_pull
            named = "" if pull is None else f"Pull request {pull.number} is open ({pull.link})."
            try:
                green, at = await read_green(repository, target.workflow, target.target)
            except DeliveryError as error:
                return Outlook(blocked, named, unknown=error.message)
            unread = f"The record of the last green run at the forge (commit {at[:12]}) cannot be read."
            return Outlook(blocked, named, green, unread if at and green is None else "")

    async def remember(self, green: GreenRun, *, when: float) -> None:
        """Keep the record of a green run at the forge, for the gate. Idempotent.

        Raises RecordRefusedError if the forge does not take it, BranchMovedError if another run was faster, and
        otherwise as `check` does.
        """
        async with open_repository(self._to.remote, self._to.environ, self._to.runs, like=green.commit) as repository:
            target = self._target(await self._access(repository))
            _, at = await read_green(repository, target.workflow, target.target)
            await keep_green(repository, target.workflow, target.target, green, at, person=RUNNER, when=when)

    def _target(self, access: Access) -> DeliveryTarget:
        base = self._to.base or access.default_branch
        return DeliveryTarget(self._to.workflow, base, self._to.branch, base, protected=(access.default_branch,))

    @property
    def _policy(self) -> DeliveryPolicy:
        return DeliveryPolicy(self._spec.if_unchanged, self._spec.reopen, plain=self._to.forge is None)

    async def deliver(self, change: ChangeSet | None, words: Words, *, when: float) -> Delivered:
        """Deliver a change; None if the agent changed nothing. `when` is the commit's time, in seconds since the epoch.

        The same arguments make the same commit. Raises DeliveryError or CredentialError if it is refused.
        """
        like = "" if change is None else change.base
        async with open_repository(self._to.remote, self._to.environ, self._to.runs, like=like) as repository:
            access = await self._access(repository)
            self._warnings = list(access.warnings)
            target = self._target(access)
            self.reached = Reached(target.base)
            made = await self._made(repository, change, target.base)
            for _ in range(_TRIES):
                try:
                    return await self._once(repository, access, target, made, words, when)
                except BranchMovedError as error:
                    moved = error
            raise moved

    async def _access(self, repository: DeliveryRepository) -> Access:
        """Return what the forge says of the base and the credential. Of a plain remote, only the push proves that."""
        forge = self._to.forge
        if isinstance(forge, GitLabJobForge):
            require_possible(self._spec)
        if forge is None or isinstance(forge, GitLabJobForge):
            access = await find_base(repository, self._to.base)
        else:
            access = await forge.check(self._to.base)
        if isinstance(forge, GitLabJobForge):
            await forge.require_reading()
            return dataclasses.replace(access, warnings=tuple(unknowns(self._spec, self._to.branch)))
        if access.signs and self._spec.author is not None and self._spec.signing is not Signing.OFF:
            return dataclasses.replace(access, warnings=(*access.warnings, _AUTHOR))
        return access

    async def _made(self, repository: DeliveryRepository, change: ChangeSet | None, base: str) -> ChangeSet | None:
        """Return the change as it is on the base of now. Returns None if the base holds all of it."""
        if change is None:
            return None
        tip = await repository.fetch_base(base, change.base)
        await repository.take(change)
        made = await change_on(repository, change, tip)
        return made if made.paths else None

    async def _once(  # noqa: PLR0913, PLR0917 - what one try knows
        self,
        repository: DeliveryRepository,
        access: Access,
        target: DeliveryTarget,
        made: ChangeSet | None,
        words: Words,
        when: float,
    ) -> Delivered:
        self.reached = Reached(target.base)
        found, refs = await look(self._to, repository, target, made, "" if made is None else made.base)
        spec = self._spec
        change = DeliveredChange("", "", is_empty=True) if made is None else DeliveredChange(made.tree, made.base)
        plan = decide(target, found, change, self._policy)
        if plan.step is Move.CLOSE:
            await self._close(plan, found, words.run)
        if made is None or plan.step not in {Move.CREATE, Move.UPDATE}:
            if plan.step is Move.NOTHING and found.open_pull is not None:
                await self._dress(found.open_pull, found.record)
            return self._told(plan, target, plan.pull, made, found.tip)
        self.reached = Reached(target.base, plan.expected)
        new = DeliveryRecord(target.workflow, target.target, words.run, "", made.base, made.tree)
        mover = Mover(self._to, spec, repository, new, refs, when, self._warnings)
        try:
            if isinstance(self._to.forge, GitLabJobForge):
                tip, opened = await mover.move_with_request(self._to.forge, plan, target, made, words)
                return self._moved(plan, target, opened, made, tip)
            signs = access.signs and spec.signing is not Signing.OFF
            tip = await mover.move(plan, target, made, text.commit_message(spec, words), signs=signs)
        finally:
            if mover.arrived:
                link = plan.pull.link if plan.step is Move.UPDATE and plan.pull is not None else ""
                self.reached = dataclasses.replace(self.reached, commit=mover.arrived, link=link)
        bare = words.run if self._spec.labels or self._spec.reviewers or self._spec.assignees else ""
        if plan.step is Move.UPDATE:
            bare = "" if found.record is None else found.record.bare
        pull = await self._pull(plan, target, words, dataclasses.replace(new, tip=tip.commit, bare=bare))
        if pull is not None and access.waits:
            self._warnings.append(_WAITS)
        return self._moved(plan, target, pull, made, tip)

    async def _close(self, plan: Plan, found: Found, run: str) -> None:
        pull, forge = plan.pull, self._to.forge
        if pull is None or forge is None:
            return
        if found.record is not None:  # before it: a run that is killed here has closed nothing
            await note(forge, pull, dataclasses.replace(found.record, closed=run))
        await forge.close(pull.number)

    async def _pull(
        self, plan: Plan, target: DeliveryTarget, words: Words, record: DeliveryRecord
    ) -> PullRequest | None:
        forge = self._to.forge
        if forge is None:
            return None
        if plan.step is Move.UPDATE and plan.pull is not None:
            told = text.pull_text(self._spec, words, self._to.kind, record, plan.pull.body)
            pull = await forge.update(plan.pull.number, told)
        else:
            told = text.pull_text(self._spec, words, self._to.kind, record)
            pull = await forge.open(target.branch, target.base, told)
            if block.read(pull.body) != record:  # it was open already: an earlier try, or another run
                pull = await forge.update(pull.number, told)
        return await self._dress(pull, record)

    async def _dress(self, pull: PullRequest, record: DeliveryRecord | None) -> PullRequest:
        """Add labels and people, once: a person may take them away again. The record tells if that is still to do."""
        forge, spec = self._to.forge, self._spec
        if forge is None or isinstance(forge, GitLabJobForge) or record is None or not record.bare:
            return pull
        self._warnings += await forge.decorate(pull.number, Decoration(spec.labels, spec.reviewers, spec.assignees))
        return await note(forge, pull, dataclasses.replace(record, bare=""))

    def _moved(
        self, plan: Plan, target: DeliveryTarget, pull: PullRequest | None, made: ChangeSet, tip: Tip
    ) -> Delivered:
        told = self._told(plan, target, pull, made, tip.commit)
        return dataclasses.replace(told, signed=tip.signed, way=tip.way)

    def _told(
        self, plan: Plan, target: DeliveryTarget, pull: PullRequest | None, made: ChangeSet | None, commit: str
    ) -> Delivered:
        return Delivered(
            plan.state,
            self._to.kind,
            self._to.repository,
            target.branch,
            target.base,
            commit,
            "" if made is None else made.tree,
            None if pull is None else pull.number,
            "" if pull is None else pull.link,
            plan.reason,
            warnings=tuple(self._warnings),
        )


_AUTHOR = (
    "`delivery.author` is set, so git pushes the commit and the forge does not sign it: what the forge signs has the "
    "token's account as its author."
)
_WAITS = (
    "CI of this pull request waits for a person's approval, since GITHUB_TOKEN opened it: approve it there, or deliver "
    "with a GitHub App's token."
)
