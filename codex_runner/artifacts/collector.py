"""Collecting a job's artifacts into the run's folder. An agent wrote these files, so they are untrusted.

Files are opened through descriptors of their folders, never by the same path twice. So a link that is swapped in
between check and copy (TOCTOU) has no effect.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from dataclasses import field
from typing import TYPE_CHECKING

from codex_runner.artifacts import globs as gl
from codex_runner.dataclass import dataclass
from codex_runner.domain.event import ArtifactKept
from codex_runner.text.counts import format_size
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO without a writer must not block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NAME_BYTES = 255
_REFUSED_BY_UPLOADS = frozenset('"*:<>?|\\')  # by Windows, and by the uploads of CI systems
_BEFORE_BINARY = 8 * 1024


@dataclass(frozen=True, slots=True)
class CollectLimits:
    """Limits of what is kept and searched. Sizes are in bytes."""

    file: int = 100_000_000
    total: int = 500_000_000
    count: int = 1000
    depth: int = 64
    visited: int = 200_000


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that a glob matched and that was not kept. `path` is clean for display."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence for the log."""
        return f"left out {self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CollectResult:
    """The kept artifacts, sorted by path, those left out and why, and the globs that matched nothing."""

    kept: tuple[ArtifactKept, ...]
    left_out: tuple[LeftOut, ...]
    unmatched: tuple[str, ...]


@dataclass(slots=True)
class _Collector:
    limits: CollectLimits
    into: int
    into_name: str
    redact: Callable[[bytes], bytes]
    found: Callable[[bytes], bool]
    skipped: frozenset[tuple[int, int]]
    kept: dict[str, ArtifactKept] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    met: set[gl.Glob] = field(default_factory=set)
    total: int = 0
    visited: int = 0
    over: bool = False

    def leave_out(self, names: Sequence[str], reason: str) -> None:
        shown = self.redact(os.fsencode("/".join(names))).decode(errors="replace")
        self.left_out.append(LeftOut(one_line(shown, 500), reason))


def collect(  # noqa: PLR0913 - the request, and the two functions of the redactor
    root: Path,
    globs: Iterable[str],
    into: Path,
    *,
    limits: CollectLimits | None = None,
    redact: Callable[[bytes], bytes] = lambda data: data,
    found: Callable[[bytes], bool] = lambda _: False,
    skip: Iterable[Path] = (),
) -> CollectResult:
    """Copy the files below `root` that match the globs into the folder `into`, under the same relative paths.

    `redact` is applied to every text file. A binary file in which `found` finds a secret is left out. Links and special
    files are never followed or opened. `into` itself and the folders in `skip` are not searched. Names that are unsafe
    for a shell, a terminal or an upload are percent-encoded. Paths in the result begin with the name of `into`.
    Idempotent: replaces older copies. Raises OSError if `into` cannot be written.
    """
    into.mkdir(parents=True, exist_ok=True)
    places, refused = _places(globs)
    into_fd = os.open(into, FOLDER)
    try:
        skipped = frozenset(_identity(path) for path in (into, *skip) if path.is_dir())
        work = _Collector(limits or CollectLimits(), into_fd, into.name, redact, found, skipped, left_out=refused)
        try:
            root_fd = os.open(root, FOLDER & ~os.O_NOFOLLOW)  # the job's own folder may be a link
        except OSError as error:
            work.leave_out((str(root),), f"the workspace cannot be read: {error.strerror}")
        else:
            try:
                _walk(work, root_fd, (), places)
            finally:
                os.close(root_fd)
    finally:
        os.close(into_fd)
    unmatched = tuple(dict.fromkeys(place.glob.text for place in places if place.glob not in work.met))
    return CollectResult(tuple(work.kept.values()), tuple(work.left_out), tuple(sorted(unmatched)))


def safe_name(name: str) -> str:
    """Return a name with its hostile characters percent-encoded, byte by byte. An ordinary name stays as it is.

    Hostile are unprintable characters (newlines, text direction) and bytes that are not UTF-8. So are a leading dash or
    tilde, a trailing dot or space, and what Windows and the uploads of CI systems refuse. If a name has a hostile
    character, its `%` are encoded too.
    """
    last = len(name) - 1
    hostile = {at for at, char in enumerate(name) if _is_hostile(char)}
    hostile |= {0} if name[:1] in ("-", "~") else set()
    hostile |= {last} if name[-1:] in (" ", ".") else set()
    if not hostile:
        return name
    return "".join(_percent(char) if at in hostile or char == "%" else char for at, char in enumerate(name))


def _is_hostile(char: str) -> bool:
    return not char.isprintable() or char in _REFUSED_BY_UPLOADS


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(char))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _places(globs: Iterable[str]) -> tuple[frozenset[gl.GlobState], list[LeftOut]]:
    places, refused = set(), []
    for text in globs:
        glob = gl.parse(text)
        if isinstance(glob, str):
            refused.append(LeftOut(one_line(text, 500), glob))
        else:
            places.add(gl.GlobState(glob, glob.names))
    return frozenset(places), refused


