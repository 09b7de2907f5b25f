"""Sandbox escapes: programs that run outside of the agent's sandbox, in folders that the agent may write."""

from __future__ import annotations

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class OutsidePath:
    """A file or folder by its real path; it may be missing. `kind` says why it counts: `PATH`, `codex`, `output`."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Outside:
    """`roots` are the folders that the agent may write, `places` the paths below them that it must not write.

    `links` are symbolic links below a root on the way to a place: the agent could point them elsewhere. `home` is the
    account's home if it lies below a root, otherwise "".
    """

    roots: tuple[str, ...] = ()
    places: tuple[OutsidePath, ...] = ()
    links: tuple[OutsidePath, ...] = ()
    home: str = ""
