"""The last act of a run: is a secret in anything that it leaves? Names and symbolic links count as much as contents.

Everything is redacted before it is written, so there should be none. What is found all the same is taken out.
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
    """Return which secrets of `codex.env` are none: plain words, and what the configuration itself says (`said`).

    They are masked like all others. But the runner's own words may hold them, and no leak is that.
    """
    words = {name for name, secret in environment.items() if PLAIN.fullmatch(secret.reveal())}
    return words | (redactor.names_in(said) & environment.keys())


def clean(folder: RunFolder, redactor: Redactor, spared: Collection[str] = ()) -> list[Leaked]:
    """Search all of a run's folder and take out what holds a secret, but for those of the names `spared`.

    The run's own records are masked, line by line; any other file goes. OSError where that cannot be done.
    """
    records = (folder.events, folder.codex, folder.stderr)
    leaks = []
    # The room for reports is the runner's own random bytes, and goes before they are written: they hold nothing, and
    # random bytes take a hundred times as long to search as text.
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
    """Mask in place: whoever appends to the file, or follows it, has it open."""
    with path.open("r+b") as file, tempfile.TemporaryFile(dir=path.parent) as masked:
        masked.writelines(_masked(file, redactor))
        masked.seek(0)
        file.seek(0)
        shutil.copyfileobj(masked, file)
        file.truncate()
    if _names_in_file(path, redactor):  # it spans lines
        os.truncate(path, 0)


def _masked(file: BinaryIO, redactor: Redactor) -> Iterator[bytes]:
    """Yield a file with every line redacted, none of which is held whole if it is long."""
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
    """A file that holds a secret: where it is, and the secret's name. `in_name` says that it is the path that does."""

    path: Path
    secret: str
    in_name: bool = False


def search(folder: Path, redactor: Redactor, without: Path | None = None) -> list[Find]:
    """Look for every secret, in every form, in all below `folder`, binary files too; in order of their paths.

    `without` is left out, if it is a file and no link to one: where a link points to may be a secret.
    Nothing is followed out of the folder: a symbolic link is searched for where it points to. Memory stays flat however
    large a file is. OSError where something cannot be read, since nobody could then say that it holds no secret.
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
    # A secret may be spread over a path of several folders, and each folder is looked at by itself: told once.
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
        # What follows a cut is looked at together with as much before it as the longest needle could span, with what
        # is not to be seen within it.
        tail = b""
        while chunk := file.read(_CHUNK):
            window = tail + chunk
            names |= redactor.names_in(window)
            tail = window[-overlap:]
    return names
