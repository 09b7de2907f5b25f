"""`codex-runner deliver`: deliver a run's changes, later or again."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from codex_runner.app.folders import find_run
from codex_runner.app.invocation import Invocation
from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, runs_config, warn
from codex_runner.cli.speech import print_json, printable
from codex_runner.domain.event import to_json
from codex_runner.domain.exit_code import ExitCode


def deliver(
    run: RunArgument,
    config: ConfigOption = None,
    output: OutputOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show branch, commit and texts, and ask no forge for anything.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Deliver the changes of a green run: one branch, one pull request. For a delivery that failed, or was held.

    The runner keeps a run's changes on the machine that followed the run to its end. On another machine the command
    ends with exit code 13. What an earlier try has done is found, and not done twice. delivery.json in the run's folder
    has the result.

    Example: codex-runner deliver last --dry-run
    """
    from codex_runner.app.deliver import deliver_run, planned_delivery

    loaded, output_dir = runs_config(config, output)
    folder = find_run(output_dir, run)
    invocation = Invocation.of(loaded, os.environ, None, complain=warn)
    if dry_run:
        plan = planned_delivery(folder, invocation)
        if as_json:
            print_json(plan)
        else:
            for name, value in plan.items():
                typer.echo(f"{name}: {printable(value if isinstance(value, str) else str(value))}")
        return
    result, fails = asyncio.run(deliver_run(folder, invocation))
    if as_json:
        print_json(to_json(result))
    else:
        told = " ".join(part for part in (f"{result.state.value}:", result.reason, result.link) if part)
        typer.echo(printable(told))
        for sentence in result.warnings:
            warn(sentence)
    if fails:
        raise typer.Exit(int(ExitCode.DELIVERY))
