"""The commit of one delivery, and the branch that moves to it: by the forge, by a push, or by a push with options."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery import record as block
from codex_runner.delivery import text
from codex_runner.delivery.branch import Move
from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.object_upload import ObjectUpload
from codex_runner.delivery.push import Pushed, Update, push, push_lfs
from codex_runner.delivery.push_options import BOUNDS as OPTION_BOUNDS
from codex_runner.delivery.push_options import push_options
from codex_runner.delivery.record_ref import record_ref, write_record
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.repository import RUNNER, Person
from codex_runner.delivery.tree import contents
from codex_runner.domain.delivery import CommitWay, Decoration, PullText
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import BranchMovedError, DeliveryError, ForgeUnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.branch import DeliveryTarget, Plan
    from codex_runner.delivery.destination import Destination
    from codex_runner.delivery.gitlab_job import GitLabJobForge
    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.delivery.situation import OwnRefs
    from codex_runner.delivery.text import Words
    from codex_runner.domain.delivery import ChangeSet, DeliveryRecord, Forge, PullRequest
    from codex_runner.domain.delivery_spec import DeliverySpec


@dataclass(frozen=True, slots=True)
class Tip:
    """A commit that is on its way to the branch, or on it. `signed` is None if that is not known."""

    commit: str
    signed: bool | None
    way: CommitWay


class Mover:
    """Makes one commit and moves the branch to it. The record of the delivery moves with it."""

    def __init__(  # noqa: PLR0913, PLR0917 - where it goes, and what the record replaces
        self,
        to: Destination,
        spec: DeliverySpec,
        repository: DeliveryRepository,
        record: DeliveryRecord,
        refs: OwnRefs,
        when: float,
        warnings: list[str],
    ) -> None:
        """Make no request. `record` is the new one, `refs` has the old one. `when`: see Delivery.

        `warnings` gets what the forge leaves out.
        """
        self._to, self._spec, self._repository = to, spec, repository
        self._record, self._refs, self._when, self._warnings = record, refs, when, warnings
        self.arrived = ""
        """The commit that is on the branch now, "" if none of this mover's is known to be there."""

    async def move(self, plan: Plan, target: DeliveryTarget, made: ChangeSet, message: str, *, signs: bool) -> Tip:
        """Let the forge make the commit if it `signs` it, or else push one."""
        opened = plan.pull if plan.step is Move.UPDATE else None
        await push_lfs(self._repository, made)
        upload = ObjectUpload(self._repository, made, self._record, self._refs.objects, self._when)
        if isinstance(self._to.forge, GitHubForge) and signs and self._spec.author is None:
            commits = self._to.forge.commits
            content = lambda: contents(self._repository, made)  # noqa: E731 - read only if the forge takes it
            done = await commits.make(target.branch, made, message, content, upload.push)
            if done is not None:
                if not done.signed and self._spec.signing is Signing.REQUIRED:
                    raise DeliveryError("GitHub has not signed the commit that it made.", remedy=_UNSIGNED)
                on_the_way = dataclasses.replace(self._record, tip=plan.expected, next=done.oid)
                await self._push([], on_the_way, opened)
                await commits.move(target.branch, plan.expected or None, done.oid)
                self.arrived = done.oid
                self._warnings += await commits.tidy(target.branch, done.oid)
                self._warnings += filter(None, [await upload.remove()])
                return Tip(done.oid, done.signed, done.way)
        if self._spec.signing is Signing.REQUIRED:
            raise DeliveryError("The forge cannot make this commit, so it would not be signed.", remedy=_UNSIGNED)
        commit = await self._commit(made, message, self._when)
        update = Update(f"refs/heads/{target.branch}", plan.expected, commit)
        await self._push([update], dataclasses.replace(self._record, tip=commit), opened)
        self.arrived = commit
        self._warnings += filter(None, [await upload.remove()])
        return Tip(commit, None if self._to.forge is None else False, CommitWay.PUSH)

    async def move_with_request(
        self, forge: GitLabJobForge, plan: Plan, target: DeliveryTarget, made: ChangeSet, words: Words
    ) -> tuple[Tip, PullRequest]:
        """Move the branch and its merge request by one push with options."""
        spec, opened = self._spec, plan.pull if plan.step is Move.UPDATE else None
        message = text.commit_message(spec, words)
        await push_lfs(self._repository, made)
        commit = await self._commit(made, message, self._when)
        if commit == plan.expected:  # an earlier try pushed it: GitLab reads no options if no branch moves
            commit = await self._commit(made, message, self._when + 1)
        record = dataclasses.replace(self._record, tip=commit)
        told = text.pull_text(spec, words, forge.kind, record, "" if opened is None else opened.body, OPTION_BOUNDS)
        wanted = Decoration(spec.labels, (), spec.assignees)
        update = Update(f"refs/heads/{target.branch}", plan.expected, commit)
        pushed = await self._push([update], record, None, push_options(target.base, told, wanted, opened))
        self.arrived = commit
        try:
            pull = await forge.opened(target.branch, target.base, record, pushed)
        except ForgeUnreachableError:
            raise
        except DeliveryError:
            if (await self._repository.refs(update.ref)).get(update.ref) == commit:
                raise
            self.arrived = ""
            raise BranchMovedError(f"Another run has moved the branch {target.branch} since this one did.") from None
        if opened is None:
            self._warnings += await forge.lacking(pull.number, wanted)
        return Tip(commit, signed=False, way=CommitWay.PUSH_OPTIONS), pull

    async def _commit(self, made: ChangeSet, message: str, when: float) -> str:
        author = _person(self._spec.author)
        return await self._repository.commit(made.tree, made.base, message, author=author, committer=RUNNER, when=when)

    async def _push(
        self,
        updates: Sequence[Update],
        record: DeliveryRecord,
        pull: PullRequest | None,
        options: Sequence[str] = (),
    ) -> Pushed:
        """Push, with the record in a ref of its own. A forge may refuse that ref: it has the pull request's body."""
        ref = record_ref(record.workflow, record.target)
        kept = await write_record(self._repository, record, person=RUNNER, when=self._when)
        try:
            return await push(self._repository, [*updates, Update(ref, self._refs.record, kept)], options=options)
        except RecordRefusedError:
            if self._to.forge is None:
                raise
            if pull is not None and (known := block.read(pull.body)) is not None:
                await note(self._to.forge, pull, dataclasses.replace(known, next=record.next or record.tip))
            return await push(self._repository, updates, options=options) if updates else Pushed()


async def note(forge: Forge, pull: PullRequest, record: DeliveryRecord) -> PullRequest:
    """Write the record into the pull request's body, and leave all else in it."""
    return await forge.update(pull.number, PullText(pull.title, block.replace(pull.body, record), pull.draft))


_UNSIGNED = (
    "Deliver with the token of a GitHub App or with GITHUB_TOKEN, change only plain files, or set "
    '`delivery.signing = "auto"`.'
)


def _person(author: str | None) -> Person:
    if author is None:
        return RUNNER
    name, _, rest = author.rpartition("<")
    return Person(name.strip(), rest.rstrip(">").strip())
