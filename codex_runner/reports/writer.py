"""All reports of a run, written into its folder."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError, LeakError, RunnerError, bug
from codex_runner.domain.folder import PATCH
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
_ROOM = 256 * 1024  # bytes: what run.json, junit.xml and summary.md of most runs need together


class FileReports:
    """Writes run.json, junit.xml, summary.md, report.html and manifest.json (see domain.ports.Reports)."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        extra_junit: Path | None = None,
        guards: bool = True,
        records: Callable[[], Iterable[Record]] | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        """Write JUnit to `extra_junit` too; without `guards`, leave the promises that were kept out of it.

        With `records`, which gives all of the run's from the first, report.html is written too. `redactor` sees each
        report last: events hold no secret, so a report that does is told as a leak.
        """
        self._folder, self._extra_junit, self._guards, self._records = folder, extra_junit, guards, records
        self._redactor = redactor
        self._pinned: Pinned | None = None
        if extra_junit is not None:  # the agent may put a link in the place of its folder
            with contextlib.suppress(OSError):  # it is told when the report is written
                self._pinned = Pinned(extra_junit)

    def begin(self, state: RunState) -> None:
        """See Reports.begin."""
        self._each(state, [(self._folder.run_json, run_json)])

    def prepare(self) -> None:
        """See Reports.prepare."""
        # A disk that has no room for it now may have enough for a small run. Random: some file systems store zeros in
        # no space at all.
        with contextlib.suppress(OSError):
            write_whole(self._folder.room, os.urandom(_ROOM))
        import junit_xml  # noqa: F401 - loaded while codex starts, not when it is waited for

    def write(self, state: RunState) -> Sequence[Path]:
        """See Reports.write. One that cannot be written does not keep the others from it."""
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
        """Return the run's own patch, or the first among the artifacts, or what of it a page can take."""
        patches = [path for path in state.artifacts if path.endswith((".patch", ".diff"))]
        own = [path for path in (f"artifacts/run-{PATCH}", f"artifacts/{PATCH}") if path in state.artifacts]
        path = next(iter([*own, *patches]), None)
        if path is None:
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
            except ConfigurationError as error:  # events.jsonl, which a page is made of, has been taken away
                failed.append(f"{path} ({error.message.rstrip('.')})")
            except Exception as error:  # noqa: BLE001 - a bug in one report must not cost the others
                bugs.append(f"{path} ({bug(error)})")
        if leaks:
            raise LeakError(f"these reports would have held a secret, which is masked in them: {', '.join(leaks)}.")
        if bugs:
            raise RunnerError(f"these reports could not be made: {', '.join([*bugs, *failed])}.")
        if failed:
            raise ConfigurationError(
                f"these reports could not be written: {', '.join(failed)}.",
                remedy="Check that the folder exists, can be written, and has room; `codex-runner report RUN` "
                "writes the reports again.",
            )
        return written
