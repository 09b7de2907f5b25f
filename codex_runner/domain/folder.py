"""The run's folder on the runner's machine: one class names every file in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

PATCH = "changes.patch"
"""The artifact with the agent's changes, below `artifacts/`."""


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
        """The run for programs: the job, and its result."""
        return self.path / "run.json"

    @property
    def room(self) -> Path:
        """Space reserved during the run, so that run.json can be written although the disk is full at the end."""
        return self.path / ".room"

    @property
    def events(self) -> Path:
        """Every record, in order. The reports can be rebuilt from it."""
        return self.path / "events.jsonl"

    @property
    def is_reported(self) -> bool:
        """Whether the last report that every run gets has been written: then all of them exist."""
        return self.report.exists()

    @property
    def codex(self) -> Path:
        """The stdout of codex: redacted, otherwise byte for byte."""
        return self.path / "codex.jsonl"

    @property
    def stderr(self) -> Path:
        """The stderr of codex, redacted."""
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
    def delivery(self) -> Path:
        """What `codex-runner deliver` did last, or would do."""
        return self.path / "delivery.json"

    @property
    def artifacts(self) -> Path:
        """The folder of the job's artifacts."""
        return self.path / "artifacts"

    @property
    def manifest(self) -> Path:
        """Path, size and sha256 of every artifact."""
        return self.path / "manifest.json"
