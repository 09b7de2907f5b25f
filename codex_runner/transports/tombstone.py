"""Tombstones: they keep a discarded run discarded. The same files as `host/tombstone.sh` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.cancellation import CANCELLED
from codex_runner.domain.errors import RunGoneError
from codex_runner.transports.directory import state_folder
from codex_runner.transports.processes import here, uptime

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tombstones:
    """`discarded/<run-id>` beside `runs/`, for each run of the last day that was discarded or pruned."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` gives the folder of the user's state."""
        self._folder = state_folder(environ) / "discarded"

    def put(self, run_id: str, *, keep_workspace: bool, judge: str = "-") -> None:
        """Write the run's tombstone, with the claim of its `judge`. Idempotent. Raises OSError.

        Call it before anything of the run is removed.
        """
        _, boot, _ = here()
        what = "but-workspace" if keep_workspace else "all"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / run_id
        path.touch(mode=0o600)
        up = uptime()
        path.write_text(f"{what} {boot} {'-' if up is None else up} {judge}\n", encoding="ascii")

    def note_cancelled(self, run_id: str) -> None:
        """Note that the run was cancelled, so that a repeated discard reports it again. Raises OSError."""
        with (self._folder / run_id).open("a", encoding="ascii") as tombstone:
            tombstone.write(f"{CANCELLED}\n")

    def refuse(self, run_id: str | None) -> None:
        """Raise RunGoneError if the run has been discarded."""
        if run_id is not None and (self._folder / run_id).exists():
            raise RunGoneError(f"{run_id} has been discarded: no command of this run can start.")
