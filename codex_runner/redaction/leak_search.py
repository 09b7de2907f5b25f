"""Leak search at the end of a run: looks for secrets in its folder, in names and symbolic links as well as contents.

Everything is redacted before it is written, so there should be no secret. If there is one, the file is removed or
masked.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from codex_runner.dataclass import dataclass
from codex_runner.domain.event import Leaked
from codex_runner.domain.failure import Failure
from codex_runner.redaction.secret_parts import PLAIN
from codex_runner.redaction.stream import OVERLAP, StreamRedactor
from codex_runner.text.line_splitter import LineSplitter, Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.secret import Secret
    from codex_runner.redaction.redactor import Redactor

SEARCH = "secret search"
"""The name of the guard."""

LEAK = Failure.LEAK

_CHUNK = 1 << 20


def plain(environment: Mapping[str, Secret], said: bytes, redactor: Redactor) -> set[str]:
    """Return the names in `codex.env` whose values are not secret: plain words, and values in the configuration `said`.

    They are masked like all others. But the runner's own messages may contain them, and that is no leak.
    """
    words = {name for name, secret in environment.items() if PLAIN.fullmatch(secret.reveal())}
    return words | (redactor.names_in(said) & environment.keys())


def clean(folder: RunFolder, redactor: Redactor, spared: Collection[str] = ()) -> list[Leaked]:
    """Search the whole folder of a run, and mask or remove each file that holds a secret. Returns the leaks.

    Masks the run's own records line by line, and removes any other file. Ignores the secrets named in `spared`. Raises
    OSError if a file cannot be read, masked or removed.
    """
    records = (folder.events, folder.codex, folder.stderr)
    leaks = []
    # Skip the space reserved for reports: it holds the runner's own random bytes, and is removed before the reports are
    # written. To search it takes a hundred times as long as to search text.
    for find in search(folder.path, redactor, without=folder.room):
        if find.secret in spared:
            continue
        if find.path in records and not find.in_name:
            _mask(find.path, redactor)
        else:
            _remove(find.path)
        path = redactor.text(str(find.path.relative_to(folder.path)))
        leaks.append(Leaked(path, find.secret, "masked" if find.path in records else "removed"))
    return leaks


def _mask(path: Path, redactor: Redactor) -> None:
    """Mask in place, without a rename: the journal, and programs that follow the file, have it open."""
    with path.open("r+b") as file, tempfile.TemporaryFile(dir=path.parent) as masked:
        masked.writelines(_masked(file, redactor))
        masked.seek(0)
        file.seek(0)
        shutil.copyfileobj(masked, file)
        file.truncate()
    if _names_in_file(path, redactor):  # the secret spans lines
        os.truncate(path, 0)


def _masked(file: BinaryIO, redactor: Redactor) -> Iterator[bytes]:
    """Yield a file with every line redacted. An overlong line is not held in memory whole."""
    splitter, stream = LineSplitter(), StreamRedactor(redactor)
    chunks = iter(lambda: file.read(_CHUNK), b"")
    for piece in itertools.chain(itertools.chain.from_iterable(map(splitter.feed, chunks)), splitter.finish()):
        if isinstance(piece, Part):
            yield stream.feed(piece.data)
            if piece.last:
                yield stream.finish()
                stream = StreamRedactor(redactor)
        else:
            yield redactor(piece.data)
        if piece.whole:
            yield b"\n"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Find:
    """A file that holds a secret: its path, and the secret's name. `in_name`: the path itself holds the secret."""

    path: Path
    secret: str
    in_name: bool = False


def search(folder: Path, redactor: Redactor, without: Path | None = None) -> list[Find]:
    """Return each find of a secret, in any form, in all files below `folder`, binary ones too, in order of their paths.

    `without` is not searched if it is a regular file. Symbolic links are not followed; their targets' paths are
    searched. Memory is constant, however large a file is. Raises OSError if a file cannot be read, since it may hold a
    secret.
    """
    spared = without if without and without.is_file() and not without.is_symlink() else None
    return [find for path in _below(folder) if path != spared for find in _search_one(path, folder, redactor)]


def _below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        children = sorted(entries, key=lambda entry: entry.name)
    for entry in children:
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path)


def _search_one(path: Path, folder: Path, redactor: Redactor) -> Iterator[Find]:
    name = os.fsencode(path.relative_to(folder))
    # A secret may span several folders of a path. Each folder is searched by itself, so report it only once.
    above = redactor.names_in(os.path.dirname(name))  # noqa: PTH120 - bytes, which Path does not take
    for secret in sorted(redactor.names_in(name) - above):
        yield Find(path, secret, in_name=True)
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        held = redactor.names_in(os.fsencode(path.readlink()))
    elif stat.S_ISREG(mode):
        held = _names_in_file(path, redactor)
    else:
        return
    for secret in sorted(held):
        yield Find(path, secret)


def _names_in_file(path: Path, redactor: Redactor) -> set[str]:
    overlap = max(OVERLAP, redactor.longest)
    names: set[str] = set()
    with path.open("rb") as file:
        # Each chunk is searched together with the end of the previous one, as long as the longest secret with invisible
        # characters within it can be.
        tail = b""
        while chunk := file.read(_CHUNK):
            window = tail + chunk
            names |= redactor.names_in(window)
            tail = window[-overlap:]
    return names
