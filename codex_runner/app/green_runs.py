"""The records of last green runs, for gates: files in the folder `gates` of this user's state folder."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from codex_runner.app.repository_address import without_user
from codex_runner.domain.gate import GreenRun, UnknownGreenRunError
from codex_runner.reports.atomic_write import write_whole

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST: Final = 1 << 16  # bytes


class FolderGreenRuns:
    """Implements engine.gate.GreenRuns. `read` makes the folder: a sandbox puts a file in place of a missing one."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._folder = folder

    def key(self, job: str, repository: str, prefix: str) -> str:
        """See GreenRuns.key."""
        place = json.dumps([job, without_user(repository), prefix])
        return hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()

    def read(self, key: str) -> GreenRun | None:
        """See GreenRuns.read."""
        place = self._folder / f"{key}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with place.open("rb") as file:
                green = GreenRun.read(file.read(_LONGEST))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(place, f"cannot be read: {error.strerror}") from None
        if green is None:
            raise _unusable(place, "is no record of a green run")
        return green

    def keep(self, key: str, green: GreenRun) -> None:
        """See GreenRuns.keep."""
        place = self._folder / f"{key}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(place, green.written.encode(), mode=0o600)
        except OSError as error:
            raise _unusable(place, f"cannot be written: {error.strerror}") from None

    def forget(self, key: str) -> None:
        """See GreenRuns.forget."""
        place = self._folder / f"{key}.json"
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(place, f"cannot be removed: {error.strerror}") from None


def _unusable(place: Path, why: str) -> UnknownGreenRunError:
    return UnknownGreenRunError(f"{place} {why}.", remedy="Remove that file: the next green run writes it again.")
