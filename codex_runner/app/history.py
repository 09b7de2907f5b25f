"""Past and running runs: list, show, follow, report again, and remove old ones."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError, UsageError
from codex_runner.domain.event import DeliveryEnded, RunEnded, record_from_json
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import check_run_id, run_job, run_started
from codex_runner.domain.state import RunState, fold
from codex_runner.reports.atomic_write import write_whole
from codex_runner.reports.outcome import word
from codex_runner.reports.writer import FileReports
from codex_runner.sinks.jsonl import last_event, read_records
from codex_runner.text.dates import parse_date
from codex_runner.text.durations import plausible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from codex_runner.domain.event import Record
    from codex_runner.domain.ports import Sink
    from codex_runner.redaction.redactor import Redactor

RUNNING: Final = "running"
UNFINISHED: Final = "unfinished"
UNREADABLE: Final = "unreadable"
PLANNED: Final = "planned"
"""The state in delivery.json after `codex-runner deliver --dry-run`."""

_POLL: Final = 0.2  # seconds between two looks at a run that is followed
_AT_ONCE: Final = 16 << 20  # bytes of records that are read at once
_ABANDONED: Final = 3.0  # seconds without a writer, after which no runner is expected to come back


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run by its folder. Times are seconds since the epoch.

    `ending` is one word: `succeeded`, `skipped`, or the name of its exit code; `running` while a runner writes it,
    `unfinished` if no runner does any more, `unreadable` if its records are damaged or of a newer version.
    `exit_code` and `result` are None for these three. `delivery` is the state of its delivery, "" without one, and
    `delivery_link` the address of the pull request: those of the last `codex-runner deliver` if there was one.
    """

    folder: RunFolder
    job: str
    host: str
    started: float
    seconds: float
    tokens: int
    ending: str
    exit_code: int | None = None
    result: str | None = None
    reason: str = ""
    delivery: str = ""
    delivery_link: str = ""

    @property
    def finished(self) -> bool:
        """Whether there is a verdict."""
        return self.exit_code is not None


def list_runs(
    output_dir: Path, *, job: str | None = None, failed: bool = False, after: float = 0.0
) -> Iterator[PastRun]:
    """Yield the runs below `output_dir` that began `after` a time (seconds since the epoch), the newest first.

    `failed` leaves out all but those with a bad verdict.
    """
    for folder in run_folders(output_dir):
        if run_started(folder.run_id) < after:
            return  # their names sort by time
        run = _look(folder)
        if (job is None or run.job == job) and (run.exit_code or not failed):
            yield run


def last_runs(output_dir: Path, jobs: Collection[str]) -> dict[str, PastRun]:
    """Return the newest run of each of these jobs that has one. Reads no other run."""
    found: dict[str, PastRun] = {}
    for folder in run_folders(output_dir):
        if len(found) == len(jobs):
            break
        job = run_job(folder.run_id)
        if job in jobs and job not in found:
            found[job] = _look(folder)
    return found


def newest(output_dir: Path) -> RunFolder | None:
    """Return the run that began last. Returns None if there is none."""
    return next(run_folders(output_dir), None)


def replay(folder: RunFolder, sink: Sink) -> RunState:
    """Show a run again, as it was shown when it ran."""
    state = RunState()
    for record in read_records(folder.events):
        _show(record, state, sink)
    sink.close()
    return state


def follow(folder: RunFolder, sink: Sink) -> RunState:
    """Show a run from its beginning, and follow it until its verdict stands and its reports are written.

    Raises HostError if its runner is gone and no other has replaced it.
    """
    state, offset, alone = RunState(), 0, None
    while True:
        live = is_live(folder)  # asked first: the next round reads what is written after that
        records, offset = _read_from(folder.events, offset)
        for record in records:
            _show(record, state, sink)
        if records or live:
            alone = None
        elif state.verdict is not None:
            break
        elif alone is None:
            alone = time.monotonic()
        elif time.monotonic() - alone > _ABANDONED:
            sink.close()
            raise HostError(
                f"{folder.run_id} has no runner any more.", remedy=f"Run `codex-runner attach {folder.run_id}`."
            )
        if not records:
            sink.tick(time.time(), state)
            time.sleep(_POLL)
    sink.close()
    return state


def rebuild(
    folder: RunFolder, *, guards: bool, junit: Path | None = None, redactor: Redactor | None = None
) -> Sequence[Path]:
    """Write all reports of a run anew from its events.jsonl, JUnit to `junit` too; return their paths."""
    state = fold(read_records(folder.events))
    if not state.run_id:
        raise UsageError(
            f"{folder.path}: the run was killed before it began; there is nothing to report.",
            remedy="Remove the rest with `codex-runner prune --unfinished`.",
        )
    reports = FileReports(
        folder, extra_junit=junit, guards=guards, records=lambda: read_records(folder.events), redactor=redactor
    )
    return reports.write(state)


def copy_to(source: Path, target: Path) -> Path:
    """Copy a report atomically; return its path. Raises ConfigurationError if it cannot be written."""
    try:
        return write_whole(target, source.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error.strerror}.", remedy="Name another place."
        ) from None


