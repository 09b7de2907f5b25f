"""Writing all reports of a run into its folder."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError, LeakError, RunnerError, bug
from codex_runner.reports import facts
from codex_runner.reports.atomic_write import Pinned, write_whole
from codex_runner.reports.html import html_report
from codex_runner.reports.junit import junit
from codex_runner.reports.manifest import manifest
from codex_runner.reports.run_json import run_json
from codex_runner.reports.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from codex_runner.domain.event import Record
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState
    from codex_runner.redaction.redactor import Redactor

_DIFF_BYTES = 1_000_000
_ROOM = 256 * 1024  # bytes that run.json, junit.xml and summary.md of most runs need together


class FileReports:
    """Writes run.json, junit.xml, summary.md, report.html and manifest.json. Implements ports.Reports."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        extra_junit: Path | None = None,
        guards: bool = True,
        records: Callable[[], Iterable[Record]] | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        """Write JUnit to `extra_junit` too. Without `guards`, JUnit leaves out guards that passed.

        With `records`, which returns all records of the run, report.html is written too. `redactor` checks each report
        last: events hold no secret, so a secret in a report is a leak.
        """
        self._folder, self._extra_junit, self._guards, self._records = folder, extra_junit, guards, records
        self._redactor = redactor
        self._pinned: Pinned | None = None
        if extra_junit is not None:  # the agent may replace its folder with a link
            with contextlib.suppress(OSError):  # the write of the report will raise it again
                self._pinned = Pinned(extra_junit)

    def begin(self, state: RunState) -> None:
        """See Reports.begin."""
        self._each(state, [(self._folder.run_json, run_json)])

    def prepare(self) -> None:
        """See Reports.prepare."""
        # Reserve space for the reports. If that fails now, a small run may still fit. Random bytes, since some file
        # systems store zeros in no space at all.
        with contextlib.suppress(OSError):
            write_whole(self._folder.room, os.urandom(_ROOM))
        import junit_xml  # noqa: F401 - load it while codex starts, not at the end, when the runner is waited for

    def write(self, state: RunState) -> Sequence[Path]:
        """See Reports.write. If one report cannot be written, the others are written all the same."""
        folder = self._folder
        with contextlib.suppress(OSError):  # an agent without a sandbox may have put a folder there
            folder.room.unlink()
        reports = [
            (folder.run_json, run_json),
            (folder.junit, self._junit_report),
            (folder.summary, lambda state: summary(state).encode()),
        ]
        if self._extra_junit is not None:
            reports.insert(1, (self._extra_junit, self._junit_report))
        if self._records is not None:
            reports.append((folder.report, self._page))
        if state.artifacts:
            reports.append((folder.manifest, lambda state: manifest(state.artifacts.values())))
        return self._each(state, reports)

    def _junit_report(self, state: RunState) -> bytes:
        return junit(state, guards=self._guards, folder=self._folder.path.absolute())

    def _page(self, state: RunState) -> bytes:
        records = self._records() if self._records else ()
        return html_report(state, records, diff=self._diff(state)).encode()

    def _diff(self, state: RunState) -> str:
        """Return the run's own patch, or else the first patch among the artifacts, cut to what a page can hold."""
        patches = [path for path in state.artifacts if path.endswith((".patch", ".diff"))]
        path = facts.own_patch(state) or next(iter(patches), "")
        if not path:
            return ""
        with contextlib.suppress(OSError), (self._folder.path / path).open("rb") as file:
            return file.read(_DIFF_BYTES).decode(errors="replace")
        return ""

    def _each(self, state: RunState, reports: Sequence[tuple[Path, Callable[[RunState], bytes]]]) -> list[Path]:
        written, failed, bugs, leaks = [], [], [], []
        for path, report in reports:
            try:
                data = report(state)
                if self._redactor and self._redactor.names_in(data) - set(state.facts.get("plain", ())):
                    leaks.append(path.name)
                    data = self._redactor(data)
                pinned = self._pinned if path == self._extra_junit else None
                written.append(pinned.write(data) if pinned else write_whole(path, data))
            except OSError as error:
                failed.append(f"{path} ({error.strerror})")
            except ConfigurationError as error:  # events.jsonl, the source of the page, is gone
                failed.append(f"{path} ({error.message.rstrip('.')})")
            except Exception as error:  # noqa: BLE001 - a bug in one report must not cost the others
                bugs.append(f"{path} ({bug(error)})")
        if leaks:
            raise LeakError(f"these reports held a secret before they were masked: {', '.join(leaks)}.")
        if bugs:
            raise RunnerError(f"these reports could not be made: {', '.join([*bugs, *failed])}.")
        if failed:
            raise ConfigurationError(
                f"these reports could not be written: {', '.join(failed)}.",
                remedy="Check that the folder exists, is writable, and has free space. Then write the reports again "
                "with `codex-runner report RUN`.",
            )
        return written
