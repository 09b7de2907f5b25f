"""`codex-runner config`: the configuration file, looked at without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.app.config_check import check_file
from codex_runner.cli.options import warn
from codex_runner.cli.speech import print_json, tell
from codex_runner.config.json_schema import schema
from codex_runner.config.loading import find
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.clean import clean_line
from codex_runner.text.counts import counted

if TYPE_CHECKING:
    from codex_runner.app.config_check import CheckedFile

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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check configuration files, with the prompts and schemas that they name. Exits with 3 if one is wrong.

    Tells each mistake with its line and column. Needs no codex, no secret and no network. Ignores the environment: the
    result is the same on every machine.

    Example: codex-runner config check codex-runner.toml
    """
    here = Path.cwd()
    checked = [check_file(file, here) for file in files or [find(here)]]
    if as_json:
        print_json({"files": [_document(each) for each in checked]})
    else:
        for each in checked:
            _show(each)
    if any(each.problems for each in checked):
        raise typer.Exit(int(ExitCode.CONFIGURATION))


def _document(checked: CheckedFile) -> dict[str, Any]:
    return {
        "file": str(checked.file),
        "valid": not checked.problems,
        "jobs": list(checked.jobs),
        "problems": [
            {
                "line": each.line,
                "column": each.column,
                "key": each.key or None,
                "message": each.message,
                "remedy": each.remedy,
            }
            for each in checked.problems
        ],
        "warnings": list(checked.warnings),
    }


def _show(checked: CheckedFile) -> None:
    for warning in checked.warnings:
        warn(warning)
    remedies = [each.remedy for each in checked.problems]
    for number, each in enumerate(checked.problems, 1):
        # A remedy that several mistakes have follows the last of them.
        remedy = "" if each.remedy in remedies[number:] else each.remedy
        tell(f"{checked.file}:{each.line}:{each.column}: {each.message}", remedy)
    if not checked.problems:
        typer.echo(clean_line(f"{checked.file}: valid, {counted(len(checked.jobs), 'job')}"))


@config_app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration, by which editors complete and check it.

    `codex-runner init` writes it beside the file.

    Example: codex-runner config schema > codex-runner.schema.json
    """
    typer.echo(schema(), nl=False)
