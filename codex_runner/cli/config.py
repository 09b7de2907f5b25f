"""`codex-runner config`: the configuration file, looked at without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codex_runner.app.config_check import check_file
from codex_runner.cli.options import warn
from codex_runner.cli.speech import tell
from codex_runner.config.json_schema import schema
from codex_runner.config.loading import find
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.clean import clean_line
from codex_runner.text.counts import counted

config_app = typer.Typer(name="config", help="Look at a configuration file.", no_args_is_help=True)


@config_app.callback()
def _config() -> None:
    pass  # so that `check` stays a command of its own beside later ones


@config_app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="The configuration files. Default: codex-runner.toml here or above.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check configuration files, with the prompts and schemas that they name. Exits with 3 if one is wrong.

    Needs no codex, no secret and no network. Ignores the environment: the result is the same on every machine.

    Example: codex-runner config check codex-runner.toml
    """
    here = Path.cwd()
    wrong = False
    for file in files or [find(here)]:
        checked = check_file(file, here)
        for warning in checked.warnings:
            warn(warning)
        for problem in checked.problems:
            tell(problem.message, problem.remedy)
        if checked.problems:
            wrong = True
        else:
            typer.echo(clean_line(f"{file}: valid, {counted(len(checked.jobs), 'job')}"))
    if wrong:
        raise typer.Exit(int(ExitCode.CONFIGURATION))


@config_app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration, by which editors complete and check it. `init` writes it beside the file.

    Example: codex-runner config schema > codex-runner.schema.json
    """
    typer.echo(schema(), nl=False)
