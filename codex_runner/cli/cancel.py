"""`codex-runner cancel`: end the agent of a run that somebody else follows, or nobody."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, configuration


def cancel(
    run: RunArgument,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """End a run's agent. Whoever follows the run writes its reports; if nobody does, `attach` will."""
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    loaded = configuration(config, needed=output is None)
    runs = loaded.output_dir if output is None and loaded else Path(output or "").absolute()
    folder = wiring.find_run(runs, run)
    wiring.cancel(folder, wiring.Setting(os.environ, (), ssh_config=loaded.ssh_config if loaded else None))
    typer.echo(f"{folder.run_id}: told to end", err=True)
