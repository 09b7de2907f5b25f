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
from codex_runner.delivery.plain_git import find_base, is_merged, require_push
from codex_runner.delivery.push import Pushed, Update, around, check_place, push, push_lfs
from codex_runner.delivery.push_options import BOUNDS as OPTION_BOUNDS
from codex_runner.delivery.push_options import push_options
from codex_runner.delivery.record_ref import read_record, record_ref, write_record
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.repository import Person, open_repository
from codex_runner.delivery.tree import change_on, changed_paths, contents, is_of
from codex_runner.delivery.upload import Upload
from codex_runner.domain.delivery import (
    CommitWay,
    Decoration,
    Delivered,
    DeliveryRecord,
    ForgeKind,
    PullState,
    PullText,
)
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import BranchMovedError, DeliveryError, ForgeUnreachableError
from codex_runner.domain.gate import GreenRun, Outlook
from codex_runner.engine.path_rules import matches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codex_runner.delivery.branch import Plan
    from codex_runner.delivery.remote import Remote
    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.delivery.text import Words
    from codex_runner.domain.delivery import Access, ChangeSet, Forge, PullRequest
    from codex_runner.domain.delivery_spec import DeliverySpec

_TRIES: Final = 3  # another run of the workflow may move the branch in between
_RUNNER: Final = Person("codex-runner", "codex-runner@localhost")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a job's changes go, all names resolved.

    `forge` is None for a plain remote. `repository` is its name for reports. `base` None means the default branch.
    `runs` is the folder of this machine's run directories. `watched` are globs of the files that matter to the job:
    without any, those that the change touches.
    """

    kind: ForgeKind
    remote: Remote
    forge: Forge | None
    repository: str
    base: str | None
    branch: str
    workflow: str
    environ: Mapping[str, str]
    runs: Path
    watched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Tip:
    """A commit that is on its way to the branch, or on it. `signed` is None if that is not known."""

    commit: str
    signed: bool | None
    way: CommitWay


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
            if forge is None or isinstance(forge, (GitHubForge, GitLabJobForge)):
                await require_push(repository)
            if isinstance(forge, GitHubForge):  # it tells what a token may do only when it refuses
                await forge.require_opening(self._to.base or access.default_branch)
            return access

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
            found, _ = await self._found(repository, target, None, access.base_tip)
            plan = foresee(target, found, self._policy)
            blocked = None if plan is None else self._told(plan, target, plan.pull, None, found.tip)
            pull = found.open_pull
            named = "" if pull is None else f"Pull request {pull.number} is open ({pull.link})."
            try:
                green, _ = await read_green(repository, target.workflow, target.target)
            except DeliveryError as error:
                return Outlook(blocked, named, unknown=error.message)
            return Outlook(blocked, named, green)

    async def remember(self, green: GreenRun, *, when: float) -> None:
        """Keep the record of a green run at the forge, for the gate. Idempotent.

        Raises RecordRefusedError if the forge does not take it, BranchMovedError if another run was faster, and
        otherwise as `check` does.
        """
        async with open_repository(self._to.remote, self._to.environ, self._to.runs, like=green.commit) as repository:
            target = self._target(await self._access(repository))
            _, at = await read_green(repository, target.workflow, target.target)
            await keep_green(repository, target.workflow, target.target, green, at, person=_RUNNER, when=when)

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
        found, at = await self._found(repository, target, made, "" if made is None else made.base)
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
        message = text.commit_message(spec, words)
        if isinstance(self._to.forge, GitLabJobForge):
            done = await self._by_push(repository, self._to.forge, plan, target, made, words, (new, at), when)
            told = self._told(plan, target, done[0], made, done[1])
            return dataclasses.replace(told, signed=False, way=CommitWay.PUSH_OPTIONS)
        tip = await self._move(repository, access, plan, target, made, message, (new, at), when)
        link = plan.pull.link if plan.step is Move.UPDATE and plan.pull is not None else ""
        self.reached = dataclasses.replace(self.reached, commit=tip.commit, link=link)
        bare = words.run if self._spec.labels or self._spec.reviewers or self._spec.assignees else ""
        if plan.step is Move.UPDATE:
            bare = "" if found.record is None else found.record.bare
        pull = await self._pull(plan, target, words, dataclasses.replace(new, tip=tip.commit, bare=bare))
        if pull is not None and access.waits:
            self._warnings.append(_WAITS)
        return dataclasses.replace(self._told(plan, target, pull, made, tip.commit), signed=tip.signed, way=tip.way)

    # --- what is there ------------------------------------------------------------------------------------------------

    async def _found(
        self, repository: DeliveryRepository, target: DeliveryTarget, made: ChangeSet | None, base: str
    ) -> tuple[Found, str]:
        """Return what there is, and the commit that holds the record's ref ("" if there is none).

        `base` is the base's commit of now, "" if that does not matter.
        """
        ref = f"refs/heads/{target.branch}"
        there = await repository.refs(*around(ref), record_ref(target.workflow, target.target))
        tip = there.get(ref, "")
        if made is not None and not tip:
            check_place(ref, there)
        kept, at = await read_record(repository, target.workflow, target.target, there=there)
        forge = self._to.forge
        pulls = [] if forge is None else await forge.find(target.branch)
        opened = next((pull for pull in pulls if pull.state is PullState.OPEN), None)
        if opened is not None:  # a person who takes the record out of an open one takes the branch over
            record = block.read(opened.body)
        else:
            record = (block.read(pulls[0].body) if pulls else None) or kept
        ours = set() if kept is None else {kept.tip, kept.next}
        by_push = isinstance(forge, GitLabJobForge)  # only the push itself writes its record
        if made is not None and tip and kept is None and (by_push or not pulls) and await is_of(repository, tip, made):
            ours.add(tip)  # a forge that refuses the record's ref, and a runner that was killed after the push
        if forge is None and record is not None and not tip and await self._is_merged(record, target):
            record = None
        changed = None
        if record is not None and not (tip and opened is not None):
            changed = await self._base_changed(repository, record, made, base)
        return Found(tip, pulls, record, ours - {""}, changed), at

    async def _is_merged(self, record: DeliveryRecord, target: DeliveryTarget) -> bool:
        """Whether a plain remote's base has the last delivery: its branch is then gone for a good reason."""
        async with open_repository(self._to.remote, self._to.environ, self._to.runs, like=record.tip) as repository:
            return await is_merged(repository, target.base, record.tip)

    async def _base_changed(
        self, repository: DeliveryRepository, record: DeliveryRecord, made: ChangeSet | None, base: str
    ) -> bool | None:
        """Whether a file that matters has changed on the base since the last delivery. None: that is not known."""
        if not base:
            return None
        try:
            paths = await changed_paths(repository, record.base, base)
        except DeliveryError:
            return None
        if self._to.watched:
            return any(matches(glob, path) for glob in self._to.watched for path in paths)
        if made is None:  # before the agent: nobody knows the files that it will change
            return None if paths else False
        return not paths.isdisjoint(made.paths)

    # --- what is done -------------------------------------------------------------------------------------------------

    async def _close(self, plan: Plan, found: Found, run: str) -> None:
        pull, forge = plan.pull, self._to.forge
        if pull is None or forge is None:
            return
        if found.record is not None:  # before it: a run that is killed here has closed nothing
            await _note(forge, pull, dataclasses.replace(found.record, closed=run))
        await forge.close(pull.number)

    async def _move(  # noqa: PLR0913, PLR0917 - what a commit and its push are made of
        self,
        repository: DeliveryRepository,
        access: Access,
        plan: Plan,
        target: DeliveryTarget,
        made: ChangeSet,
        message: str,
        kept: tuple[DeliveryRecord, str],
        when: float,
    ) -> _Tip:
        """Make the commit and move the branch to it: by the forge, which signs it, or else by git's push."""
        record, at = kept
        opened = plan.pull if plan.step is Move.UPDATE else None
        await push_lfs(repository, made)
        signs = access.signs and self._spec.signing is not Signing.OFF and self._spec.author is None
        if isinstance(self._to.forge, GitHubForge) and signs:
            commits = self._to.forge.commits
            upload = Upload(repository, made, record, when)
            done = await commits.make(target.branch, made, message, lambda: contents(repository, made), upload.push)
            if done is not None:
                if not done.signed and self._spec.signing is Signing.REQUIRED:
                    raise DeliveryError("GitHub has not signed the commit that it made.", remedy=_UNSIGNED)
                on_the_way = dataclasses.replace(record, tip=plan.expected, next=done.oid)
                await self._push(repository, upload.undo, on_the_way, at, when, opened)
                self._warnings += await commits.move(target.branch, plan.expected or None, done.oid)
                return _Tip(done.oid, done.signed, done.way)
        if self._spec.signing is Signing.REQUIRED:
            raise DeliveryError("The forge cannot make this commit, so it would not be signed.", remedy=_UNSIGNED)
        commit = await self._commit(repository, made, message, when)
        update = Update(f"refs/heads/{target.branch}", plan.expected, commit)
        await self._push(repository, [update], dataclasses.replace(record, tip=commit), at, when, opened)
        return _Tip(commit, None if self._to.forge is None else False, CommitWay.PUSH)

    async def _by_push(  # noqa: PLR0913, PLR0917 - what a commit, its push and its merge request are made of
        self,
        repository: DeliveryRepository,
        forge: GitLabJobForge,
        plan: Plan,
        target: DeliveryTarget,
        made: ChangeSet,
        words: Words,
        kept: tuple[DeliveryRecord, str],
        when: float,
    ) -> tuple[PullRequest, str]:
        """Make the commit, and move the branch and its merge request by one push. Returns the two."""
        spec, opened = self._spec, plan.pull if plan.step is Move.UPDATE else None
        message = text.commit_message(spec, words)
        await push_lfs(repository, made)
        commit = await self._commit(repository, made, message, when)
        if commit == plan.expected:  # an earlier try pushed it: GitLab reads no options if no branch moves
            commit = await self._commit(repository, made, message, when + 1)
        record = dataclasses.replace(kept[0], tip=commit)
        told = text.pull_text(spec, words, forge.kind, record, "" if opened is None else opened.body, OPTION_BOUNDS)
        wanted = Decoration(spec.labels, (), spec.assignees)
        options = push_options(target.base, told, wanted, opened)
        update = Update(f"refs/heads/{target.branch}", plan.expected, commit)
        pushed = await self._push(repository, [update], record, kept[1], when, None, options)
        try:
            pull = await forge.opened(target.branch, target.base, record, pushed)
        except ForgeUnreachableError:
            raise
        except DeliveryError:
            if (await repository.refs(update.ref)).get(update.ref) == commit:
                raise
            raise BranchMovedError(f"Another run has moved the branch {target.branch} since this one did.") from None
        if opened is None:
            self._warnings += await forge.lacking(pull.number, wanted)
        return pull, commit

    async def _commit(self, repository: DeliveryRepository, made: ChangeSet, message: str, when: float) -> str:
        author = _person(self._spec.author)
        return await repository.commit(made.tree, made.base, message, author=author, committer=_RUNNER, when=when)

    async def _push(  # noqa: PLR0913, PLR0917 - what is pushed, and how it is noted
        self,
        repository: DeliveryRepository,
        updates: Sequence[Update],
        record: DeliveryRecord,
        at: str,
        when: float,
        pull: PullRequest | None,
        options: Sequence[str] = (),
    ) -> Pushed:
        """Push, with the record in a ref of its own. A forge may refuse that ref: it has the pull request's body."""
        ref = record_ref(record.workflow, record.target)
        noted = Update(ref, at, await write_record(repository, record, person=_RUNNER, when=when))
        try:
            return await push(repository, [*updates, noted], options=options)
        except RecordRefusedError:
            if self._to.forge is None:
                raise
            if pull is not None and (known := block.read(pull.body)) is not None:
                await _note(self._to.forge, pull, dataclasses.replace(known, next=record.next or record.tip))
            return await push(repository, updates, options=options) if updates else Pushed()

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
        return await _note(forge, pull, dataclasses.replace(record, bare=""))

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


_UNSIGNED = (
    "Deliver with the token of a GitHub App or with GITHUB_TOKEN, change only plain files, or set "
    '`delivery.signing = "auto"`.'
)
_AUTHOR = (
    "`delivery.author` is set, so git pushes the commit and the forge does not sign it: what the forge signs has the "
    "token's account as its author."
)
_WAITS = (
    "CI of this pull request waits for a person's approval, since GITHUB_TOKEN opened it: approve it there, or deliver "
    "with a GitHub App's token."
)


async def _note(forge: Forge, pull: PullRequest, record: DeliveryRecord) -> PullRequest:
    """Write the record into the pull request's body, and leave all else in it."""
    return await forge.update(pull.number, PullText(pull.title, block.replace(pull.body, record), pull.draft))


def _person(author: str | None) -> Person:
    if author is None:
        return _RUNNER
    name, _, rest = author.rpartition("<")
    return Person(name.strip(), rest.rstrip(">").strip())
