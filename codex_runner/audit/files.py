"""The files of a run, read again: artifacts against manifest.json and the records, run.json against the records."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from codex_runner import __version__
from codex_runner.audit.fact import NOT_KNOWN, Fact, at_record, below, listed
from codex_runner.dataclass import dataclass
from codex_runner.domain.folder import PATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.audit.trail import Trail
    from codex_runner.domain.folder import RunFolder

_INDEX: Final = re.compile(rb"index ([0-9a-f]{40,64})\.\.([0-9a-f]{40,64})")
# The keys of run.json whose values records hold word for word.
_HELD: Final = frozenset(
    (
        *("run_id", "job", "host", "result", "exit_code", "reason", "thread_id", "reply"),
        *("checks", "guards", "gate", "delivery", "artifacts", "facts"),
    )
)
_MOST: Final = 64 << 20  # bytes of manifest.json and run.json, which are read whole


class Match(StrEnum):
    """What a file is, compared with what the run recorded of it."""

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    UNLISTED = "unlisted"  # in the folder of artifacts, and no record knows it
    UNRECORDED = "not known"  # no record has its digest: the file may be anything


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file of the run: its path in the run's folder, its size in bytes and digest as it is now, and how it matches.

    `source` is what it was compared with. `why` is a sentence if it does not match.
    """

    path: str
    kind: str
    match: Match
    size: int | None = None
    sha256: str | None = None
    source: str = ""
    why: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the file is not what the run has left."""
        return self.match in {Match.DIFFERS, Match.MISSING, Match.UNLISTED}


def file_facts(folder: RunFolder, trail: Trail, documents: tuple[Mapping[str, Any], ...]) -> list[FileFact]:
    """Read all files of a run. `documents` are what run.json may say by the records."""
    return [*_records(folder, trail, documents), *_artifacts(folder, trail)]


# --- artifacts -------------------------------------------------------------------------------------------------------


def _artifacts(folder: RunFolder, trail: Trail) -> Iterator[FileFact]:
    """Compare each artifact with manifest.json, and with the record that says the same."""
    recorded = {
        path: (each.size, each.sha256, at_record(trail.artifacts.get(path)))
        for path, each in trail.state.artifacts.items()
    }
    listed, fault = _manifest(folder)
    if fault is not None and (listed is not None or recorded):
        yield fault
    for path in dict.fromkeys([*recorded, *(listed or {})]):
        yield _artifact(folder, path, recorded.get(path), (listed or {}).get(path), has_manifest=listed is not None)
    for path in _there(folder):
        if path not in recorded and path not in (listed or {}):
            size, digest = _digest(folder, path)
            match = Match.UNLISTED if trail.is_over else Match.UNRECORDED
            yield FileFact(path, "artifact", match, size, digest, "", "no record knows it")


def _artifact(
    folder: RunFolder,
    path: str,
    recorded: tuple[int, str, str] | None,
    listed: tuple[int, str] | None,
    *,
    has_manifest: bool,
) -> FileFact:
    size, digest = _digest(folder, path)
    source = recorded[2] if recorded else "manifest.json"
    if digest is None:
        return FileFact(path, "artifact", Match.MISSING, None, None, source, "it is missing, or is no plain file")
    if recorded and recorded[:2] != (size, digest):
        return FileFact(path, "artifact", Match.DIFFERS, size, digest, source, "its digest is another one there")
    if listed and listed != (size, digest):
        return FileFact(
            path, "artifact", Match.DIFFERS, size, digest, "manifest.json", "its digest is another one there"
        )
    if has_manifest and (recorded is None or listed is None):
        lacks = "events.jsonl" if recorded is None else "manifest.json"
        return FileFact(path, "artifact", Match.DIFFERS, size, digest, source, f"{lacks} does not name it")
    both = " and manifest.json" if recorded and listed else ""
    return FileFact(path, "artifact", Match.SAME, size, digest, f"{source}{both}")


def _manifest(folder: RunFolder) -> tuple[dict[str, tuple[int, str]] | None, FileFact | None]:
    """Return what manifest.json lists, None if it cannot be read, and what is wrong with it."""
    size, digest = _digest(folder, "manifest.json")
    data = _read(folder, "manifest.json")
    if data is None:
        return None, FileFact(
            "manifest.json", "record", Match.MISSING, why="the run has artifacts, and no manifest.json"
        )
    try:
        files = {str(each["path"]): (int(each["size"]), str(each["sha256"])) for each in _object(data)["files"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, FileFact("manifest.json", "record", Match.DIFFERS, size, digest, why="it cannot be read")
    return files, None


def _there(folder: RunFolder) -> Iterator[str]:
    """Yield the paths of all files in the folder of artifacts, links too."""
    for path in sorted(folder.artifacts.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder.path).as_posix()


def changed_blobs(folder: RunFolder, files: Sequence[FileFact]) -> Fact:
    """Return the blob ids of the changed files, before and after, by changes.patch if that is what the run has left."""
    kept = {each.path for each in files if each.kind == "artifact" and each.match is Match.SAME}
    path = next((each for each in (f"artifacts/run-{PATCH}", f"artifacts/{PATCH}") if each in kept), "")
    patch = _read(folder, path) if path else None
    if patch is None:
        return NOT_KNOWN
    found: list[dict[str, str]] = []
    name = ""
    for line in patch.split(b"\n"):  # a line of a file begins with a space, a plus or a minus
        if line.startswith(b"diff --git "):
            name = line[11:].decode("utf-8", "replace")
        elif name and (ids := _INDEX.match(line)):
            found.append({"path": name, "before": ids[1].decode(), "after": ids[2].decode()})
            name = ""
    return listed(found, path)


# --- records and reports ---------------------------------------------------------------------------------------------


def _records(folder: RunFolder, trail: Trail, documents: tuple[Mapping[str, Any], ...]) -> Iterator[FileFact]:
    state = trail.state
    size, digest = _digest(folder, "events.jsonl")
    if trail.broken or digest is None:
        why = trail.broken or "it is missing, or is no plain file"
        yield FileFact("events.jsonl", "record", Match.DIFFERS if digest else Match.MISSING, size, digest, "", why)
    else:
        yield FileFact("events.jsonl", "record", Match.UNRECORDED, size, digest)
    yield _run_json(folder, trail, documents)
    copies = {"codex.jsonl": state.position.stdout_copy, "stderr.log": state.position.stderr_copy}
    for name, length in copies.items():
        yield _copy(folder, name, length, trail)
    for name in ("junit.xml", "summary.md", "report.html", "delivery.json", "manifest.json"):
        size, digest = _digest(folder, name)
        if digest is not None:
            yield FileFact(name, "report", Match.UNRECORDED, size, digest)


def _run_json(folder: RunFolder, trail: Trail, documents: tuple[Mapping[str, Any], ...]) -> FileFact:
    size, digest = _digest(folder, "run.json")
    data = _read(folder, "run.json")
    if data is None:
        match = Match.MISSING if trail.is_over else Match.UNRECORDED
        return FileFact("run.json", "record", match, size, digest, "events.jsonl", "it is missing, or is no plain file")
    try:
        document = _object(data)
    except (ValueError, TypeError, RecursionError):
        return FileFact("run.json", "record", Match.DIFFERS, size, digest, "events.jsonl", "it cannot be read")
    if document.get("exit_code") is None and not trail.is_over:
        return FileFact("run.json", "record", Match.UNRECORDED, size, digest, "events.jsonl", "the run has no verdict")
    unlike = min((_unlike(document, each, trail) for each in documents), key=len)
    if unlike:
        why = f"by events.jsonl it says something else in: {', '.join(unlike)}"
        return FileFact("run.json", "record", Match.DIFFERS, size, digest, "events.jsonl", why)
    return FileFact("run.json", "record", Match.SAME, size, digest, "events.jsonl")


def _unlike(document: Mapping[str, Any], expected: Mapping[str, Any], trail: Trail) -> list[str]:
    """Return the keys that differ, of those that both have. Those that run.json has shortened are not compared.

    Another version of the runner may have derived some in other words: then only those that records hold count.
    """
    said = json.loads(json.dumps(expected))
    cut = document.get("cut")
    keys = document.keys() & said.keys() - {"version", "cut", *(cut if isinstance(cut, list) else ())}
    if below(trail.state.facts, "provenance", "codex_runner") != __version__:
        keys &= _HELD
    return sorted(key for key in keys if not _alike(document[key], said[key]))


def _alike(one: Any, other: Any) -> bool:
    """Whether two JSON values say the same. Another version may have more keys in an object."""
    match one, other:
        case dict(), dict():
            return all(_alike(one[key], other[key]) for key in one.keys() & other.keys())
        case list(), list():
            return len(one) == len(other) and all(map(_alike, one, other))
        case _:
            return bool(one == other) and type(one) is type(other)


def _copy(folder: RunFolder, name: str, length: int, trail: Trail) -> FileFact:
    """Judge codex.jsonl or stderr.log by its length: records have no digest of it."""
    size, digest = _digest(folder, name)
    source = at_record(trail.state.seq)
    masked = any(leak["path"] == name for leak in trail.leaks)  # that changes its length
    if digest is None:
        match = Match.MISSING if length else Match.UNRECORDED
        return FileFact(
            name, "record", match, None, None, source, "it is missing, or is no plain file" if length else ""
        )
    if size is not None and size < length and not masked:
        why = f"it has {size:,} bytes, and the records {length:,}"
        return FileFact(name, "record", Match.DIFFERS, size, digest, source, why)
    return FileFact(name, "record", Match.UNRECORDED, size, digest, source)


# --- reading ---------------------------------------------------------------------------------------------------------


def _object(data: bytes) -> dict[str, Any]:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise TypeError("not an object")
    return document


@contextlib.contextmanager
def _opened(folder: RunFolder, path: str) -> Iterator[int | None]:
    """Open a plain file below the run's folder. Yields None for anything else: no link is followed, no pipe opened."""
    descriptor = None
    with contextlib.suppress(OSError, ValueError):
        descriptor = _open_below(folder.path, path)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open_below(top: Path, path: str) -> int | None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        return None
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts[:-1]:
        try:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
        at = below
    try:
        descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def _digest(folder: RunFolder, path: str) -> tuple[int | None, str | None]:
    """Return size and SHA-256 of a file. Returns None for both if it is no plain file below the run's folder."""
    with _opened(folder, path) as descriptor, contextlib.suppress(OSError):
        if descriptor is not None:
            digest, size = hashlib.sha256(), 0
            while piece := os.read(descriptor, 1 << 20):
                digest.update(piece)
                size += len(piece)
            return size, digest.hexdigest()
    return None, None


def _read(folder: RunFolder, path: str) -> bytes | None:
    with _opened(folder, path) as descriptor, contextlib.suppress(OSError):
        if descriptor is not None and os.fstat(descriptor).st_size <= _MOST:
            data = b""
            while piece := os.read(descriptor, 1 << 20):
                data += piece
            return data
    return None
