"""Changes of a working tree, one for each path, as git sees them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.text.clean import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChangeKind(StrEnum):
    """The kind of a change.

    `INSIDE_GIT` is a change of git's own settings or hooks. `REPOSITORY` is a new or changed folder or file below the
    top that git takes for a repository, or a pointer to one. `UNSEEN` is a path that cannot be read. No rule can allow
    these three.
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


# Notes by which the path rules judge a change.
UNREADABLE = "git cannot read it"
GONE = "the repository is gone"
LOST = "objects are gone that the repository had"
REPLACED = "another repository may have taken its place"


@dataclass(frozen=True, slots=True)
class Change:
    """A changed path. `path` is relative to the repository's top; bytes outside UTF-8 are surrogates.

    `old_path` is the earlier path of a renamed file. Lines are those of git's diff, of a binary file too. `note` adds
    what git's status does not say, such as that a file cannot be read. `ignored`: the ignore rules from before the
    agent cover the path. `newly_ignored`: only ignore rules that the agent has changed cover it. `mode` and `old_mode`
    are git's ("100755"; "000000" if there is no file), "" if git did not say. `leads_to` is a symbolic link's text.
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
    mode: str = ""
    old_mode: str = ""
    leads_to: str | None = None

    @property
    def lines(self) -> int:
        """Lines added and deleted together."""
        return self.lines_added + self.lines_deleted

    @property
    def shown(self) -> str:
        """The path for people and reports: escaped to one line of valid text."""
        return show_path(self.path)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the change touches: both paths of a rename."""
        return (self.path,) if self.old_path is None else (self.old_path, self.path)


def count_lines(changed: Sequence[Change], committed: Sequence[Change] = ()) -> int:
    """Count the changed lines over all paths. If a path was also committed, its larger count is used."""
    lines = {change.path: change.lines for change in changed}
    for change in committed:
        lines[change.path] = max(change.lines, lines.get(change.path, 0))
    return sum(lines.values())


def show_path(path: str) -> str:
    """Return a path as one line: control characters and bytes outside UTF-8 are escaped."""
    return escape_unprintable(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
