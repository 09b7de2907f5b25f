"""Globs over paths, matched name by name during the walk, so that it enters no folder in vain."""

from __future__ import annotations

from fnmatch import fnmatchcase

from codex_runner.dataclass import dataclass

_ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern relative to the root: `*`, `?` and `[...]` within a name, `**` for any number of folders.

    A wildcard does not match a leading dot, as in a shell. A folder that matches includes all files in it.
    """

    text: str
    names: tuple[str, ...]


def parse(text: str) -> Glob | str:
    """Parse a glob. Returns the reason as text if it is refused."""
    if text.startswith(("/", "~")):
        return "absolute paths are refused: globs are relative to the workspace"
    names = tuple(name for name in text.split("/") if name not in ("", "."))
    if ".." in names:
        return "`..` is refused: artifacts come from the workspace only"
    if not names or "\0" in text:
        return "the glob is empty"
    return Glob(text, names)


@dataclass(frozen=True, slots=True)
class GlobState:
    """How far the folders down to here match a glob. `rest` is empty if they match all of it."""

    glob: Glob
    rest: tuple[str, ...]


def enter(places: frozenset[GlobState], name: str) -> frozenset[GlobState]:
    """Return the states of the globs after one more name."""
    after = set()
    for place in places:
        after |= _step(place, name)
    return frozenset(after)


def met(places: frozenset[GlobState]) -> frozenset[Glob]:
    """Return the globs that a file in these states matches."""
    return frozenset(place.glob for place in places if all(name == _ANY_DEPTH for name in place.rest))


def _step(place: GlobState, name: str) -> set[GlobState]:
    if not place.rest:  # below a folder that matches the whole glob
        return set() if name.startswith(".") else {place}
    first, rest = place.rest[0], place.rest[1:]
    if first == _ANY_DEPTH:
        stay = set() if name.startswith(".") else {place}
        return stay | (_step(GlobState(place.glob, rest), name) if rest else set())
    if name.startswith(".") and not first.startswith("."):
        return set()
    return {GlobState(place.glob, rest)} if fnmatchcase(name, first) else set()
