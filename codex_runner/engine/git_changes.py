"""What an agent changed in a git working tree, found by git on the host and not by asking the agent.

`snapshot` comes before the agent, `changes` and `patch` after it, as often as one likes. All that they keep is in the
run's directory on the host and goes with it (`Transport.discard`); the repository is only read. How it is done, and why
an agent cannot fool it, is written at the top of git_changes.sh.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from codex_runner.domain.change import Change, ChangeKind, show_path
from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError
from codex_runner.engine.cksum import cksum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codex_runner.domain.host import Completed
    from codex_runner.domain.ports import Transport

_PAGE = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
_SUBMODULE = b"160000"
_STATUSES = {b"A": ChangeKind.ADDED, b"D": ChangeKind.DELETED, b"R": ChangeKind.RENAMED}
_UNREADABLE = "git cannot read it"

_ANSWER = re.compile(rb"ok (\d+) (\d+)\n")
_NUMBERS = re.compile(rb"(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)
_C_ESCAPE = re.compile(rb"\\(?:([0-7]{3})|(.))", re.DOTALL)
_C_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class NotRepositoryError(ConfigurationError):
    """The workspace is in no git repository whose files could be compared."""

    default_remedy = "Run `git init` there, or leave out the settings that need git (path rules, `max_changed_lines`)."


class TamperedError(HostError):
    """What was noted before the agent is gone or was changed: nothing can be said of what the agent did."""

    default_remedy = (
        "An agent with `danger-full-access` can have done it; else something outside of its sandbox, such as a "
        "clean-up of the state folder. Look at the host before you trust it."
    )


@dataclass(frozen=True, slots=True)
class Before:
    """The state of a working tree, noted before the agent. All its fields are texts, so it can be kept in a record.

    `top` is the repository's top on the host; `head` the commit, empty before the first one; `tree` the id of all that
    was there, uncommitted files included. `seal` is a hash of what is kept on the host. `dirty`: the tree was not
    that of `head`. `unwatched` names submodules too strangely named to be looked into.
    """

    run_id: str
    seal: str
    top: str
    head: str
    tree: str
    dirty: bool
    unwatched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What is not as it was, by path, and the commit that HEAD names now (agents have no business moving it)."""

    changed: tuple[Change, ...]
    head: str

    @property
    def lines(self) -> int:
        """Lines added and deleted, over all changes."""
        return sum(change.lines for change in self.changed)


async def snapshot(
    transport: Transport, cwd: str, run_id: str, *, skip: Sequence[str] = (), timeout: float = 300.0
) -> Before:
    """Note the working tree around `cwd`. `skip`: absolute folders on the host that are not the agent's doing.

    NotRepositoryError where there is none. Calling it again for the same run starts anew.
    """
    facts = dict(_pairs(await _ask(transport, cwd, ("snapshot", run_id, *skip), timeout)))
    unwatched = tuple(_text(unquote(line)) for line in facts[b"unwatched"].splitlines())
    tree, committed = _text(facts[b"tree"]), _text(facts[b"committed"])
    return Before(
        run_id,
        _text(facts[b"seal"]),
        _text(facts[b"top"]),
        _text(facts[b"head"]),
        tree,
        dirty=tree != committed,
        unwatched=unwatched,
    )


async def changes(transport: Transport, before: Before, *, timeout: float = 300.0) -> Changes:
    """Compare the working tree with what it was. Ignored files are left out, as git leaves them out.

    TamperedError where what was noted has been touched.
    """
    answer = await _ask(transport, None, ("changes", before.run_id, before.seal), timeout)
    return _Reader(answer.split(b"\0")).read()


async def patch(transport: Transport, before: Before, *, timeout: float = 300.0) -> bytes:
    """Return what the last `changes` found as a patch for `git apply`, with new and binary files. Not redacted."""
    return await _ask(transport, None, ("patch", before.run_id, before.seal), timeout)


def diffstat(changed: Sequence[Change]) -> str:
    """Say it in a line a path, such as `docs/a.md | 3 +2 -1`, and a line of totals; empty where nothing changed."""
    if not changed:
        return ""
    rows = []
    for change in changed:
        name = change.shown if change.old_path is None else f"{show_path(change.old_path)} => {change.shown}"
        much = "binary" if change.binary else f"+{change.lines_added} -{change.lines_deleted}"
        rows.append(f"{name} | {change.kind.value} {much}" + (f" ({change.note})" if change.note else ""))
    files = f"{len(changed)} file{'' if len(changed) == 1 else 's'} changed"
    added, deleted = sum(c.lines_added for c in changed), sum(c.lines_deleted for c in changed)
    return "\n".join([*rows, f"{files}, {added} lines added, {deleted} lines deleted"]) + "\n"


# --- asking the host -------------------------------------------------------------------------------------------------


def _script() -> str:
    return resources.files("codex_runner.engine").joinpath("git_changes.sh").read_text(encoding="utf-8")


