"""`codex-runner runs`: past and running runs, and how they ended."""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.app.history import list_runs
from codex_runner.cli.completion import job_names
from codex_runner.cli.operators import duration
from codex_runner.cli.options import ConfigOption, OutputOption, output_dir
from codex_runner.cli.speech import print_json, tell, tell_nothing
from codex_runner.cli.table import show_columns
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.dates import format_instant, format_local_minute
from codex_runner.text.durations import format_duration as shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.app.history import PastRun


def runs(
    job: Annotated[
        str | None, typer.Option(help="Only runs of this job.", show_default=False, autocompletion=job_names)
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Only runs that began within this time, such as 24h.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most N runs, the newest.")] = 20,
    config: ConfigOption = None,
    output: OutputOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the runs, the newest first: start, job, host, ending, delivery, duration and tokens.

    Example: codex-runner runs --failed --since 24h
    """
    after = 0.0 if since is None else time.time() - duration(since, "--since")
    where = output_dir(output, config)
    every = list_runs(where, job=job, failed=failed, after=after)
    found = list(islice(every, limit))
    if as_json:
        print_json([as_document(run) for run in found])
        return
    if found:
        _show(found)
    if not found:
        tell_nothing("no such run", where)
    elif next(every, None) is not None:
        tell(f"only the newest {limit} are shown; give --limit for more")


def as_document(run: PastRun) -> dict[str, Any]:
    """Return a run as JSON, with the keys of run.json. Times are ISO 8601 in UTC, durations seconds."""
    return {
        "run_id": run.folder.run_id,
        "job": run.job,
        "host": run.host,
        "started": format_instant(run.started),
        "ended": format_instant(run.started + run.seconds) if run.finished else None,
        "seconds": round(run.seconds, 3),
        "result": run.result,
        "ending": run.ending,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "tokens": run.tokens,
        "delivery": {"state": run.delivery, "link": run.delivery_link or None} if run.delivery else None,
        "run_dir": str(run.folder.path),
    }


def _show(found: Sequence[PastRun]) -> None:
    """Print the runs as a table. The id, which is long, is the last column, so that it breaks no line.

    The column of deliveries is there if one of the runs has a delivery.
    """
    delivers = any(run.delivery for run in found)
    headers = ("STARTED", "JOB", "HOST", "ENDING", *(["DELIVERY"] if delivers else []), "TOOK", "TOKENS", "RUN")
    colours = ["green" if run.exit_code == 0 else "red" if run.exit_code else "yellow" for run in found]
    rows = [_row(run, delivers=delivers) for run in found]
    show_columns(headers, rows, os.environ, right=("TOOK", "TOKENS"), colours={"ENDING": colours})


def ending_of(run: PastRun) -> str:
    """Return how a run ended, for people."""
    if run.exit_code:
        return "failed" if run.exit_code == ExitCode.JOB_FAILED else f"failed: {run.ending}"
    return run.ending


def _row(run: PastRun, *, delivers: bool) -> tuple[str, ...]:
    when = format_local_minute(run.started)
    delivery = [f"{run.delivery} {run.delivery_link}".rstrip()] if delivers else []
    return (
        when,
        run.job,
        run.host,
        ending_of(run),
        *delivery,
        shown(run.seconds),
        f"{run.tokens:,}",
        run.folder.run_id,
    )
