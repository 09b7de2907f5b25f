"""The run's folder on the runner's side: one class that names every file in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

PATCH = "changes.patch"
"""The artifact with what the agent changed, below `artifacts/`."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`<output-dir>/<run-id>/`. It names files; it writes none."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id is the folder's name."""
        return self.path.name

    @property
    def run_json(self) -> Path:
        """The run for programs: what it was asked, and what it came to."""
        return self.path / "run.json"

    @property
    def room(self) -> Path:
        """Space that is taken while the run goes on, so that run.json has some on a disk that is full by its end."""
        return self.path / ".room"

    @property
    def events(self) -> Path:
        """Every record, in order: what the reports are rebuilt from."""
        return self.path / "events.jsonl"

    @property
    def is_reported(self) -> bool:
        """Whether the last of the reports that every run gets has been written: all of them are there then."""
        return self.report.exists()

    @property
    def codex(self) -> Path:
        """What codex printed: redacted, otherwise byte for byte."""
        return self.path / "codex.jsonl"

    @property
    def stderr(self) -> Path:
        """What codex wrote to stderr, redacted."""
        return self.path / "stderr.log"

    @property
    def junit(self) -> Path:
        """The JUnit report."""
        return self.path / "junit.xml"

    @property
    def summary(self) -> Path:
        """The summary for people, in Markdown."""
        return self.path / "summary.md"

    @property
    def report(self) -> Path:
        """The report for people, one HTML page."""
        return self.path / "report.html"

    @property
    def artifacts(self) -> Path:
        """The folder of what the job left."""
        return self.path / "artifacts"

    @property
    def manifest(self) -> Path:
        """Path, size and sha256 of every artifact."""
        return self.path / "manifest.json"