def prune(  # noqa: PLR0913 - what may go, as the command line says it
    output_dir: Path,
    *,
    older_than: float | None,
    keep_last: int | None,
    job: str | None = None,
    unfinished: bool = False,
    dry_run: bool = False,
) -> tuple[PastRun, ...]:
    """Remove finished runs that are older (in seconds) and not among the last so many; return what went, or would.

    Runs without a verdict are kept and counted, unless `unfinished` ones may go too. A run that another process
    writes is never removed.
    """
    now = time.time()
    gone = []
    for place, run in enumerate(list_runs(output_dir, job=job)):
        young = older_than is not None and now - (run.started + run.seconds) <= older_than
        recent = keep_last is not None and place < keep_last
        over = run.finished or (unfinished and run.ending == UNFINISHED)
        if over and not young and not recent and (dry_run or _remove(run.folder)):
            gone.append(run)
    if not dry_run:
        for left in output_dir.glob(".*.pruned"):  # from a removal that was killed
            shutil.rmtree(left, ignore_errors=True)
    return tuple(gone)


def is_live(folder: RunFolder) -> bool:
    """Whether a runner writes this run now."""
    with _open(folder) as descriptor:
        return descriptor is not None and not _lock(descriptor, fcntl.LOCK_SH)


def run_folders(output_dir: Path) -> Iterator[RunFolder]:
    """Yield the folders of runs, the newest first. None if there is no such folder."""
    try:
        names = sorted((entry.name for entry in output_dir.iterdir() if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(
            f"{output_dir} cannot be read: {error.strerror}.", remedy="Name another folder with -o."
        ) from None
    for name in names:
        with contextlib.suppress(UsageError, OSError):  # not a run's name, or not readable
            folder = RunFolder(output_dir / check_run_id(name))
            if folder.events.is_file() and not folder.path.is_symlink():
                yield folder


def _look(folder: RunFolder) -> PastRun:
    """Read run.json, which is short; if it is missing, damaged, or older than the verdict, read events.jsonl."""
    try:
        if (document := finished_document(folder)) is not None:
            return _from_document(folder, document, delivered_later(folder) or document.get("delivery") or {})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        pass  # then from events.jsonl

    started, job = run_started(folder.run_id), run_job(folder.run_id)
    try:
        state = fold(read_records(folder.events))
    except RunnerError as error:  # one that cannot be read must not hide the others
        return PastRun(folder, job, "", started, 0.0, 0, UNREADABLE, reason=error.message)
    verdict = state.verdict
    return PastRun(
        folder=folder,
        job=state.job or job,
        host=state.host,
        started=state.started or started,
        seconds=state.seconds,
        tokens=state.usage.total,
        ending=_word(verdict) if verdict else RUNNING if is_live(folder) else UNFINISHED,
        exit_code=verdict.exit_code if verdict else None,
        result=verdict.result if verdict else None,
        reason=verdict.reason if verdict else "",
        delivery=state.delivery.state.value if state.delivery else "",
        delivery_link=state.delivery.link if state.delivery else "",
    )


def finished_document(folder: RunFolder) -> dict[str, Any] | None:
    """Return run.json. Returns None if it is missing, torn, of another version, or without a verdict."""
    try:
        document = json.loads(folder.run_json.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(document, dict) and document.get("version") == 1 and document.get("exit_code") is not None
    return document if whole else None


def delivered_later(folder: RunFolder) -> dict[str, Any]:
    """Return what `codex-runner deliver` did last, {} if it delivered nothing: see app.deliver.

    run.json may lack that, if the process was killed before it wrote the reports. An older version only wrote
    delivery.json.
    """
    event = last_event(folder.events)
    if event.get("kind") == DeliveryEnded.kind and isinstance(delivery := event.get("delivery"), dict):
        return delivery
    try:
        document = json.loads(folder.delivery.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and document.get("state") != PLANNED else {}


def _from_document(folder: RunFolder, document: dict[str, Any], delivery: dict[str, Any]) -> PastRun:
    verdict = RunEnded(int(document["exit_code"]), str(document["result"]), str(document["reason"]))
    return PastRun(
        folder=folder,
        job=str(document["job"]),
        host=str(document["host"]),
        started=parse_date(document["started"]),
        seconds=plausible(float(document["seconds"])),
        tokens=int(document["usage"]["total"]),
        ending=_word(verdict),
        exit_code=verdict.exit_code,
        result=verdict.result,
        reason=verdict.reason,
        delivery=str(delivery.get("state") or ""),
        delivery_link=str(delivery.get("link") or ""),
    )


def _word(verdict: RunEnded) -> str:
    return word(verdict)


def _show(record: Record, state: RunState, sink: Sink) -> None:
    state.apply(record)
    sink.accept(record, state)


def _read_from(path: Path, offset: int) -> tuple[list[Record], int]:
    """Read whole records from `offset` on, some megabytes of them, and the offset of the next one."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            records, enough = [], offset + _AT_ONCE
            for line in file:
                if offset >= enough or not line.endswith(b"\n"):
                    break  # another process is writing it
                try:
                    records.append(record_from_json(json.loads(line)))
                except (ValueError, KeyError, TypeError, AttributeError):
                    break  # torn by a kill: the runner that attaches cuts it off
                offset += len(line)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        remedy = "The run was removed: list the others with `codex-runner runs`." if gone else "Check who may read it."
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from None
    return records, offset


@contextlib.contextmanager
def _open(folder: RunFolder) -> Iterator[int | None]:
    try:
        descriptor = os.open(folder.events, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: RunFolder) -> bool:
    """Remove a run's folder while we hold its lock. It disappears at once, by a rename, not file by file."""
    with _open(folder) as descriptor:
        if descriptor is None or not _lock(descriptor, fcntl.LOCK_EX):
            return False
        hidden = folder.path.with_name(f".{folder.run_id}.pruned")
        try:
            folder.path.rename(hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            raise ConfigurationError(
                f"{folder.path} cannot be removed: {error.strerror}.", remedy="Make it writable, or remove it by hand."
            ) from None
    return True
