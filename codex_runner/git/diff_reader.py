"""Parses the answer of changes.sh, the script that compares a working tree, into changes."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import GONE, LOST, REPLACED, UNREADABLE, Change, ChangeKind, count_lines
from codex_runner.domain.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SUBMODULE = b"160000"
_GRAVE = (ChangeKind.REPOSITORY, ChangeKind.UNSEEN)
_STATUSES = {b"A": ChangeKind.ADDED, b"D": ChangeKind.DELETED, b"R": ChangeKind.RENAMED}

_NUMBERS = re.compile(rb"(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)
_COMMIT = re.compile(rb"[0-9a-f]{40,64}")
_NOTE = re.compile(rb"(?P<digest>[0-9a-f]{40,64}) (?P<where>[a-z]+) (?P<mode>\S+) (?P<path>.+)", re.DOTALL)
_C_ESCAPE = re.compile(rb"\\(?:([0-7]{3})|(.))", re.DOTALL)
_C_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes by path, and the commit that HEAD names now (an agent should not move it).

    `committed` are the changes of new commits against their first parents, even if they were reverted since.
    """

    changed: tuple[Change, ...]
    head: str
    committed: tuple[Change, ...] = ()

    @property
    def lines(self) -> int:
        """Lines added and deleted, over all changes."""
        return count_lines(self.changed, self.committed)


def text(data: bytes) -> str:
    """Decode git's output. Bytes outside UTF-8 become surrogates."""
    return data.decode("utf-8", "surrogateescape")


