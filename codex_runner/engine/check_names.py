"""What a run's records tell of its checks: names and commands, in which a secret may stand."""

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
"""The fact of a run's first record that names the checks whose commands it has with masks alone."""


def with_shown_names(job: Job, redactor: Redactor) -> Job:
    """Return the job with names of its checks that hold no secret, and that still differ: results go by them.

    Idempotent.
    """
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
    """Whether all that is left of the check's command is what the record has: with a mask where a secret stood."""
    return check.name in facts.get(MASKED, ()) and redactor.text(check.run) == check.run
