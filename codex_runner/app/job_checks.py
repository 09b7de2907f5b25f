"""What of a job can be refused before anything is made: a schema for its reply, a detector of credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.checks.reply_schema import JsonSchema
from codex_runner.checks.secret_detector import DetectSecrets
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Detector, ReplySchema


def reply_schema(job: Job, environ: Mapping[str, str]) -> ReplySchema | None:
    """Return the schema that the job's final message must match. Raises ConfigurationError if it is invalid."""
    if job.output_schema is None:
        return None
    try:
        return JsonSchema(job.output_schema, environ)
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.output_schema: {error.message}", remedy=error.remedy) from None


def detector(job: Job) -> Detector | None:
    """Return the detector of credentials, if the job asks for one. Raises ConfigurationError if it is not installed."""
    if not job.secret_scan:
        return None
    try:
        return DetectSecrets()
    except ConfigurationError as error:
        raise ConfigurationError(f"jobs.{job.name}.secret_scan = true: {error.message}", remedy=error.remedy) from None
