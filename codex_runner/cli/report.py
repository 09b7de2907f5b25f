"""`codex-runner report`: all reports of a run, written anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from codex_runner.app.folders import find_run
from codex_runner.app.history import copy_to, rebuild
from codex_runner.cli.operators import optional_config
from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, output_dir
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import UsageError

_STDOUT = "-"


def report(
    run: RunArgument,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write a copy of junit.xml here.", show_default=False)
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write a copy of report.html here.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Write all reports of a run again, from its events.jsonl alone."""
    if junit == html == _STDOUT:
        raise UsageError("Both reports are to go to stdout.", remedy="Write one of them to a file.")
    folder = find_run(output_dir(output, config), run)
    loaded = optional_config(config, None)
    for path in rebuild(folder, guards=loaded.junit_guards if loaded else True):
        typer.echo(show_path(str(path)), err=_STDOUT in {junit, html})
    for source, target in ((folder.junit, junit), (folder.report, html)):
        if target == _STDOUT:
            sys.stdout.buffer.write(source.read_bytes())
        elif target is not None:
            typer.echo(show_path(str(copy_to(source, Path(target)))), err=_STDOUT in {junit, html})
