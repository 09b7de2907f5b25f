"""`codex-runner logs`: what the console showed, from events.jsonl."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, output_dir
from codex_runner.cli.speech import tell


def logs(
    run: RunArgument,
    go_on: Annotated[bool, typer.Option("--follow", "-f", help="Follow a run that is going on until it ends.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show whole what is cut otherwise.")] = False,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Show a run again as it was shown when it ran; with -f, follow one that runs in another terminal.

    Example: codex-runner logs -f last
    """
    from codex_runner.sinks.console import make_console, wants_color  # noqa: PLC0415
    from codex_runner.wiring import history  # noqa: PLC0415
    from codex_runner.wiring.folders import find_run  # noqa: PLC0415

    folder = find_run(output_dir(output, config), run)
    color = wants_color(os.environ, is_tty=sys.stdout.isatty())
    live = go_on and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    sink = make_console(sys.stdout, is_tty=live, color=color, verbose=verbose, limit=None)
    state = history.follow(folder, sink) if go_on else history.replay(folder, sink)
    if not state.run_id:
        tell(f"{folder.run_id} was killed before it began")
    elif state.verdict is None:
        going = history.is_live(folder)
        tell(f"{folder.run_id} {'goes on: -f follows it' if going else 'has no ending: `attach` goes on with it'}")
