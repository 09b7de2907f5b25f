"""`codex-runner prune`: remove the folders of old runs."""

from __future__ import annotations

from typing import Annotated

import typer

from codex_runner.app.history import prune as remove
from codex_runner.cli.completion import job_names
from codex_runner.cli.operators import duration
from codex_runner.cli.options import ConfigOption, OutputOption, output_dir
from codex_runner.cli.speech import print_json, tell
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import UsageError


def prune(
    older_than: Annotated[
        str | None,
        typer.Option(help="Only runs that ended longer ago than this, such as 30d or 12h.", show_default=False),
    ] = None,
    keep_last: Annotated[int | None, typer.Option(min=0, help="Keep the newest N runs.", show_default=False)] = None,
    job: Annotated[
        str | None, typer.Option(help="Only runs of this job.", show_default=False, autocompletion=job_names)
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also runs without an ending that no runner writes any more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    config: ConfigOption = None,
    output: OutputOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Remove the folders of old runs. Keeps running runs, and without --unfinished also those without an ending.

    Example: codex-runner prune --older-than 30d --keep-last 20
    """
    if older_than is None and keep_last is None:
        raise UsageError("No runs selected.", remedy="Give --older-than, --keep-last, or both.")
    seconds = None if older_than is None else duration(older_than, "--older-than")
    where = output_dir(output, config)
    gone = remove(where, older_than=seconds, keep_last=keep_last, job=job, unfinished=unfinished, dry_run=dry_run)
    if as_json:
        print_json([run.folder.run_id for run in gone])
    else:
        for run in gone:
            typer.echo(f"{'would remove' if dry_run else 'removed'} {show_path(str(run.folder.path))}")
    if not gone:
        tell(f"nothing to remove in {where}")
