"""What a delivery finds at its forge: the branch, its pull requests, and the record of the last delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery import record as block
from codex_runner.delivery.branch import DeliveryTarget, Found
from codex_runner.delivery.gitlab_job import GitLabJobForge
from codex_runner.delivery.object_upload import objects_ref
from codex_runner.delivery.plain_git import is_merged
from codex_runner.delivery.push import around, check_place
from codex_runner.delivery.record_ref import read_record, record_ref
from codex_runner.delivery.repository import open_repository
from codex_runner.delivery.tree import changed_paths, is_of
from codex_runner.domain.delivery import DeliveryRecord, PullState
from codex_runner.domain.errors import DeliveryError
from codex_runner.engine.path_rules import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.destination import Destination
    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.domain.delivery import ChangeSet


@dataclass(frozen=True, slots=True)
class OwnRefs:
    """The commits of the runner's own refs for this workflow, "" for one that is not there.

    `objects`: see `delivery.object_upload`.
    """

    record: str
    objects: str


async def look(
    to: Destination, repository: DeliveryRepository, target: DeliveryTarget, made: ChangeSet | None, base: str
) -> tuple[Found, OwnRefs]:
    """Return what there is, and the runner's own refs.

    `base` is the base's commit of now, "" if that does not matter.
    """
    ref = f"refs/heads/{target.branch}"
    names = target.workflow, target.target
    there = await repository.refs(*around(ref), record_ref(*names), objects_ref(*names))
    tip = there.get(ref, "")
    if made is not None and not tip:
        check_place(ref, there)
    kept, at = await read_record(repository, target.workflow, target.target, there=there)
    forge = to.forge
    pulls = [] if forge is None else await forge.find(target.branch)
    opened = next((pull for pull in pulls if pull.state is PullState.OPEN), None)
    record = (block.read(pulls[0].body) if pulls else None) or kept
    if opened is not None:  # a person who takes the record out of an open one takes the branch over
        record = block.read(opened.body)
    ours = set() if kept is None else {kept.tip, kept.next}
    by_push = isinstance(forge, GitLabJobForge)  # only the push itself writes its record
    # On a forge that refuses the record's ref, a runner may have been killed after the push: only the change tells.
    may_be_ours = bool(tip) and kept is None and (by_push or not pulls)
    if may_be_ours and made is not None and await is_of(repository, tip, made):
        ours.add(tip)
    if forge is None and record is not None and not tip and await _is_merged(to, record, target):
        record = None
    changed = None
    if record is not None and not (tip and opened is not None):
        changed = await _base_changed(repository, record, made, base, to.watched)
    found = Found(tip, pulls, record, ours - {""}, changed, may_be_ours=may_be_ours and made is None)
    return found, OwnRefs(at, there.get(objects_ref(*names), ""))


async def _is_merged(to: Destination, record: DeliveryRecord, target: DeliveryTarget) -> bool:
    """Whether a plain remote's base has the last delivery: its branch is then gone for a good reason."""
    async with open_repository(to.remote, to.environ, to.runs, like=record.tip) as repository:
        return await is_merged(repository, target.base, record.tip)


async def _base_changed(
    repository: DeliveryRepository, record: DeliveryRecord, made: ChangeSet | None, base: str, watched: Sequence[str]
) -> bool | None:
    """Whether a file that matters has changed on the base since the last delivery. None: that is not known."""
    if not base:
        return None
    try:
        paths = await changed_paths(repository, record.base, base)
    except DeliveryError:
        return None
    if watched:
        return any(matches(glob, path) for glob in watched for path in paths)
    if made is None:  # before the agent: nobody knows the files that it will change
        return None if paths else False
    return not paths.isdisjoint(made.paths)
