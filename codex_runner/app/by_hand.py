"""What is left to do by hand after a delivery that has failed or is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery.by_hand import Undelivered, from_branch, from_pack, from_patch, from_pull, from_runner
from codex_runner.delivery.pack_store import LFS
from codex_runner.domain.errors import DeliveryError
from codex_runner.reports.facts import own_patch
from codex_runner.transports.processes import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.delivery.deliver import Reached
    from codex_runner.delivery.pack_store import Kept, PackStore
    from codex_runner.domain.delivery import ByHand
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState


@dataclass(frozen=True, slots=True)
class Leftover:
    """A delivery that has stopped on its way. `helps_again`: the same delivery may succeed later."""

    change: Undelivered
    reached: Reached
    is_held: bool
    helps_again: bool


def ways(left: Leftover, state: RunState, folder: RunFolder, store: PackStore) -> Iterator[ByHand]:
    """Yield the ways to finish the delivery, the simplest first. All of them end with the tree that was recorded."""
    kept, machine = _kept(store, folder.run_id), here()[2]
    if kept is not None and left.helps_again:
        when = "once the branch is free" if left.is_held else "once the cause is gone"
        yield from_runner(folder.run_id, folder.path.absolute().parent, machine, when=when)
    if left.reached.link:
        yield from_pull(left.reached.link)
        return
    if left.reached.commit:
        if left.change.has_pulls:
            yield from_branch(left.change)
        return
    patch = own_patch(state)
    if patch and not (kept and kept.change.lfs):
        yield from_patch(left.change, folder.path.absolute() / patch)
    if kept is not None:
        pack = kept.change.pack
        yield from_pack(left.change, pack, machine, lfs=pack.parent / LFS if kept.change.lfs else None)


def _kept(store: PackStore, run: str) -> Kept | None:
    try:
        return store.read(run)
    except DeliveryError:
        return None
