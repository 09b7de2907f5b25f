"""Files on a host, as a transport lists and fetches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Listing:
    """The files below some paths of a folder. All paths are relative to the folder.

    `others` are links and special files, which no transport follows. `complete` is False if the host could
    not list all of it: a folder that cannot be read, or more than it may list (16 MiB of names).
    """

    files: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a transfer. `files` arrived whole, with the right checksum. `left_out` maps other paths to reasons.

    `received` counts the bytes from the host, without those of transfers that were restarted.
    """

    files: tuple[str, ...]
    left_out: Mapping[str, str]
    received: int
