"""What is delivered: what a run's changes come to as a git tree on top of the commit that the agent began with.

Call `pack` directly after `changes.changes`, before a check or another process can write to the host, and `fetch`
before `Transport.discard`. Both read only recorded trees and objects, never the working tree: see delivered.sh.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import show_path
from codex_runner.domain.delivery import ChangeSet
from codex_runner.domain.errors import DeliveryError, HostError
from codex_runner.git.changes import ask_for_delivery
from codex_runner.git.diff_reader import pairs, text, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from codex_runner.domain.transport_port import Transport
    from codex_runner.git.changes import Before

PACK = "pack"
LFS = "lfs"

MOST = 1 << 30
"""The most bytes that a delivery may have, with its objects of Git LFS."""

_TOLD = 20
_NAMED = 100
_GONE = "000000"
_ENTRY = re.compile(rb"(\d{6}) ([0-9a-f]{40,64})\t(.+)")


@dataclass(frozen=True, slots=True)
class Packed:
    """A delivery as the host has it. A record can hold it: all its fields are plain.

    `base` is the commit that the agent began with, `base_tree` its tree, and `tree` the tree to deliver. For `paths`
    and `modes` see ChangeSet. `folder` on the host holds the pack. `objects` are new objects of Git LFS, each a folder
    and a path in it. `refused` are sentences: if there is one, nothing may be delivered. `left_out` are the first of
    `uncommitted` paths, which had changes before the agent that were not committed; they stay as `base` has them.
    """

    base: str
    base_tree: str
    tree: str
    paths: tuple[str, ...]
    modes: dict[str, str]
    folder: str
    objects: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    uncommitted: int = 0

    @property
    def is_change(self) -> bool:
        """Whether there is anything to deliver: the trees have different ids."""
        return self.tree != self.base_tree


async def pack(transport: Transport, before: Before, *, timeout: float = 300.0) -> Packed:
    """Make the tree to deliver from those of the snapshot and of the last `changes`. Packs its objects on the host.

    Raises DeliveryError if there is no commit to build on, TamperedError if the snapshot was changed.
    """
    answer = dict(pairs(await ask_for_delivery(transport, before, timeout)))
    entries = [_entry(line) for line in _lines(answer[b"entries"])]
    paths = tuple(path for _, path in entries)
    modes = {path: mode for mode, path in entries if mode != _GONE}
    filters = {path: driver for driver, path in map(_filter, _lines(answer[b"filters"]))}
    mine = {*paths, *filters}
    uncommitted = [path for path in _paths(answer[b"uncommitted"]) if path not in mine]
    objects = _lines(answer[b"objects"])
    return Packed(
        text(answer[b"base"]),
        text(answer[b"base_tree"]),
        text(answer[b"tree"]),
        paths,
        modes,
        text(answer[b"folder"]),
        tuple((text(folder), text(path)) for folder, path in zip(objects[::2], objects[1::2], strict=True)),
        _bounded(_refusals(answer, modes, filters)),
        tuple(uncommitted[:_NAMED]),
        len(uncommitted),
    )


async def fetch(transport: Transport, packed: Packed, into: Path) -> ChangeSet:
    """Fetch the pack and the objects of Git LFS into the folder `into`, which only this user can read. Idempotent.

    Raises DeliveryError if `packed` is refused or has no change, or if not all of it arrives.
    """
    if packed.refused:
        raise DeliveryError(" ".join(packed.refused), remedy=_REMEDY)
    if not packed.is_change:
        raise DeliveryError("The agent changed nothing that could be delivered.")
    room = MOST - await _get(transport, packed.folder, [PACK], into, MOST)
    for folder in dict.fromkeys(folder for folder, _ in packed.objects):
        paths = [path for root, path in packed.objects if root == folder]
        room -= await _get(transport, folder, paths, into / LFS, room)
    oids = tuple(dict.fromkeys(path.rpartition("/")[2] for _, path in packed.objects))
    await asyncio.to_thread(_prove, into / LFS, [path for _, path in packed.objects])
    return ChangeSet(packed.base, packed.tree, packed.paths, dict(packed.modes), into / PACK, oids)


_REMEDY = "Correct what the message names, and run the job again, or apply the run's changes.patch by hand."


async def _get(transport: Transport, root: str, paths: list[str], into: Path, room: int) -> int:
    """Fetch these files, and return their size in bytes."""
    fetched = await transport.fetch_files(root, paths, into, limit=room, total=room)
    for path, reason in fetched.left_out.items():
        raise DeliveryError(f"The changes could not be fetched from the host: {show_path(path)}: {reason}.")
    return fetched.received


def _prove(folder: Path, paths: Iterable[str]) -> None:
    """Raise DeliveryError unless the name of each object of Git LFS is the SHA-256 of its content."""
    for path in paths:
        with (folder / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != path.rpartition("/")[2]:
            raise DeliveryError(f"The host's object {path} of Git LFS is damaged: its content has the id {digest}.")


def _refusals(answer: dict[bytes, bytes], modes: dict[str, str], filters: dict[str, str]) -> list[str]:
    said = [
        f"{show_path(path)} has the filter {filters[path]!r} in the attributes from before the agent: the content that "
        "git recorded is not filtered, so it may be cleartext."
        for path in modes
        if path in filters
    ]
    rules: tuple[tuple[bytes, Callable[[str], str]], ...] = (
        (b"clashes", lambda path: f"{path} had uncommitted changes before the agent, which changed it too."),
        (b"nested", lambda path: f"{path} is a submodule, and files in it changed: they belong to its own repository."),
        (b"unread", lambda path: f"{path} changed, and git cannot read it."),
        (b"unpointed", lambda path: f"{path} belongs to Git LFS, and git recorded no pointer: git-lfs did not run."),
        (b"absent", lambda path: f"{path} belongs to Git LFS, and its new object is not on the host."),
    )
    for name, sentence in rules:
        # What git recorded of a file with such a filter always differs from what is committed.
        said += [sentence(show_path(path)) for path in _paths(answer[name]) if path not in filters]
    return said


def _bounded(sentences: list[str]) -> tuple[str, ...]:
    more = len(sentences) - _TOLD
    return (*sentences[:_TOLD], *([f"And {more} more paths."] if more > 0 else []))


def _entry(line: bytes) -> tuple[str, str]:
    """Parse `MODE ID<tab>PATH` into mode and path."""
    said = _ENTRY.fullmatch(line)
    if said is None:
        raise HostError(f"git's answer cannot be read: {text(line)[:80]!r}.")
    return text(said[1]), text(unquote(said[3]))


def _filter(line: bytes) -> tuple[str, str]:
    driver, _, path = line.partition(b" ")
    return text(driver), text(unquote(path))


def _paths(section: bytes) -> list[str]:
    return [text(unquote(line)) for line in _lines(section)]


def _lines(section: bytes) -> list[bytes]:
    return [line for line in section.split(b"\n") if line]
