"""Records as JSON lines: the run's journal (events.jsonl and the copies beside it), and a log for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from codex_runner.domain.errors import ConfigurationError, LockedError, RunnerError, UsageError
from codex_runner.domain.event import SCHEMA_VERSION, Unparsed, record_from_json, record_to_json
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from codex_runner.domain.event import Position, Record
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.host import Stream
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState

_LOOKS = 10  # retries for a lock that is taken
_TAIL = 4096  # bytes: more than most records have
_NO_ROOM = "Free space or grant write access there, or choose another folder with `-o`."
_KEEP = "Keep the folder for the investigation, and start a new run."


class FileJournal:
    """The journal in a run's folder: events.jsonl, codex.jsonl, stderr.log, all 0600.

    Unbuffered: once `copy` or `append` has returned, its data survives the death of this process, in order. After
    `close` it survives a crash of the machine. A lock on events.jsonl, held until `close`, keeps other runners out. A
    failed append is truncated away if the file system allows it, so the files stay readable.
    """

    def __init__(self, events: _AppendFile, copies: dict[Stream, _AppendFile], seq: int) -> None:
        """Continue after record `seq`. For `create`, `recover` and `reopen`, which lock and measure first."""
        self._events, self._copies, self._seq = events, copies, seq

    @classmethod
    def create(cls, folder: RunFolder) -> Self:
        """Begin a run's journal, and make its folder (0700). Raises UsageError if the folder holds a run already."""
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.path.chmod(0o700)
        except OSError as error:
            raise _cannot("made", folder.path, error) from error
        with contextlib.ExitStack() as undo:
            events, stdout, stderr = (
                undo.enter_context(_AppendFile(path, os.O_CREAT | os.O_EXCL))
                for path in (folder.events, folder.codex, folder.stderr)
            )
            events.lock()
            undo.pop_all()
        return cls(events, {"stdout": stdout, "stderr": stderr}, seq=0)

    @classmethod
    def recover(cls, folder: RunFolder) -> tuple[Iterator[Record], Self]:
        """Recover a journal that ended anywhere, even in the middle of a write.

        Keeps events.jsonl up to the last whole record whose copies are whole. Truncates codex.jsonl and stderr.log to
        the lengths that this record names. Returns those records (read lazily, from the start) with the journal ready
        to append. Raises UsageError if there is no run, or if a newer version wrote it; LockedError if another runner
        writes it; RunnerError if records are missing in the middle.
        """
        if not folder.events.exists():
            raise _no_run(folder)
        with contextlib.ExitStack() as undo:
            events = undo.enter_context(_AppendFile(folder.events))
            events.lock()
            stdout = undo.enter_context(_AppendFile(folder.codex, os.O_CREAT))
            stderr = undo.enter_context(_AppendFile(folder.stderr, os.O_CREAT))
            seq, length, at = _last_whole(folder.events, stdout.length, stderr.length)
            # Events first: a crash between these truncations leaves copies too long, which the next recovery truncates.
            events.truncate(length)
            stdout.truncate(at.stdout_copy if at else 0)
            stderr.truncate(at.stderr_copy if at else 0)
            undo.pop_all()
        records = (record for _, record in islice(_scan(folder.events), seq))
        return records, cls(events, {"stdout": stdout, "stderr": stderr}, seq)

    @classmethod
    def reopen(cls, folder: RunFolder) -> tuple[Iterator[Record], Self]:
        """Open the journal of a run that is over, to append records. Its copies stay as they are, or missing.

        Returns the records, and the journal. A torn record at the end is cut off. Raises as `recover` does.
        """
        if not folder.events.exists():
            raise _no_run(folder)
        with contextlib.ExitStack() as undo:
            events = undo.enter_context(_AppendFile(folder.events))
            events.lock()
            seq, length = 0, 0
            for end, record in _scan(folder.events):
                seq, length = record.seq, end
            events.truncate(length)
            undo.pop_all()
        return read_records(folder.events), cls(events, {}, seq)

    def copy(self, stream: Stream, data: bytes) -> None:
        """Append redacted bytes to codex.jsonl or stderr.log. Call it before `append` of their record."""
        self._copies[stream].append(data)

    def append(self, record: Record) -> None:
        """Append a record to events.jsonl in one write. Its `seq` must be the next number."""
        if record.seq != self._seq + 1:
            raise RunnerError(f"Record {record.seq} does not follow record {self._seq} in {self._events.path}.")
        self._events.append(to_line(record).encode("ascii"))
        self._seq = record.seq

    def close(self) -> None:
        """Sync to disk (fsync), and release the lock. Idempotent."""
        with contextlib.ExitStack() as closing:
            for file in (self._events, *self._copies.values()):
                closing.callback(file.close)
            for file in (*self._copies.values(), self._events):
                file.sync()


