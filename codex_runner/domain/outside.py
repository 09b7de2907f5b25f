"""What runs outside of the agent's sandbox and lies where the agent may write."""

from __future__ import annotations

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class OutsidePath:
    """A file or folder, as the kernel names it; it may be missing. `kind` says by what: `PATH`, `codex`, `output`."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Outside:
    """`roots` are the folders in which the agent may write, `places` those below them that it must not write.

    `links` are symbolic links below a root on the way to a place: the agent could lead them elsewhere. `home` is the
    account's home if it lies below a root.
    """

    roots: tuple[str, ...] = ()
    places: tuple[OutsidePath, ...] = ()
    links: tuple[OutsidePath, ...] = ()
    home: str = ""
