"""`codex-runner report`: all reports of a run, written anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from codex_runner.cli.operators import optional_config
from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, output_dir
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.reports.files import write_whole
from codex_runner.wiring.folders import find_run
from codex_runner.wiring.history import rebuild

_STDOUT = "-"


def report(
    run: RunArgument,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write junit.xml here too.", show_default=False)
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write report.html here too.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Write all reports of a run anew, from its events.jsonl alone."""
    if junit == html == _STDOUT:
        raise UsageError("Both reports are to go to stdout.", remedy="Write one of them into a file.")
    folder = find_run(output_dir(output, config), run)
    loaded = optional_config(config, None)
    for path in rebuild(folder, guards=loaded.junit_guards if loaded else True):
        typer.echo(show_path(str(path)), err=_STDOUT in {junit, html})
    for source, target in ((folder.junit, junit), (folder.report, html)):
        if target == _STDOUT:
            sys.stdout.buffer.write(source.read_bytes())
        elif target is not None:
            try:
                written = write_whole(Path(target), source.read_bytes())
                typer.echo(show_path(str(written)), err=_STDOUT in {junit, html})
            except OSError as error:
                raise ConfigurationError(
                    f"{target} cannot be written: {error.strerror}.", remedy="Name another place."
                ) from None