def _walk(work: _Collector, folder: int, names: tuple[str, ...], places: frozenset[gl.GlobState]) -> None:
    for name in sorted(os.listdir(folder)):
        after = gl.enter(places, name)
        if not after or work.over:
            continue
        work.visited += 1
        if work.visited > work.limits.visited:
            work.over = True
            work.leave_out((*names, name), f"and all after it: the limit of {work.limits.visited:,} names is reached")
            continue
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                _enter(work, folder, (*names, name), after)
            elif globs := gl.met(after):
                work.met |= globs
                _take(work, folder, (*names, name), status.st_mode)
            elif stat.S_ISLNK(status.st_mode):
                work.leave_out((*names, name), "a link; links are not followed")
        except OSError as error:
            work.leave_out((*names, name), f"cannot be read: {error.strerror}")


def _enter(work: _Collector, folder: int, names: tuple[str, ...], places: frozenset[gl.GlobState]) -> None:
    if len(names) > work.limits.depth:
        work.leave_out(names, f"more than {work.limits.depth} folders deep")
        return
    inner = os.open(names[-1], FOLDER, dir_fd=folder)
    try:
        status = os.fstat(inner)
        if (status.st_dev, status.st_ino) not in work.skipped:
            _walk(work, inner, names, places)
    finally:
        os.close(inner)


def _take(work: _Collector, folder: int, names: tuple[str, ...], mode: int) -> None:
    kind = _refused_kind(mode)
    if kind:
        work.leave_out(names, kind)
        return
    if len(work.kept) >= work.limits.count:
        work.leave_out(names, f"more than {work.limits.count:,} files")
        return
    safe = tuple(safe_name(name) for name in names)
    path = "/".join((work.into_name, *safe))
    if path in work.kept or any(len(name.encode()) > _NAME_BYTES for name in safe):
        work.leave_out(names, "its encoded name is taken" if path in work.kept else "its name is too long")
        return
    if work.found(os.fsencode("/".join(names))):
        work.leave_out(names, "its name has a secret in it")
        return
    data = _read(work, folder, names)
    if data is not None:
        data = _cleared(work, names, data)
    if data is None:
        return
    put(work.into, safe, data)
    work.total += len(data)
    work.kept[path] = ArtifactKept(path, len(data), hashlib.sha256(data).hexdigest())


def _read(work: _Collector, folder: int, names: tuple[str, ...]) -> bytes | None:
    """Read a whole file. Returns None, and notes why, if it is too large or no longer a regular file."""
    descriptor = os.open(names[-1], _FILE, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        kind = _refused_kind(status.st_mode)  # check the open file again: the agent may have swapped it
        if kind:
            work.leave_out(names, kind)
            return None
        room = min(work.limits.file, work.limits.total - work.total)
        # One byte more than the limit: a file may grow during the read, and files in /proc report size 0.
        data = file.read(room + 1) if status.st_size <= room else b""
        if status.st_size > room or len(data) > room:
            limit = work.limits.file if room == work.limits.file else work.limits.total
            word = "a file" if room == work.limits.file else "all files together"
            shown = format_size(max(status.st_size, len(data)))
            work.leave_out(names, f"{shown}, but {word} may have {format_size(limit)}")
            return None
        return data


def _cleared(work: _Collector, names: tuple[str, ...], data: bytes) -> bytes | None:
    """Redact text. Returns None for a binary file with a secret in it, since redaction would break it."""
    if _is_text(data):
        return work.redact(data)
    # Without the zero bytes, ASCII text in UTF-16 or UTF-32 reads as in UTF-8.
    if work.found(data) or work.found(data.replace(b"\0", b"")):
        work.leave_out(names, "a binary file with a secret in it")
        return None
    return data


def _is_text(data: bytes) -> bool:
    if b"\0" in data[:_BEFORE_BINARY]:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refused_kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a link; links are not followed"
    return "not a regular file"


def put(into: int, names: tuple[str, ...], data: bytes) -> None:
    """Write a file atomically below the open folder `into`: temporary file, then rename.

    Refuses links on the way. Raises OSError if it cannot be written.
    """
    opened: list[int] = []
    folder = into
    try:
        for name in names[:-1]:
            with contextlib.suppress(FileExistsError):  # made for an earlier file; the open refuses a non-folder
                os.mkdir(name, dir_fd=folder)
            folder = os.open(name, FOLDER, dir_fd=folder)
            opened.append(folder)
        temporary = f".{secrets.token_hex(8)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.rename(temporary, names[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise
    finally:
        for descriptor in opened:
            os.close(descriptor)
