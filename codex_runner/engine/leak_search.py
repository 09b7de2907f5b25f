"""The last act of a run: is a secret in anything that it leaves? Names and symbolic links count as much as contents."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codex_runner.engine.redact import Redactor

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Find:
    """A file that holds a secret: where it is, and the secret's name. `in_name` says that it is the path that does."""

    path: Path
    secret: str
    in_name: bool = False


def search(folder: Path, redactor: Redactor) -> list[Find]:
    """Look for every secret, in every form, in all below `folder`, binary files too; in order of their paths.

    Nothing is followed out of the folder: a symbolic link is searched for where it points to. Memory stays flat however
    large a file is. OSError where something cannot be read, since nobody could then say that it holds no secret.
    """
    return [find for path in _below(folder) for find in _search_one(path, folder, redactor)]


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
    overlap = max(0, redactor.longest - 1)
    names: set[str] = set()
    with path.open("rb") as file:
        # What follows a cut is looked at together with as much before it as the longest needle could span.
        tail = b""
        while chunk := file.read(_CHUNK):
            window = tail + chunk
            names |= redactor.names_in(window)
            tail = window[-overlap:] if overlap else b""
    return names
