"""Files on a host, as a transport lists and fetches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below some paths of a folder. All paths are relative to the folder.

    `others` are links and special files, which no transport follows. `complete` is False if the host
    could not list all of it: a folder that cannot be read, or more than it may list (16 MiB of names).
    """

    files: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of some files. `files` are here, whole and proven. `left_out` maps each other path to the reason.

    `received` counts the bytes that came from the host, what was begun anew left out.
    """

    files: tuple[str, ...]
    left_out: Mapping[str, str]
    received: int