def pairs(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Parse an answer of names and values, each ended by a NUL."""
    tokens = answer.split(b"\0")[:-1]
    return zip(tokens[::2], tokens[1::2], strict=True)


def unquote(name: bytes) -> bytes:
    """Parse a name as git writes it with core.quotePath: unchanged, or as a C string."""
    if not name.startswith(b'"'):
        return name
    return _C_ESCAPE.sub(
        lambda found: bytes([int(found[1], 8)]) if found[1] else _C_LETTERS.get(found[2], found[2]), name[1:-1]
    )


class GitAnswer:
    """Parser for the tokens of `changes`, which hold each repository's diff as git wrote it."""

    def __init__(self, answer: bytes) -> None:
        """Take the whole answer. Call `read` once."""
        self._tokens = iter(answer.split(b"\0")[:-1])
        self._prefix = b""
        self._into = self._found = dict[str, Change]()
        self._committed: dict[str, Change] = {}
        self._commit = ""
        self._head = ""

    def read(self) -> Changes:
        """Return the changes. Raises HostError if the answer has an unknown section."""
        for token in self._tokens:
            if token.startswith(b":"):
                self._raw(token)
            elif numbers := _NUMBERS.fullmatch(token):
                self._numbers(numbers)
            else:
                self._section(token)
        return Changes(_sorted(self._found), self._head, _sorted(self._committed))

    def _section(self, name: bytes) -> None:  # noqa: C901, PLR0912 - one arm a section
        match name:
            case b"repo":
                self._prefix = next(self._tokens)
            case b"head":
                self._head = text(next(self._tokens))
            case b"repos":
                self._compare(next(self._tokens), next(self._tokens), self._repository)
            case b"special":
                self._new(ChangeKind.ADDED, "a fifo, socket or device")
            case b"unseen":
                self._new(ChangeKind.UNSEEN, "an unreadable folder")
            case b"ignored":
                self._ignored(_lines(next(self._tokens)))
            case b"peril":
                for line in _lines(next(self._tokens)):
                    self._add(unquote(line), ChangeKind.UNSEEN, note="git would open it, and it is no regular file")
            case b"gone":
                self._add(b".git" if not self._prefix else b"", ChangeKind.INSIDE_GIT, note=GONE)
            case b"lost":
                self._add(b".git", ChangeKind.INSIDE_GIT, note=LOST)
            case b"watched":
                self._compare(next(self._tokens), next(self._tokens), self._watched)
            case b"left":
                self._left(_lines(next(self._tokens)), _lines(next(self._tokens)))
            case b"newly":
                self._newly(_lines(next(self._tokens)))
            case b"links":
                self._links(_lines(next(self._tokens)), next(self._tokens))
            case b"many":
                more = f"more than {text(next(self._tokens))} new commits, which codex-runner did not read"
                # If no rule is about the changes, an agent may fetch as many commits as it likes.
                self._committed[".git"] = Change(".git", ChangeKind.UNSEEN, note=more, ignored=True)
            case b"commits" | b"end":
                self._keep_commit()
                self._into = self._found
            case _ if _COMMIT.fullmatch(name):
                self._keep_commit()
                self._commit, self._into = text(name), {}
            case _:
                raise HostError(f"git's answer cannot be read: {text(name)[:80]!r} was not expected.")

    def _add(self, path: bytes, kind: ChangeKind, **more: str | None) -> None:
        shown = text(self._prefix + path).rstrip("/")
        if kind not in _GRAVE and shown in self._into and self._into[shown].kind in _GRAVE:
            return
        self._into[shown] = dataclasses.replace(Change(shown, kind), **more)  # type: ignore[arg-type] # texts all

    def _keep_commit(self) -> None:
        """Store the changes of the commit just read. A path is kept once, from the commit that changed most lines."""
        if self._into is self._found:
            return
        for path, change in self._into.items():
            if path not in self._committed or change.lines > self._committed[path].lines:
                self._committed[path] = dataclasses.replace(change, note=f"in commit {self._commit[:12]}")

    def _raw(self, token: bytes) -> None:
        mode_before, mode_after, before, after, status = token[1:].split(b" ")
        path = next(self._tokens)
        old = None
        if status[:1] in b"RC":
            old, path = path, next(self._tokens)
        if _SUBMODULE in (mode_before, mode_after):
            kind = ChangeKind.SUBMODULE
        elif status == b"M" and before == after:
            kind = ChangeKind.MODE
        else:
            kind = _STATUSES.get(status[:1], ChangeKind.MODIFIED)
        self._add(
            path,
            kind,
            old_path=None if old is None else text(self._prefix + old),
            mode=text(mode_after),
            old_mode=text(mode_before),
        )

    def _numbers(self, numbers: re.Match[bytes]) -> None:
        added, deleted, path = numbers.groups()
        if not path:
            _, path = next(self._tokens), next(self._tokens)
        place = text(self._prefix + path)
        known = self._into[place]
        if added == b"-":
            self._into[place] = dataclasses.replace(known, binary=True)
        else:
            self._into[place] = dataclasses.replace(known, lines_added=int(added), lines_deleted=int(deleted))

    def _links(self, lines: dict[bytes, None], contents: bytes) -> None:
        """Read where symbolic links lead: their paths, and the answer of `git cat-file --batch` in the same order."""
        at = 0
        for line in lines:
            end = contents.index(b"\n", at)
            said = contents[at:end].rpartition(b" ")[2]
            if not said.isdigit():  # the object is missing: it stays unknown where the link leads
                at = end + 1
                continue
            size = int(said)
            path = text(self._prefix + unquote(line))
            if (known := self._found.get(path)) is not None:
                self._found[path] = dataclasses.replace(known, leads_to=text(contents[end + 1 : end + 1 + size]))
            at = end + 1 + size + 1

    def _compare(self, before: bytes, after: bytes, tell: Callable[[bytes, bytes, ChangeKind], None]) -> None:
        was, is_ = _notes(before), _notes(after)
        for place in sorted(was.keys() | is_.keys()):
            if was.get(place) == is_.get(place):
                continue
            kind = ChangeKind.MODIFIED
            if place not in was:
                kind = ChangeKind.ADDED
            elif place not in is_:
                kind = ChangeKind.DELETED
            tell(*place, kind)

    def _watched(self, where: bytes, path: bytes, kind: ChangeKind) -> None:
        if where == b"loose":  # a file in the folder of a submodule that is not checked out: git never lists it
            self._add(path, kind, note="in a submodule that is not checked out")
        else:
            note = REPLACED if where == b"top" else kind.value
            self._add(path if where == b"top" else b".git/" + path, ChangeKind.INSIDE_GIT, note=note)

    def _repository(self, _where: bytes, path: bytes, kind: ChangeKind) -> None:
        if kind is not ChangeKind.DELETED:  # a removed repository executes nothing; its files are listed themselves
            self._add(unquote(path), ChangeKind.REPOSITORY, note=kind.value)

    def _new(self, kind: ChangeKind, note: str) -> None:
        before, after = _lines(next(self._tokens)), _lines(next(self._tokens))
        for line in after:
            if line not in before:
                self._add(unquote(line), kind, note=note)

    def _ignored(self, lines: dict[bytes, None]) -> None:
        """Mark the changes that are in ignored folders. Drop special files there: they do no harm."""
        for path in map(text, map(unquote, lines)):
            known = self._found.get(path.removesuffix("/_"))
            if known is not None and known.kind is ChangeKind.ADDED:
                del self._found[known.path]
            elif known is not None:
                self._found[known.path] = dataclasses.replace(known, ignored=True)

    def _left(self, before: dict[bytes, None], after: dict[bytes, None]) -> None:
        for line in after:
            if line not in before:
                path = unquote(line)
                kind = ChangeKind.SUBMODULE if path.endswith(b"/") else ChangeKind.MODIFIED
                self._add(path, kind, note=UNREADABLE)

    def _newly(self, lines: dict[bytes, None]) -> None:
        for line in lines:
            path = text(self._prefix + unquote(line)).rstrip("/")
            if (known := self._found.get(path)) is not None:
                self._found[path] = dataclasses.replace(known, newly_ignored=True)


def _sorted(found: dict[str, Change]) -> tuple[Change, ...]:
    return tuple(found[path] for path in sorted(found))


def _lines(section: bytes) -> dict[bytes, None]:
    """Return the lines, each once, in their order."""
    return dict.fromkeys(filter(None, section.split(b"\n")))


def _notes(section: bytes) -> dict[tuple[bytes, bytes], bytes]:
    """Parse lines of HASH CLASS MODE PATH."""
    notes = {}
    for line in _lines(section):
        said = _NOTE.fullmatch(line)
        if said is None:
            raise HostError(f"git's answer cannot be read: {text(line)[:80]!r}.")
        notes[said["where"], said["path"]] = said["mode"] + b" " + said["digest"]
    return notes
