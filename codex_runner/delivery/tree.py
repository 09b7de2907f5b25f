"""The tree to deliver: the base's tree, with only the changed paths replaced.

If the base has moved, the tree is made anew on it, path by path: a three-way merge by git's `merge-file` for files that
both sides changed, a conflict for all else that both changed. No attribute and no merge driver is obeyed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery.refusals import ConflictError
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.domain.delivery import ChangeSet

_RAW = re.compile(rb":(\d{6}) (\d{6}) ([0-9a-f]+) ([0-9a-f]+) [A-Z]\d*")
_GONE = "000000"
_SUBMODULE = "160000"
_FILES = frozenset({"100644", "100755"})
_TOLD = 20


@dataclass(frozen=True, slots=True)
class _Entry:
    """A path's mode and object. The mode of a path that does not exist is 000000."""

    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class _Replaced:
    """A path in two trees."""

    old: _Entry
    new: _Entry


async def change_on(repository: DeliveryRepository, change: ChangeSet, base: str) -> ChangeSet:
    """Make the change anew on the commit `base`. Its result has no paths if `base` holds all of it already.

    Call `Repository.fetch_base` and `take` first. Raises ConflictError if the change does not apply to `base`, and
    DeliveryError if the objects are not those of the change that the run has recorded.
    """
    mine = await _diff(repository, change.base, change.tree)
    modes = {path: replaced.new.mode for path, replaced in mine.items() if replaced.new.mode != _GONE}
    if set(mine) != set(change.paths) or modes != change.modes:
        raise DeliveryError("The tree to deliver is not the one that the run has recorded: other paths differ.")
    moved = {} if base == change.base else await _diff(repository, change.base, base)
    entries: dict[str, _Entry] = {}
    conflicts: set[str] = set()
    for path, replaced in mine.items():
        theirs = moved.get(path)
        if theirs is None:
            entries[path] = replaced.new
        elif theirs.new != replaced.new:
            merged = await _merged(repository, replaced, theirs.new)
            if merged is None:
                conflicts.add(path)
            elif merged != theirs.new:
                entries[path] = merged
    made = await _replace(repository, base, entries)
    # A file in the place of a folder, or the other way round, replaces what nobody has changed.
    conflicts |= set(await _diff(repository, base, made)) ^ entries.keys()
    if conflicts:
        raise _conflict(conflicts, base)
    if base == change.base and made != change.tree:
        raise DeliveryError("The tree to deliver is not the base's tree with the changed paths.")
    modes = {path: entry.mode for path, entry in entries.items() if entry.mode != _GONE}
    return dataclasses.replace(change, base=base, tree=made, paths=tuple(sorted(entries)), modes=modes)


async def contents(repository: DeliveryRepository, change: ChangeSet) -> AsyncIterator[tuple[str, str, bytes]]:
    """Yield path, mode and content of each changed path that still exists: of a submodule, its commit's id in hex."""
    for path, replaced in (await _diff(repository, change.base, change.tree)).items():
        mode, oid = replaced.new.mode, replaced.new.oid
        if mode == _SUBMODULE:
            yield path, mode, oid.encode("ascii")
        elif mode != _GONE:
            yield path, mode, await repository.ask("cat-file", "blob", oid)


async def is_of(repository: DeliveryRepository, commit: str, change: ChangeSet) -> bool:
    """Whether a commit of the forge is that of a change: the same tree on the same base, whoever made it."""
    await repository.fetch_commit(commit)
    # Not by `git log`: the fetched commit is shallow, and seems to have no parent.
    head = (await repository.ask("cat-file", "commit", commit)).partition(b"\n\n")[0].decode("utf-8", "replace")
    links = [line for line in head.split("\n") if line.startswith(("tree ", "parent "))]
    return links == [f"tree {change.tree}", f"parent {change.base}"]


async def changed_paths(repository: DeliveryRepository, before: str, after: str) -> set[str]:
    """Return the paths that differ between two commits of the forge. Raises DeliveryError if it lacks one of them."""
    for commit in (before, after):
        await repository.fetch_commit(commit)
    return set(await _diff(repository, before, after))


def _conflict(paths: Iterable[str], base: str) -> ConflictError:
    files = tuple(map(show_path, sorted(paths)))
    shown = ", ".join(files[:_TOLD]) + (f" and {len(files) - _TOLD} more" if len(files) > _TOLD else "")
    return ConflictError(f"The change does not apply to the base's commit {base[:12]}: {shown}.", files=files)


async def _diff(repository: DeliveryRepository, before: str, after: str) -> dict[str, _Replaced]:
    said = await repository.ask(
        "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none", before, after
    )
    tokens = said.split(b"\0")[:-1]
    found = {}
    for raw, path in zip(tokens[::2], tokens[1::2], strict=True):
        parts = _RAW.fullmatch(raw)
        if parts is None:
            raise DeliveryError(f"git's answer cannot be read: {raw[:80]!r}.")
        old_mode, new_mode, old, new = (part.decode("ascii") for part in parts.groups())
        found[_path(path)] = _Replaced(_Entry(old_mode, old), _Entry(new_mode, new))
    return found


async def _replace(repository: DeliveryRepository, base: str, entries: dict[str, _Entry]) -> str:
    """Return the tree of `base` with these entries."""
    index = {"GIT_INDEX_FILE": str(repository.folder / "index")}
    await repository.ask("read-tree", base, environ=index)
    # Removals first: a folder may have taken a file's place.
    ordered = sorted(entries.items(), key=lambda pair: pair[1].mode != _GONE)
    lines = b"".join(
        f"{entry.mode} {entry.oid}\t".encode("ascii") + path.encode("utf-8", "surrogateescape") + b"\0"
        for path, entry in ordered
    )
    await repository.ask("update-index", "-z", "--index-info", stdin=lines, environ=index)
    return (await repository.ask("write-tree", environ=index)).decode("ascii").strip()


async def _merged(repository: DeliveryRepository, mine: _Replaced, theirs: _Entry) -> _Entry | None:
    """Merge a file that both sides have changed. Returns None if that is a conflict."""
    if not {mine.old.mode, mine.new.mode, theirs.mode} <= _FILES:
        return None
    mode = theirs.mode if mine.new.mode == mine.old.mode else mine.new.mode
    if mine.new.oid in {mine.old.oid, theirs.oid}:
        return _Entry(mode, theirs.oid)
    if theirs.oid == mine.old.oid:
        return _Entry(mode, mine.new.oid)
    scratch = repository.folder / "merge"
    scratch.mkdir()
    try:
        names = []
        for name, oid in (("mine", mine.new.oid), ("old", mine.old.oid), ("theirs", theirs.oid)):
            content = await repository.ask("cat-file", "blob", oid)
            await asyncio.to_thread((scratch / name).write_bytes, content)
            names.append(str(scratch / name))
        done = await repository.attempt("merge-file", "-p", "--quiet", *names)
        if done.code:
            return None
        oid = (await repository.ask("hash-object", "-w", "--stdin", "--no-filters", stdin=done.output)).decode("ascii")
        return _Entry(mode, oid.strip())
    finally:
        shutil.rmtree(scratch)


def _path(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
