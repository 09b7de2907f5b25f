"""What a working tree lost and gained: a change a path, as git sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What happened to a path. `INSIDE_GIT` is a change of git's own settings or hooks, which no rule can allow."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    MODE = "mode"
    SUBMODULE = "submodule"
    INSIDE_GIT = "inside .git"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that is not as it was. `path` is relative to the repository's top; bytes outside UTF-8 are surrogates.

    `old_path` is where a renamed file was. Lines are those of git's diff; a binary file has none. `note` says what git
    could not: that a file cannot be read.
    """

    path: str
    kind: ChangeKind
    lines_added: int = 0
    lines_deleted: int = 0
    binary: bool = False
    old_path: str | None = None
    note: str = ""

    @property
    def lines(self) -> int:
        """Lines added and deleted together."""
        return self.lines_added + self.lines_deleted

    @property
    def shown(self) -> str:
        """The path for people and reports: one line, always valid text."""
        return show_path(self.path)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the change touches: a rename also takes a file away."""
        return (self.path,) if self.old_path is None else (self.old_path, self.path)


def show_path(path: str) -> str:
    """Write a path so that it fits on a line: control characters and bytes outside UTF-8 are escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
