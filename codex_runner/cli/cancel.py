"""`codex-runner cancel`: end a run, with or without a runner that follows it."""

from __future__ import annotations

import asyncio
import os

import typer

from codex_runner.app.attach import cancel as end
from codex_runner.app.invocation import Invocation
from codex_runner.cli.options import ConfigOption, HostOption, OutputOption, RunArgument, runs_config, warn


def cancel(
    run: RunArgument,
    host: HostOption = None,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """End a run. The runner that follows it writes the reports. If no runner follows it, run `attach` for them.

    Ends the run's agent, a check, or the wait for another attempt.

    With --host, works from any machine, also while another machine follows the run.
    """
    loaded, output_dir = runs_config(config, output)
    ended = asyncio.run(end(output_dir, run, host, Invocation.of(loaded, os.environ, None, complain=warn)))
    typer.echo(f"{ended}: asked to end", err=True)
