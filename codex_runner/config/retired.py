"""Keys that another one has replaced. docs/compatibility.md has the policy: each warns for two minor versions at least.

An entry makes a key of yesterday work: its value becomes that of its successor, from the file, the environment and
`--set` alike, and the configuration has a warning. A test fails once the version of its removal is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Retired:
    """A key, and its successor in the same table, which takes the value unchanged.

    `*` in `path` stands for any name, such as a job's. `since` is the first version that warns, `removal` the first one
    that refuses the key.
    """

    path: tuple[str, ...]
    successor: str
    since: str
    removal: str

    def fits(self, path: Sequence[str]) -> bool:
        """Whether `path` names this key."""
        pairs = zip(self.path, path, strict=False)
        return len(self.path) == len(path) and all(ours in {"*", theirs} for ours, theirs in pairs)


RETIRED: Final[tuple[Retired, ...]] = ()


def current(path: Sequence[str], retired: Sequence[Retired]) -> str:
    """Return the last key of `path`, or its successor if it is retired."""
    return next((one.successor for one in retired if one.fits(path)), path[-1])


def retired_in(table: Sequence[str], retired: Sequence[Retired]) -> set[str]:
    """Return the retired keys of the table at this path."""
    return {one.path[-1] for one in retired if one.fits((*table, one.path[-1]))}