class JsonLog:
    """A sink for programs: one record on each line, the same object as in events.jsonl. It has no limit."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, which stays open."""
        self._stream = stream

    def accept(self, record: Record, state: RunState) -> None:  # noqa: ARG002 - the port's; the record says it all
        """Write the record."""
        # A CI system takes `##[...]` for a command anywhere in a line. JSON can escape `#`, which occurs in strings
        # only.
        self._stream.write(to_line(record).replace("##", "#\\u0023"))
        self._stream.flush()

    def mask(self, secret: Secret) -> None:
        """See Sink.mask. Does nothing: records come redacted."""

    def tick(self, now: float, state: RunState) -> None:
        """Does nothing: a program reads the time from the records."""

    def close(self) -> None:
        """Does nothing: the stream belongs to the caller."""


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of an events.jsonl, one at a time, up to the last whole one.

    A truncated line at the end is not an error: a runner may be writing it. Raises UsageError if a newer version wrote
    the file, RunnerError if records are missing in the middle, ConfigurationError if it cannot be read.
    """
    return (record for _, record in _scan(path))


def to_line(record: Record) -> str:
    """Return a record as one line of ASCII, with its newline."""
    try:
        return json.dumps(record_to_json(record), separators=(",", ":")) + "\n"
    except RecursionError:
        # The data is nested too deeply for json.dumps. codex.jsonl has it whole.
        text = f"{type(record.event).__name__} is nested too deeply to be recorded"
        return to_line(dataclasses.replace(record, event=Unparsed("nested too deeply", text, 0)))


class _AppendFile:
    """An append-only, unbuffered file that knows its length."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.path = path
        self.length = 0
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
            os.fchmod(self._fd, 0o600)
            self.length = os.fstat(self._fd).st_size
        except FileExistsError as error:
            raise UsageError(
                f"{path} exists already: the folder holds a run.", remedy="Give each run a folder of its own."
            ) from error
        except OSError as error:
            self.close()
            raise _cannot("opened", path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lock(self) -> None:
        """Acquire the lock that keeps other runners out. Closing the descriptor releases it."""
        for looks_left in range(_LOOKS, -1, -1):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not looks_left:
                    age = time.time() - os.fstat(self._fd).st_mtime
                    who = f"the runner {_lock_holder(self._fd) or '(pid unknown)'} on {os.uname().nodename}"
                    raise LockedError(
                        f"Another runner is writing {self.path.parent}: {who}, last {format_duration(age)} ago.",
                        remedy="Wait for it, or watch with `logs -f`.",
                    ) from error
            except OSError as error:
                raise ConfigurationError(
                    f"{self.path} cannot be locked: {error.strerror}.",
                    remedy="Choose an output folder with `-o` on a file system that supports locks.",
                ) from error
            else:
                return
            time.sleep(0.01)  # `logs -f` and `runs` take it for a moment, to see whether a runner holds it

    def append(self, data: bytes) -> None:
        """Write all of `data`, or raise and leave the file as it was."""
        try:
            done = os.write(self._fd, data)
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:])
        except OSError as error:
            with contextlib.suppress(OSError):  # report the first error
                os.ftruncate(self._fd, self.length)
            raise _cannot("written", self.path, error) from error
        self.length += len(data)

    def truncate(self, length: int) -> None:
        if length == self.length:
            return
        try:
            os.ftruncate(self._fd, length)
        except OSError as error:
            raise _cannot("cut", self.path, error) from error
        self.length = length

    def sync(self) -> None:
        if self._fd < 0:
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _cannot("written", self.path, error) from error

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _lock_holder(descriptor: int) -> int | None:
    """Return the pid of the process that has locked a file. Returns None if the system does not say."""
    inode = str(os.fstat(descriptor).st_ino)
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as locks:  # noqa: PTH123 - of the system
        for words in map(str.split, locks):
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and words[4].isdigit():
                return int(words[4])
    return None


def last_event(path: Path) -> dict[str, Any]:
    """Return the event of the last whole record of an events.jsonl as JSON, without reading the file whole.

    Returns {} if there is none, or if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size, room = file.seek(0, os.SEEK_END), _TAIL
            while True:
                file.seek(max(0, size - room))
                lines = file.read(room).rpartition(b"\n")[0].rsplit(b"\n", 1)
                if len(lines) > 1 or room >= size:
                    break
                room *= 4
        data = _load(lines[-1] + b"\n")
    except OSError:
        return {}
    event = data.get("event") if data else None
    return event if isinstance(event, dict) else {}


def _no_run(folder: RunFolder) -> UsageError:
    return UsageError(
        f"{folder.path} holds no run: there is no events.jsonl.", remedy="List the runs: `codex-runner runs`."
    )


def _cannot(done: str, path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be {done}: {error.strerror}.", remedy=_NO_ROOM)


def _last_whole(path: Path, stdout: int, stderr: int) -> tuple[int, int, Position | None]:
    """Return the last record whose copies are whole: its seq, the offset of its end in bytes, and its position."""
    seq, length, at = 0, 0, None
    for end, record in _scan(path):
        # After a power failure a copy may be shorter than its record says. Lengths only grow, so the rest is lost too.
        if record.position.stdout_copy > stdout or record.position.stderr_copy > stderr:
            break
        seq, length, at = record.seq, end, record.position
    return seq, length, at


def _scan(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield each record with the offset of its end. Skips torn lines at the end; raises if others are damaged."""
    end, seq, torn = 0, 0, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                data = _load(line)
                if data is None:
                    torn = torn or number
                    continue
                if data["schema"] > SCHEMA_VERSION:
                    raise UsageError(
                        f"{path}, line {number}: schema {data['schema']}, but this version reads {SCHEMA_VERSION}.",
                        remedy="Use the codex-runner that wrote it, or a newer one.",
                    )
                record = _build(data)
                if record is None:
                    torn = torn or number
                    continue
                if torn:
                    raise RunnerError(f"{path}, line {torn} cannot be read, but others follow it.", remedy=_KEEP)
                if record.seq != seq + 1:
                    raise RunnerError(f"{path}, line {number}: record {record.seq} follows record {seq}.", remedy=_KEEP)
                end, seq = end + len(line), record.seq
                yield end, record
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.", remedy="Name the run's folder."
        ) from error


def _load(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        data = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("schema"), int) else None


def _build(data: dict[str, Any]) -> Record | None:
    try:
        record = record_from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return record if isinstance(record.seq, int) else None
