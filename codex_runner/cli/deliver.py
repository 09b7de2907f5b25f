"""`codex-runner deliver`: deliver a run's changes, later or again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.folders import find_run
from codex_runner.app.invocation import Invocation
from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, runs_config, warn
from codex_runner.cli.speech import print_json, printable
from codex_runner.domain.event import to_json
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.clean import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.delivery import ByHand


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
    ends with exit code 13. What an earlier try has done is found, and not done twice. All reports in the run's folder
    get the result, and delivery.json has it alone. The run's own exit code stays in them.

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
    late = asyncio.run(deliver_run(folder, invocation))
    result = late.result
    if as_json:
        print_json(to_json(result))
    elif late.error is None or result.is_done:
        said = (f"{result.state.value}:", result.reason, result.commit_told, result.link)
        typer.echo(printable(" ".join(part for part in said if part)))
        for sentence in result.warnings:
            warn(sentence)
    _show(result.by_hand)
    if late.error is not None:
        raise late.error
    if late.fails:
        raise typer.Exit(int(ExitCode.DELIVERY))


def _show(ways: Sequence[ByHand]) -> None:
    """Print how to finish the delivery by hand, on stderr. Nothing that begins a line there is foreign."""
    for way in ways:
        lines = [f"codex-runner: by hand: {way.needs}", *(f"    {command}" for command in way.commands)]
        if way.link:
            lines.append(f"  {'then ' if way.commands else ''}open {way.link}")
        for line in lines:
            typer.echo(clean_line(line), err=True)
