"""`codex-runner runs`: what has run, and how it ended."""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.cli.operators import print_json, say
from codex_runner.cli.options import ConfigOption, OutputOption, output_dir

if TYPE_CHECKING:
    from codex_runner.wiring.history import PastRun


def runs(
    job: Annotated[str | None, typer.Option(help="Only runs of this job.", show_default=False)] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    config: ConfigOption = None,
    output: OutputOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the runs, the newest first: when, which job, where, how it ended, its tokens, how long it took."""
    from codex_runner.cli.table import show_table  # noqa: PLC0415
    from codex_runner.wiring.history import list_runs  # noqa: PLC0415

    where = output_dir(output, config)
    found = list(islice(list_runs(where, job=job, failed=failed), limit))
    if as_json:
        print_json([as_document(run) for run in found])
    elif found:
        show_table(("RUN", "WHEN", "JOB", "HOST", "ENDED", "TOKENS", "TOOK"), [_row(run) for run in found], os.environ)
    else:
        say(f"there is no such run in {where}")


def as_document(run: PastRun) -> dict[str, Any]:
    """Return a run for programs. Times are ISO 8601 in UTC, durations seconds."""
    from codex_runner.engine.credential_rules import format_date  # noqa: PLC0415

    return {
        "run_id": run.folder.run_id,
        "job": run.job,
        "host": run.host,
        "started": format_date(run.started),
        "seconds": round(run.seconds, 3),
        "ended": run.ended,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "tokens": run.tokens,
        "run_dir": str(run.folder.path),
    }


def _row(run: PastRun) -> tuple[str, ...]:
    from codex_runner.sinks.foreign import duration  # noqa: PLC0415

    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)) if run.started else "-"
    return (run.folder.run_id, when, run.job, run.host, run.ended, f"{run.tokens:,}", duration(run.seconds))
