"""Findings outside of a run as a JUnit report: those of `doctor` and `token check`."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from codex_runner.domain.credential import Outcome
from codex_runner.domain.errors import ConfigurationError
from codex_runner.reports.atomic_write import write_whole
from codex_runner.text.clean import without_attachments
from codex_runner.text.dates import format_instant
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codex_runner.domain.credential import Finding


def junit_of_findings(suite: str, findings: Sequence[tuple[str, Finding]], *, now: float | None = None) -> bytes:
    """Return JUnit XML in UTF-8 with a case for each subject and finding. Refused findings are failures."""
    refused = sum(finding.outcome is Outcome.REFUSED for _, finding in findings)
    unjudged = sum(finding.outcome is Outcome.UNJUDGED for _, finding in findings)
    counts = {"tests": str(len(findings)), "failures": str(refused), "errors": "0", "skipped": str(unjudged)}
    counts["time"] = "0.000"
    root = ET.Element("testsuites", {"name": f"codex-runner {suite}", **counts})
    root.attrib.pop("skipped")  # Jenkins's schema allows it on suites only
    stamp = format_instant(time.time() if now is None else now)[:19]
    element = ET.SubElement(root, "testsuite", {"name": suite, **counts, "timestamp": stamp})
    seen: Counter[tuple[str, str]] = Counter()
    for subject, finding in findings:
        seen[subject, finding.rule] += 1
        again = seen[subject, finding.rule]
        # GitLab drops a case whose name it has seen.
        name = finding.rule if again == 1 else f"{finding.rule} ({again})"
        texts = (subject, finding.message, finding.remedy)
        whose, message, remedy = (without_attachments(one_line(text)) for text in texts)
        case = ET.SubElement(element, "testcase", {"classname": f"{suite}.{whose}", "name": name, "time": "0.000"})
        said = f"{message}\n{remedy}".strip()
        if finding.outcome is Outcome.REFUSED:
            message = message or finding.rule
            ET.SubElement(case, "failure", {"message": message, "type": finding.rule}).text = said
        elif finding.outcome is Outcome.UNJUDGED:
            ET.SubElement(case, "skipped", {"message": f"{finding.outcome.value}: {message} {remedy}".strip()})
        else:
            word = "warning: " if finding.outcome is Outcome.WARNED else ""
            ET.SubElement(case, "system-out").text = f"{word}{said}"
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + bytes(ET.tostring(root, encoding="utf-8"))


def write_junit(path: Path, suite: str, findings: Sequence[tuple[str, Finding]]) -> None:
    """Write the report atomically. Raises ConfigurationError if it cannot be written."""
    try:
        write_whole(path, junit_of_findings(suite, findings))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name another path with --junit."
        ) from None
