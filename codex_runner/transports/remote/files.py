"""Lists and downloads files of a host. Each arrives whole, with a matching checksum, or is left out with a reason.

An agent named these files. The host follows no link, and reads nothing outside of the folder. This side trusts no host:
it refuses each path that would not stay below `into`.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO

from codex_runner.dataclass import dataclass
from codex_runner.domain import cksum
from codex_runner.domain.errors import HostError
from codex_runner.domain.listing import Fetched, Listing
from codex_runner.transports.carriers.carrier import DroppedError
from codex_runner.transports.remote.host_answer import PATIENCE, next_answer, patiently
from codex_runner.transports.request import files_request, new_nonce

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from codex_runner.transports.remote.session import Session
    from codex_runner.transports.remote.sessions import Sessions

_CHUNK = 1 << 16
_SILENCE = 30.0
_TRIES = 3
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Fetch:
    """A resumable download: after a dropped connection, it continues at the byte that it had reached.

    `limit` bounds each file and `total` all of them, in bytes. `left_out` maps a path to the reason, in words.
    """

    root: str
    paths: Sequence[str]
    into: Path
    limit: int
    total: int
    fetched: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    received: int = 0
    _part: _Part | None = None

    def __post_init__(self) -> None:
        """Leave out each path that would not stay below `into`."""
        for path in self.paths:
            if not all(name not in ("", ".", "..") for name in path.split("/")) or "\0" in path:
                self.left_out[path] = "its path leads outside of the folder"

    @property
    def result(self) -> Fetched:
        """The files that were fetched or left out so far."""
        return Fetched(tuple(self.fetched), dict(self.left_out), self.received)

    async def go_on(self, sessions: Sessions) -> bool:
        """Fetch the missing files. Returns True if none is missing any more, False if it must be called again.

        Raises DroppedError if the connection breaks.
        """
        done = {*self.fetched, *self.left_out}
        missing = [path for path in self.paths if path not in done]
        if not missing:
            return True
        if self._part is not None and self._part.path != missing[0]:
            self._part = None
        first = self._part.size if self._part else 0
        offsets = [first, *([0] * (len(missing) - 1))]
        nonce = new_nonce()
        request = files_request("fetch", self.root, zip(offsets, missing, strict=True), self.limit, nonce)
        async with sessions.session(request) as session:
            await next_answer(session, nonce, patience=_SILENCE)
            while (words := (await _line(session, nonce)).split(" ", 2))[0] != "end":
                path = missing[int(words[1])]
                if words[0] == "skip":
                    self.left_out[path] = self._reason(words[2])
                elif not await self._take(session, path, *map(int, words[2].split())):
                    await sessions.release(session)  # the session's next bytes would be those of the refused file
                    return False
        return True

    def _reason(self, text: str) -> str:
        word, _, size = text.partition(" ")
        return f"it has {int(size):,} bytes, more than {self.limit:,} for a file" if word == "large" else text

    async def _take(self, session: Session, path: str, size: int, checksum: int) -> bool:
        """Receive one file. Returns False if the rest must be requested again."""
        part = self._part or _Part(path, size, checksum)
        self._part = part
        if self.received + size - part.size > self.total:
            self.left_out[path] = f"with its {size:,} bytes, all files together would exceed {self.total:,} bytes"
            self._part = None
            return False
        if (size, checksum) != (part.whole, part.checksum):
            return self._again(part, size, checksum)  # the file has changed since its first part came
        with _opened(self.into, path, part.size) as file:
            while part.size < size:
                data = await _read(session, min(_CHUNK, size - part.size))
                file.write(data)
                part.take(data)
                self.received += len(data)
        if cksum.finish(part.state, size) != checksum:
            return self._again(part, size, checksum)
        self.fetched.append(path)
        self._part = None
        return True

    def _again(self, part: _Part, size: int, checksum: int) -> bool:
        self.received -= part.size
        part.begin_anew(size, checksum)
        if part.tries >= _TRIES:
            self.left_out[part.path] = "it keeps changing while the host reads it"
            (self.into / part.path).unlink()
            self._part = None
        return False


@dataclass(slots=True)
class _Part:
    """A file that has arrived in part, and its checksum so far. Sizes are in bytes."""

    path: str
    whole: int
    checksum: int
    size: int = 0
    state: int = cksum.START
    tries: int = 0

    def take(self, data: bytes) -> None:
        self.size += len(data)
        self.state = cksum.advance(self.state, data)

    def begin_anew(self, whole: int, checksum: int) -> None:
        self.whole, self.checksum = whole, checksum
        self.size, self.state = 0, cksum.START
        self.tries += 1


async def list_files(sessions: Sessions, root: str, below: Iterable[str]) -> Listing:
    """List the files below these paths of a folder, at every depth. Raises DroppedError if the connection breaks."""
    nonce = new_nonce()
    request = files_request("list", root, ((0, path) for path in below), 0, nonce)
    names, end = bytearray(), b"\0.%b\0" % nonce.encode()
    async with sessions.session(request) as session:
        await next_answer(session, nonce)
        while not names.endswith(end):
            names += await _read(session, _CHUNK, PATIENCE)
    return read_listing(bytes(names[: -len(end)]))


def read_listing(names: bytes) -> Listing:
    """Read what files.sh lists. Complete only if each path proves it: it has an entry, and then find's status, 0."""
    entries = names.split(b"\0")
    complete = not entries.pop()  # each entry ends with a NUL; if the list was cut, the last one may not
    found: dict[bytes, dict[str, None]] = {b"f": {}, b"o": {}}
    before = b"e0"
    for entry in entries:
        kind = entry[:1]
        if kind == b"s":
            complete = complete and before == b"e0"
        elif kind == b"e":
            complete = complete and before != b"s"
        elif kind in found:
            path = os.fsdecode(entry[1:])
            while path.startswith("./"):
                path = path[2:]
            found[kind][path] = None
        before = entry
    return Listing(tuple(found[b"f"]), tuple(found[b"o"]), complete and before == b"e0")


def _opened(into: Path, path: str, offset: int) -> BinaryIO:
    target = into / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if offset == 0:
        return os.fdopen(os.open(target, _NEW_FILE, 0o600), "wb")
    return target.open("ab")


async def _line(session: Session, nonce: str) -> str:
    line = await patiently(session.stdout.readline(), _SILENCE)
    if not line.endswith(b"\n"):
        raise DroppedError("the connection ended between files")
    if not line.startswith(f"{nonce} ".encode()):
        raise HostError("the host's answer to a request for files cannot be parsed.")
    return line[len(nonce) + 1 : -1].decode("utf-8", "replace")


async def _read(session: Session, size: int, patience: float = _SILENCE) -> bytes:
    data = await patiently(session.stdout.read(size), patience)
    if not data:
        raise DroppedError("the connection ended within the answer")
    return data
