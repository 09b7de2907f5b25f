"""`codex-runner cancel`: end the agent of a run that somebody else follows, or nobody."""

from __future__ import annotations

import os

import typer

from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, output_dir


def cancel(
    run: RunArgument,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """End a run's agent. Whoever follows the run writes its reports; if nobody does, `attach` will."""
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    folder = wiring.find_run(output_dir(output, config), run)
    wiring.cancel(folder, wiring.Setting(os.environ, ()))
    typer.echo(f"{folder.run_id}: told to end", err=True)
