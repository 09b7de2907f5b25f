"""What a working tree lost and gained: a change a path, as git sees it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.text.clean import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChangeKind(StrEnum):
    """What happened to a path.

    `INSIDE_GIT` is a change of git's own settings or hooks, `REPOSITORY` a folder or file below the top that git would
    take for a repository or a pointer to one, new or changed. `UNSEEN` is what nobody can look at. No rule can allow
    one of them.
    """

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    MODE = "mode"
    SUBMODULE = "submodule"
    INSIDE_GIT = "inside .git"
    REPOSITORY = "repository"
    UNSEEN = "unseen"


# Notes of changes that are judged by them.
UNREADABLE = "git cannot read it"
GONE = "the repository is gone"
LOST = "objects are gone that the repository had"
REPLACED = "another repository may have taken its place"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that is not as it was. `path` is relative to the repository's top; bytes outside UTF-8 are surrogates.

    `old_path` is where a renamed file was. Lines are those of git's diff, of a binary file too. `note` says what git
    could not: that a file cannot be read. `ignored` is what lies in a folder that the rules from before the agent
    ignore; `newly_ignored` is what only the rules that it has left ignore.
    """

    path: str
    kind: ChangeKind
    lines_added: int = 0
    lines_deleted: int = 0
    binary: bool = False
    old_path: str | None = None
    note: str = ""
    ignored: bool = False
    newly_ignored: bool = False

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


def count_lines(changed: Sequence[Change], committed: Sequence[Change] = ()) -> int:
    """Count the lines that changed, over all paths. Of what was committed too, the larger figure counts."""
    lines = {change.path: change.lines for change in changed}
    for change in committed:
        lines[change.path] = max(change.lines, lines.get(change.path, 0))
    return sum(lines.values())


def show_path(path: str) -> str:
    """Write a path so that it fits on a line: control characters and bytes outside UTF-8 are escaped."""
    return escape_unprintable(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
