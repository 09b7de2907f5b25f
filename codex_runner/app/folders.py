"""The folders of runs: made, found, read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codex_runner.app.history import newest, run_folders
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import check_run_id, is_run_id
from codex_runner.domain.state import RunState, fold
from codex_runner.reports.atomic_write import clear_place, write_whole
from codex_runner.sinks.jsonl import read_records
from codex_runner.transports.directory import runs_root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "LAST",
    "cannot_hold_runs",
    "check_state_folder",
    "clear_place",
    "find_run",
    "made",
    "read_state",
    "whole_run_id",
    "write_whole",
]

LAST = "last"
_SHOWN = 5  # runs in a message
_IGNORE = "# Written by codex-runner: runs do not belong into the repository.\n*\n"


def made(folder: Path) -> Path:
    """Make the output folder, and keep it out of version control."""
    if not folder.exists():
        try:
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text(_IGNORE, encoding="ascii")
        except OSError as error:
            raise ConfigurationError(
                f"{folder}: the output folder cannot be made: {error.strerror}.", remedy="Name another with -o."
            ) from None
    return folder


def cannot_hold_runs(folder: str) -> ConfigurationError:
    """Return the error for a folder, on any host, in which no run directory can be made."""
    return ConfigurationError(
        f"{folder} is not writable, and run directories are made there.",
        remedy="Set XDG_STATE_HOME, or HOME, to a folder that this user can write.",
    )


def check_state_folder(environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if this machine has no place for run directories: some accounts have no home."""
    runs = runs_root(environ)
    there = next(parent for parent in (runs, *runs.parents) if os.path.lexists(parent))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise cannot_hold_runs(str(there))


def read_state(folder: RunFolder) -> RunState:
    """Build a run's state from its events.jsonl, without touching it."""
    return fold(read_records(folder.events))


def whole_run_id(output_dir: Path, given: str) -> str:
    """Return the id of the only run below `output_dir` that begins with `given`. Returns a whole id as it is.

    Raises UsageError if several runs begin so, or none.
    """
    if is_run_id(given):
        return given
    found = [folder.run_id for folder in run_folders(output_dir) if given and folder.run_id.startswith(given)]
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise UsageError(f"{len(found)} runs begin with {given}: {shown}.", remedy="Give more of the id.")
    return found[0] if found else check_run_id(given)


def find_run(output_dir: Path, run: str) -> RunFolder:
    """Find a run below `output_dir` by its id, or by the beginning of it; `last` is the newest.

    Raises UsageError if there is none, or if several begin so.
    """
    if run == LAST:
        if (found := newest(output_dir)) is not None:
            return found
        raise UsageError(f"There is no run in {output_dir}.", remedy="Name another folder with -o.")
    folder = RunFolder(output_dir / whole_run_id(output_dir, run))
    if not folder.events.exists():
        raise UsageError(
            f"There is no run {run} in {output_dir}.",
            remedy="List the runs with `codex-runner runs`, or name another folder with -o. Give --host if another "
            "machine has begun the run.",
        )
    return folder
