"""`codex-runner jobs`: the jobs of the configuration, and how each ended last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.history import last_runs
from codex_runner.app.secret_places import setting_secrets
from codex_runner.app.showing import cleaner
from codex_runner.cli.options import ConfigOption, OutputOption, SetOption, configuration
from codex_runner.cli.runs import as_document, ending_of
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_columns
from codex_runner.text.dates import format_local_minute

if TYPE_CHECKING:
    from codex_runner.app.history import PastRun
    from codex_runner.config import JobSettings


def jobs(
    config: ConfigOption = None,
    output: OutputOption = None,
    settings: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the jobs: host, sandbox, the last run and how it ended, and the description.

    Example: codex-runner jobs --json
    """
    loaded = configuration(config, settings or [])
    last = last_runs(output.absolute() if output else loaded.output_dir, loaded.jobs.keys())
    secrets = [secret for job in loaded.jobs.values() for secret in setting_secrets(job)]
    clean = cleaner(os.environ, secrets)
    if as_json:
        documents = [
            {
                "job": job.name,
                "description": clean(job.description) if job.description else None,
                "host": str(job.host),
                "sandbox": job.sandbox.value,
                "last": as_document(last[job.name]) if job.name in last else None,
            }
            for job in loaded.jobs.values()
        ]
        print_json({"jobs": documents})
        return
    if not loaded.jobs:
        tell(f"{loaded.path} has no job")
        return
    headers = ("JOB", "HOST", "SANDBOX", "LAST", "ENDING", "DESCRIPTION")
    rows = [_row(job, last.get(job.name), clean(job.description or "")) for job in loaded.jobs.values()]
    show_columns(headers, rows, os.environ, right=(), colours={})


def _row(job: JobSettings, last: PastRun | None, description: str) -> tuple[str, ...]:
    when, ending = ("-", "-") if last is None else (format_local_minute(last.started), ending_of(last))
    return job.name, str(job.host), job.sandbox.value, when, ending, " ".join(description.split())
