"""`codex-runner outcomes`: what became of what was delivered, and what an accepted change cost."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Annotated

import typer

from codex_runner.app.invocation import Invocation
from codex_runner.cli.completion import job_names
from codex_runner.cli.operators import duration
from codex_runner.cli.options import ConfigOption, OutputOption, runs_config, warn
from codex_runner.cli.outcomes_output import as_document, exit_code_of, show, tell_doubts
from codex_runner.cli.speech import print_json, tell_nothing
from codex_runner.domain.errors import ConfigurationError


def outcomes(
    job: Annotated[
        str | None, typer.Option(help="Only changes of this job.", show_default=False, autocompletion=job_names)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only runs that began within this time, such as 30d.", show_default=False)
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Also write metrics into the configuration's metrics.folder.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Ask the forge what became of each pull request: merged, closed or open; and what an accepted one cost.

    The runs in the output folder tell the pull requests and the cost. The forge is asked with the credential of the
    job's delivery, and nothing is changed there. If it cannot be asked, the exit code says why.

    Example: codex-runner outcomes --since 30d
    """
    from codex_runner.app.outcomes import ask_outcomes, export

    begin = None if since is None else time.time() - duration(since, "--since")
    loaded, where = runs_config(config, output)
    folder = None if loaded is None else loaded.metrics
    if metrics and folder is None:
        raise ConfigurationError(
            "--metrics: the configuration names no folder for metrics.", remedy="Set `folder` in [metrics]."
        )
    invocation = Invocation.of(loaded, os.environ, None, complain=warn)
    found = asyncio.run(ask_outcomes(where, loaded, invocation, job=job, since=begin))
    if as_json:
        print_json(as_document(found))
    elif found.jobs:
        show(found)
    tell_doubts(found)
    if not found.jobs:
        tell_nothing("no delivery" if job is None else f"no delivery of the job {job}", where)
    if metrics and folder is not None:
        export(found, folder)
    if code := exit_code_of(found):
        raise typer.Exit(int(code))
