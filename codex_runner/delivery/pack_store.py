"""The packs of runs' changes on the runner's machine: `<state folder>/deliveries/<run-id>/`, for this user alone.

They are kept for a while, so that a delivery can be made later or again. Each is written as a whole, by one rename.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import ChangeSet
from codex_runner.domain.errors import DeliveryError
from codex_runner.domain.run import check_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator

PACK: Final = "pack"
LFS: Final = "lfs"
_FACTS: Final = "change.json"
_VERSION: Final = 1
_ABANDONED = 86400.0  # seconds: what a runner that was killed has left


@dataclass(frozen=True, slots=True)
class Kept:
    """A change of an earlier run, as it was stored."""

    change: ChangeSet
    run: str


class PackStore:
    """The folder of all packs. It is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is `deliveries` in this user's state folder."""
        self._folder = folder

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a private folder to fetch into. It is removed at the end unless `keep` took it. Raises DeliveryError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            staged = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        except OSError as error:
            raise self._no_room(error) from None
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def keep(self, change: ChangeSet, *, run: str, retention: float) -> ChangeSet:
        """Store a change that was fetched into a `staging` folder, in place of an earlier one of the same run.

        `prune` removes it once it is `retention` seconds old. Returns the change with its final place. Raises
        DeliveryError if there is no room.
        """
        staged, place = change.pack.parent, self._folder / check_run_id(run)
        facts = {
            "version": _VERSION,
            "run": run,
            "base": change.base,
            "tree": change.tree,
            "paths": list(change.paths),
            "modes": change.modes,
            "lfs": list(change.lfs),
            "until": int(time.time() + retention),
        }
        try:
            facts["sha256"] = _digest(change.pack)
            for path in staged.rglob("*"):
                path.chmod(0o700 if path.is_dir() else 0o600)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(staged / _FACTS, flags, 0o600), "w", encoding="ascii") as file:
                json.dump(facts, file)
            for path in (staged / _FACTS, change.pack, staged):
                _sync(path)
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=self._folder))
            with contextlib.suppress(FileNotFoundError):
                place.rename(old / run)  # a rename does not replace a folder that has files
            staged.rename(place)
            shutil.rmtree(old, ignore_errors=True)
            _sync(self._folder)
        except OSError as error:
            raise self._no_room(error) from None
        return dataclasses.replace(change, pack=place / PACK)

    def read(self, run: str) -> Kept:
        """Return a stored change. Raises DeliveryError if it is not on this machine, or damaged."""
        place = self._folder / check_run_id(run)
        try:
            said = json.loads((place / _FACTS).read_bytes())
        except FileNotFoundError:
            raise DeliveryError(
                f"The changes of {run} are not on this machine: {place} does not exist.",
                remedy="Deliver it on the machine whose runner followed the run to its end, or run the job again. The "
                "changes are removed after the job's `retention`.",
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(place, type(error).__name__) from None
        return _kept(place, said, run)

    def remove(self, run: str) -> None:
        """Remove a run's pack. Idempotent."""
        shutil.rmtree(self._folder / check_run_id(run), ignore_errors=True)

    def prune(self, now: float | None = None) -> None:
        """Remove packs whose retention is over, and what killed runners have left. `now` is seconds since the epoch."""
        now = time.time() if now is None else now
        with contextlib.suppress(OSError):
            for place in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    if now >= _until(place):
                        shutil.rmtree(place, ignore_errors=True)

    def _no_room(self, error: OSError) -> DeliveryError:
        return DeliveryError(
            f"The changes cannot be kept in {self._folder}: {error.strerror}.",
            remedy="Free space there, or grant write access to it.",
        )


def _until(place: Path) -> float:
    """Return when this folder is to be removed: after a day if its facts cannot be read."""
    try:
        return float(json.loads((place / _FACTS).read_bytes())["until"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return place.lstat().st_mtime + _ABANDONED


def _kept(place: Path, said: Any, run: str) -> Kept:
    try:
        change = ChangeSet(
            _text(said["base"]),
            _text(said["tree"]),
            tuple(map(_text, said["paths"])),
            {_text(path): _text(mode) for path, mode in said["modes"].items()},
            place / PACK,
            tuple(map(_text, said["lfs"])),
        )
        kept = Kept(change, _text(said["run"]))
        if said["version"] != _VERSION:
            raise _damaged(place, f"it is of version {said['version']!r}, which this codex-runner does not know")
        digest = _digest(place / PACK)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise _damaged(place, type(error).__name__) from None
    if kept.run != run or digest != said["sha256"]:
        raise _damaged(place, "its pack is not the one that was written")
    return kept


def _damaged(place: Path, why: str) -> DeliveryError:
    return DeliveryError(
        f"The changes in {place} are damaged: {why}.", remedy="Remove that folder, and run the job again."
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _digest(pack: Path) -> str:
    with pack.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