async def _ask(transport: Transport, cwd: str | None, arguments: tuple[str, ...], timeout: float) -> bytes:
    """Run the script and bring home its whole answer, page by page."""
    script = _script()
    done = await transport.ask(script, cwd=cwd, timeout=timeout, arguments=arguments)
    if done.exit_code is None:
        raise HostError(
            f"git needed longer than {timeout:g} s to look at the workspace (`{arguments[0]}`).",
            remedy="Look at the repository's size, and at untracked files that .gitignore should name.",
        )
    said = _ANSWER.match(done.output)
    if said is None:
        raise _error(done)
    size, checksum = int(said[1]), int(said[2])
    answer = bytearray(done.output[said.end() :])
    while len(answer) < size:
        page = ("page", arguments[1], str(len(answer)), str(_PAGE))
        more = await transport.ask(script, timeout=timeout, arguments=page)
        if not more.output:
            break
        answer += more.output
    if len(answer) != size or cksum(bytes(answer)) != checksum:
        raise HostError(f"git's answer did not arrive whole: {len(answer)} of {size} bytes.")
    return bytes(answer)


def _error(done: Completed) -> RunnerError:
    word, _, rest = done.output.partition(b" ")
    code, _, message = _text(rest).strip().partition(" ") if word == b"error" else ("failed", "", done.last_words)
    match code:
        case "no-repository":
            return NotRepositoryError(f"The workspace is in no usable git repository: {message}")
        case "no-git":
            return ConfigurationError(message + ".", remedy="Install git on the host that executes.")
        case "tampered":
            return TamperedError(f"What was noted of the workspace before the agent is lost: {message}.")
        case _:
            return HostError(
                f"Looking at the workspace's changes failed: {message}", remedy="Try `git status` there by hand."
            )


# --- reading what it answered ----------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _pairs(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    tokens = answer.split(b"\0")[:-1]
    return zip(tokens[::2], tokens[1::2], strict=True)


def unquote(name: bytes) -> bytes:
    """Read a name as git writes it with core.quotePath: as it is, or as a C string."""
    if not name.startswith(b'"'):
        return name
    return _C_ESCAPE.sub(
        lambda found: bytes([int(found[1], 8)]) if found[1] else _C_LETTERS.get(found[2], found[2]), name[1:-1]
    )


class _Reader:
    """Reads the tokens of `changes`, in which each repository's diff stands as git wrote it."""

    def __init__(self, tokens: list[bytes]) -> None:
        self._tokens = iter(tokens[:-1])
        self._prefix = b""
        self._found: dict[str, Change] = {}
        self._head = ""

    def read(self) -> Changes:
        for token in self._tokens:
            if token.startswith(b":"):
                self._raw(token)
            elif numbers := _NUMBERS.fullmatch(token):
                self._numbers(numbers)
            else:
                self._section(token)
        return Changes(tuple(self._found[path] for path in sorted(self._found)), self._head)

    def _section(self, name: bytes) -> None:
        match name:
            case b"repo":
                self._prefix = next(self._tokens)
            case b"head":
                self._head = _text(next(self._tokens))
            case b"gone":
                self._add(b".git" if not self._prefix else b"", ChangeKind.INSIDE_GIT, note="the repository is gone")
            case b"watched":
                self._watched(next(self._tokens), next(self._tokens))
            case b"left":
                self._left(next(self._tokens), next(self._tokens))
            case _:
                raise HostError(f"git's answer cannot be read: {_text(name)[:80]!r} was not expected.")

    def _add(self, path: bytes, kind: ChangeKind, *, old_path: str | None = None, note: str = "") -> None:
        shown = _text(self._prefix + path).rstrip("/")
        self._found[shown] = Change(shown, kind, old_path=old_path, note=note)

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
        self._add(path, kind, old_path=None if old is None else _text(self._prefix + old))

    def _numbers(self, numbers: re.Match[bytes]) -> None:
        added, deleted, path = numbers.groups()
        if not path:
            _, path = next(self._tokens), next(self._tokens)
        place = _text(self._prefix + path)
        known = self._found[place]
        if added == b"-":
            self._found[place] = dataclasses.replace(known, binary=True)
        else:
            self._found[place] = dataclasses.replace(known, lines_added=int(added), lines_deleted=int(deleted))

    def _watched(self, before: bytes, after: bytes) -> None:
        was, is_ = _notes(before), _notes(after)
        for place in sorted(was.keys() | is_.keys()):
            if was.get(place) == is_.get(place):
                continue
            kind = (
                ChangeKind.ADDED
                if place not in was
                else ChangeKind.DELETED
                if place not in is_
                else ChangeKind.MODIFIED
            )
            where, path = place
            if where == b"loose":  # a file where a submodule is not checked out: git itself would never name it
                self._add(path, kind, note="where a submodule is not checked out")
            else:
                self._add(path if where == b"top" else b".git/" + path, ChangeKind.INSIDE_GIT, note=kind.value)

    def _left(self, before: bytes, after: bytes) -> None:
        known = set(before.splitlines())
        for line in after.splitlines():
            if line not in known:
                path = unquote(line)
                kind = ChangeKind.SUBMODULE if path.endswith(b"/") else ChangeKind.MODIFIED
                self._add(path, kind, note=_UNREADABLE)


def _notes(text: bytes) -> dict[tuple[bytes, bytes], bytes]:
    """Read lines of CLASS MODE HASH PATH."""
    notes = {}
    for line in filter(None, text.split(b"\n")):
        where, mode, digest, path = line.split(b" ", 3)
        notes[where, path] = mode + b" " + digest
    return notes
