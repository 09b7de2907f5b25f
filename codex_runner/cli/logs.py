"""`codex-runner logs`: what the console showed, from events.jsonl."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from codex_runner.cli.options import ConfigOption, OutputOption, output_dir


def logs(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    go_on: Annotated[bool, typer.Option("--follow", "-f", help="Follow a run that is going on until it ends.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show whole what is cut otherwise.")] = False,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Show a run again as it was shown when it ran; with -f, follow one that runs in another terminal.

    Example: codex-runner logs -f "$(codex-runner runs --limit 1 --json | jq -r '.[0].run_id')"
    """
    from codex_runner.sinks.console import make_console, wants_color  # noqa: PLC0415
    from codex_runner.wiring import history  # noqa: PLC0415
    from codex_runner.wiring.runs import find_run  # noqa: PLC0415

    folder = find_run(output_dir(output, config), run)
    color = wants_color(os.environ, is_tty=sys.stdout.isatty())
    sink = make_console(sys.stdout, is_tty=False, color=color, verbose=verbose, limit=None)
    if go_on:
        history.follow(folder, sink)
    else:
        history.replay(folder, sink)
