"""Redacted names and commands of a run's checks, as its records show them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from codex_runner.domain.job import OWN_CHECKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from codex_runner.domain.job import Check, Job
    from codex_runner.redaction.redactor import Redactor

MASKED = "masked_checks"
"""The key of the first record's facts that lists the checks whose commands it shows with a mask."""


def with_shown_names(job: Job, redactor: Redactor) -> Job:
    """Return the job with its checks' names redacted, and still unique: results are stored by name. Idempotent."""
    taken, checks = set(OWN_CHECKS), []
    for check in job.checks:
        name = shown = redactor.text(check.name)
        number = 1
        while shown in taken:
            number += 1
            shown = f"{name} ({number})"
        taken.add(shown)
        checks.append(dataclasses.replace(check, name=shown))
    return dataclasses.replace(job, checks=tuple(checks))


def masked(job: Job, redactor: Redactor) -> list[str]:
    """Return the names of the checks whose commands hold a secret."""
    return [check.name for check in job.checks if redactor.text(check.run) != check.run]


def is_lost(check: Check, facts: Mapping[str, Any], redactor: Redactor) -> bool:
    """Whether the check's command is known only from the record, with a mask in place of its secret."""
    return check.name in facts.get(MASKED, ()) and redactor.text(check.run) == check.run
